"""What a notebook's names are worth at the end of each step, written down to be compared.

    FOLDER/isolated/7.json      after the cell at position 7: the names, each with its portrait's digest
    FOLDER/linear/7.json        the same names, at the same place, of the notebook in one kernel
    FOLDER/values/DIGEST        portraits, each once

The folder is private and lives as long as the comparison: values may be secret. Looking at a value does not change it,
and draws no random number.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.pipeline import Plan
from nb2prod.kernel import ambient, portrait
from nb2prod.kernel.keep import undisturbed
from nb2prod.kernel.portrait import Blank
from nb2prod.kernel.portrait_libraries import LIBRARIES
from nb2prod.kernel.portrait_painter import Painter
from nb2prod.kernel.portrait_rules import CONTAINERS, OTHERS

OPTION = "boundaries"  # the plan's option that holds what `Wanted` has
VALUES = "values"
RULES = (*CONTAINERS, *LIBRARIES, *OTHERS)
TOO_DEEP = "nested too deeply"


@dataclass(frozen=True, slots=True)
class Wanted:
    """`run` names this run in the folder, `like` the one whose names it takes; `watch` are noted after every cell."""

    folder: str
    run: str
    like: str = ""
    watch: tuple[str, ...] = ()


def wanted(plan: Plan) -> Wanted | None:
    """What the plan's options ask for; None when nothing is compared."""
    found = plan.options.get(OPTION)
    return (
        Wanted(found["folder"], found["run"], found.get("like", ""), tuple(found.get("watch", ()))) if found else None
    )


def options(asked: Wanted) -> dict[str, Any]:
    """The plan's options for it."""
    return {
        OPTION: {"folder": asked.folder, "run": asked.run, "like": asked.like, "watch": list(asked.watch)},
    }


def is_due(asked: Wanted, position: int) -> bool:
    """Whether a run that follows another has something to write after this cell."""
    return bool(asked.watch) or _record(asked.folder, asked.like, position).exists()


def promised(plan: Plan, step: str) -> frozenset[str]:
    """The names that the pipeline says a step makes, changes, or is tagged with."""
    found = next((one for one in plan.pipeline.steps if one.name == step), None)
    if found is None:
        return frozenset()
    names = {*found.outputs, *found.changes, *found.metrics, *found.plots}
    return frozenset(names | {name for name in (found.model, found.example) if name})


def write(
    plan: Plan, position: int, step: str, namespace: Mapping[str, Any], names: Iterable[str], handed: Iterable[str] = ()
) -> None:
    """Note these names as they are now, after the cell at `position`; names in `<>` are random streams.

    `handed` are those that a step was given or hands on; of the rest nobody is told that they cannot be compared.
    """
    asked = wanted(plan)
    if asked is None:
        return
    with undisturbed():
        streams = {name: value for name, value in ambient.taken().items() if name in ambient.RANDOM}
        secret = {parameter.name for parameter in plan.pipeline.parameters if parameter.secret}
        found = {
            name: _noted(Path(asked.folder), value, plan.pipeline.notebook.folder)
            for name in sorted({*names} - secret)
            if not name.startswith("__") and name.strip("_")  # `_` is IPython's as soon as a cell shows something
            for value in [streams.get(name, _ABSENT) if name in ambient.RANDOM else namespace.get(name, _ABSENT)]
        }
    record = _record(asked.folder, asked.run, position)
    record.parent.mkdir(parents=True, exist_ok=True)
    content = {"step": step, "names": found, "handed": sorted({*handed} & found.keys())}
    record.write_text(json.dumps(content), encoding="utf-8")


def follow(plan: Plan, position: int, namespace: Mapping[str, Any]) -> None:
    """Note what the run that this one is compared with has noted at this place, and what is watched."""
    asked = wanted(plan)
    if asked is None:
        return
    before = read(asked.folder, asked.like, position)
    write(plan, position, before.get("step", ""), namespace, {*before.get("names", ()), *asked.watch})


def read(folder: str, run: str, position: int) -> dict[str, Any]:
    """A record; empty when there is none."""
    path = _record(folder, run, position)
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def positions(folder: str, run: str) -> list[int]:
    return sorted(int(path.stem) for path in (Path(folder) / run).glob("*.json"))


def _record(folder: str, run: str, position: int) -> Path:
    return Path(folder) / run / f"{position}.json"


_ABSENT = object()


def _noted(folder: Path, value: Any, home: Path) -> dict[str, Any] | None:
    """A value's digest and the reasons of its blanks; None when the name is not bound."""
    if value is _ABSENT:
        return None
    made, blanks = painted(value, home)
    return {"digest": _kept(folder / VALUES, made), "blanks": list(blanks)}


def painted(value: Any, home: Path) -> tuple[Any, tuple[str, ...]]:
    """(the value's portrait, the reasons of all its blanks); `home` is the notebook's folder."""
    painter = Painter(lambda kind: is_ours(home, getattr(kind, "__module__", "") or ""), RULES)
    try:
        return painter.paint(value), tuple(dict.fromkeys(painter.blanks))
    except RecursionError:
        return Blank(TOO_DEEP), (TOO_DEEP,)


@functools.cache
def is_ours(home: Path, module: str) -> bool:
    """Whether a module is the notebook, or a file beside it."""
    if module == "__main__":
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    if not isinstance(file, str) or module.partition(".")[0] == "nb2prod":
        return False
    path, library = Path(file), Path(os.__file__).parent
    return path.is_relative_to(home) and "site-packages" not in path.parts and not path.is_relative_to(library)


def _kept(folder: Path, made: Any) -> str:
    """Write a portrait under its digest, unless it is there; returns the digest."""
    folder.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=folder)
    with os.fdopen(number, "wb") as file:
        sink = _Sink(file.write)
        try:
            pickle.Pickler(sink, protocol=5).dump(made)
        except RecursionError:
            Path(name).unlink()
            return _kept(folder, Blank(TOO_DEEP))
    digest = sink.hash.hexdigest()
    Path(name).rename(folder / digest)
    return digest


class _Sink:
    def __init__(self, write: Callable[[Any], Any]) -> None:
        self.hash = hashlib.sha256()
        self._write = write

    def write(self, content: Any) -> int:
        self.hash.update(content)
        self._write(content)
        return memoryview(content).nbytes  # a large buffer comes as itself


def load(folder: Path, digest: str) -> Any:
    """A portrait that was written. Nothing but portraits can come out of the file."""
    with (folder / VALUES / digest).open("rb") as file:
        return _Portraits(file).load()


class _Portraits(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == portrait.__name__ and name in portrait.KINDS:
            return portrait.KINDS[name]
        if (module, name) == ("builtins", "complex"):
            return complex
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a portrait")
