"""What a `%%step` cell did, in one line below it: what it read, what it wrote, how long it took.

    step train · 1.2 s · read X_train, y_train · wrote model RandomForestClassifier · auc 0.8143

It is made of the cell's source and of the values that are bound now. No value is kept, and none is asked more than its
type, so that no object of the notebook can make it fail or wait.
"""

from __future__ import annotations

import html
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nb2prod.core.pipeline import Role
from nb2prod.language.names import CellNames, Function, names_of
from nb2prod.language.plain import plain

# of marks in outputs: as readable on a white page as on a black one
GOOD, BAD, DOUBTFUL, FAINT, OURS = "#238c42", "#de3b41", "#a87000", "#76808c", "#8f5ce8"
MOST = 8  # names in a list; the rest is counted
SHAPED = ("pandas", "numpy", "polars", "scipy", "pyarrow", "torch", "xarray", "geopandas")
CODE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
SHELL = frozenset({"In", "Out", "get_ipython", "display", "exit", "quit"})


@dataclass(frozen=True, slots=True)
class StepReport:
    """`wrote` has (name, what its value is); `missing` (kind, name) of what the cell should have bound and did not."""

    step: str
    seconds: float
    failed: bool = False
    read: tuple[str, ...] = ()
    wrote: tuple[tuple[str, str], ...] = ()
    changed: tuple[str, ...] = ()
    defined: tuple[str, ...] = ()
    metrics: tuple[tuple[str, str], ...] = ()
    missing: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return " · ".join([f"step {self.step}", self._took(), *(f"{title} {text}" for title, text in self._parts())])

    def _repr_html_(self) -> str:
        edge = BAD if self.failed or self.missing else OURS
        style = f"border-left:3px solid {edge};padding:1px 0 1px 8px;font-size:12px;line-height:1.5"
        parts = [
            f'<span style="white-space:nowrap"><span style="opacity:.65">{html.escape(title)}</span></span> '
            f"<span>{self._wrote_page() if title == 'wrote' else html.escape(text)}</span>"
            for title, text in self._parts()
        ]
        head = f"<span style='opacity:.65'>step</span> <b>{html.escape(self.step)}</b>"
        dot = ' <span style="opacity:.4">·</span> '
        return f'<div style="{style}">{dot.join([head, html.escape(self._took()), *parts])}</div>'

    def _wrote_page(self) -> str:
        """Names stand out from what their values are."""
        pairs = [(html.escape(name), html.escape(what)) for name, what in self.wrote]
        return _listed([f'{name} <span style="opacity:.65">{what}</span>' if what else name for name, what in pairs])

    def _took(self) -> str:
        return f"failed after {duration(self.seconds)}" if self.failed else duration(self.seconds)

    def _parts(self) -> list[tuple[str, str]]:
        wrote = [f"{name} {what}".rstrip() for name, what in self.wrote]
        parts = [
            ("read", _listed(self.read)),
            ("wrote", _listed(wrote)),
            ("may have changed", _listed(self.changed)),
            ("defined", _listed(self.defined)),
            *((name, value) for name, value in self.metrics),
            *((f"{kind} {name}:", "not there yet") for kind, name in self.missing),
        ]
        return [(title, text) for title, text in parts if text]


def report(
    role: Role, functions: Mapping[str, Function], namespace: Mapping[str, Any], seconds: float, *, failed: bool
) -> StepReport:
    """`functions` are those that earlier cells define: what they read, their caller reads."""
    tree = plain(role.body).tree
    names = names_of(tree, functions) if tree is not None else CellNames()
    read = dict.fromkeys(use.name for use in names.reads if not use.inside and _is_value(use.name, namespace))
    if failed:
        return StepReport(role.name, seconds, failed=True, read=tuple(read))
    tagged = (*role.models, *role.examples, *role.metrics, *role.plots)
    bound = dict.fromkeys(use.name for use in names.binds if use.name in namespace and not use.name.startswith("_"))
    values = [name for name in sorted(bound, key=lambda name: name not in tagged) if _is_value(name, namespace)]
    changed = dict.fromkeys(name for name, _ in names.changes if name not in bound and _is_value(name, namespace))
    return StepReport(
        step=role.name,
        seconds=seconds,
        read=tuple(read),
        wrote=tuple((name, described(namespace[name])) for name in values if name not in role.metrics),
        changed=tuple(changed),
        defined=tuple(name for name in names.functions if name in namespace),
        metrics=tuple((name, _number(namespace[name])) for name in role.metrics if name in namespace),
        missing=tuple(_missing(role, namespace)),
    )


def described(value: Any) -> str:
    """What a value is, in a few words: `2,380 × 14`, `list of 3`, `RandomForestClassifier`, `0.81`."""
    try:
        return _described(value)
    except Exception:  # noqa: BLE001 - an object of the notebook may refuse in any way; then its kind is not said
        return ""


def _described(value: Any) -> str:
    kind = type(value)
    if value is None or kind in (bool, int):
        return repr(value) if kind is not int or abs(value) < 10**12 else "int"
    if kind is float:
        return f"{value:.4g}"
    if kind is str:
        return repr(value) if len(value) <= 24 else f"str of {len(value):,}"
    if kind in (list, tuple, dict, set, frozenset, bytes):
        return f"{kind.__name__} of {len(value):,}"
    if any(base.__module__.partition(".")[0] in SHAPED for base in kind.__mro__):
        return _shape(value) or kind.__name__
    return str(kind.__name__)


def _shape(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple) or not all(type(size) is int for size in shape):
        return ""
    if not shape:
        return f"{float(value):.4g}"  # a number of numpy's
    return " × ".join(f"{size:,}" for size in shape)


def _number(value: Any) -> str:
    try:
        return f"{float(value):.4g}"
    except Exception:  # noqa: BLE001 - as in `described`
        return f"is no number but {described(value) or 'something else'}"


def _missing(role: Role, namespace: Mapping[str, Any]) -> list[tuple[str, str]]:
    said = (("metric", role.metrics), ("model", role.models), ("example", role.examples), ("plot", role.plots))
    return [(kind, name) for kind, names in said for name in names if name not in namespace]


def _is_value(name: str, namespace: Mapping[str, Any]) -> bool:
    """Whether a name is data: modules, functions and classes are the same everywhere, and of no interest here."""
    return name in namespace and name not in SHELL and not issubclass(type(namespace[name]), CODE)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more


def duration(seconds: float) -> str:
    """`12 ms`, `1.2 s`, `2 min 05 s`"""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    return f"{int(seconds + 0.5) // 60} min {int(seconds + 0.5) % 60:02d} s"
