"""The module `one_step.py` of an exported pipeline: it runs one step, from files to a file."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

from nb2prod.core.pipeline import ParameterType
from nb2prod.storage import templates
from nb2prod.targets._alone.wiring import Call, Wired
from nb2prod.targets._project.meaning import STATE, Meaning
from nb2prod.targets._project.modules import imports_text, module

# how a value of JSON becomes what a setting is, by the kind of its type
FROM_JSON = {
    "path": "Path({})", "date": "date.fromisoformat({})", "datetime": "datetime.fromisoformat({})",
    "float": "float({})",
}  # fmt: skip
IMPORTED = {"date": "from datetime import date", "datetime": "from datetime import datetime"}


def one_step_module(found: Meaning, steps: Sequence[Wired], package: str) -> str:
    conversions = {name: text for name in found.parameters if (text := _conversion(found.parameters[name].type))}
    blocks, prepared = _functions(found, steps)
    values = {
        "functions": "\n\n\n".join(blocks),
        "table": "\n".join(f'    "{one.step.name}": {_row(one, prepared)},' for one in steps),
        "conversions": conversions,
        "figures": any(step.step.plots for step in steps),
        "model": any(step.step.model for step in steps),
        "random": any(step.leaves_random for step in steps),
    }
    code = templates.render("alone/one_step.py.j2", values)
    imports = _imports(found, code, package, conversions.values())
    text = (
        "One step by itself: what it takes comes from files, and what later steps need goes into one.\n\n"
        "A step's file is one pickle, so that what shares an object goes on sharing it.\n"
    )
    return module(text, imports, code, future=True)


def _imports(found: Meaning, code: str, package: str, conversions: Iterable[str]) -> list[str]:
    used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    modules = ("argparse", "base64", "contextlib", "io", "json", "os", "random", "sys")
    imports = [f"import {name}" for name in modules if name in used]
    imports += ["import cloudpickle", "from collections.abc import Callable, Mapping, Sequence"]
    imports += ["from dataclasses import dataclass", "from pathlib import Path", "from typing import Any"]
    imports += [f"from {package} import steps", f"from {package}.settings import Settings"]
    imports += [f"from {package} import {STATE}"] if STATE in used else []
    imports += [text for word, text in IMPORTED.items() if any(f"{word}." in one for one in conversions)]
    imports += [
        f"from {package}.{STATE} import {p.type.name}" for p in found.pipeline.parameters if p.type.kind == "enum"
    ]
    return [line for text in imports for line in imports_text([text]).split("\n") if line]


def _conversion(kind: ParameterType) -> str:
    """What makes a setting's value of one of JSON; empty when they are the same."""
    if kind.kind in FROM_JSON:
        return FROM_JSON[kind.kind]
    if kind.kind == "enum":
        return f"{kind.name}[{{}}]"
    if kind.kind == "tuple":
        return "tuple({})"
    if kind.kind == "union":
        inner = [_conversion(member) for member in kind.arguments if member.kind != "none"]
        return f"None if {{0}} is None else {inner[0].replace('{}', '{0}')}" if len(inner) == 1 and inner[0] else ""
    return ""


def _functions(found: Meaning, steps: Sequence[Wired]) -> tuple[list[str], dict[tuple[Call, ...], str]]:
    """(functions, the name of the one that does the work of shared cells, by that work)."""
    prepared: dict[tuple[Call, ...], str] = {}
    blocks: list[str] = []
    state = [name for name in found.state if name in found.parameters]
    for wires in steps:
        if (wires.before or state) and wires.before not in prepared:
            prepared[wires.before] = "prepare" if not prepared else f"prepare_{wires.call.function}"
            lines = [f"    {STATE}.{name} = settings.{name}" for name in state]
            lines += [line for call in wires.before for line in _called(call)]
            blocks.append(
                "\n".join([f"def {prepared[wires.before]}(values: Values, settings: Settings) -> None:", *lines])
            )
        blocks.append(_function(found, wires))
    return blocks, prepared


def _function(found: Meaning, wires: Wired) -> str:
    taken = {name for names in wires.takes.values() for name in names}
    lines = [f"def {_name(wires)}(values: Values, settings: Settings) -> None:"]
    lines += [f'    {STATE}.{name} = values["{name}"]' for name in found.state if name in taken]
    lines += _called(wires.call)
    lines += [f'    values["{name}"] = {STATE}.{name}' for name in found.state if name in _kept(wires)]
    return "\n".join(lines)


def _kept(wires: Wired) -> set[str]:
    model = {wires.step.model} if wires.step.model else set()
    return {*wires.hands_on, *wires.step.metrics, *wires.step.plots, *model}


def _name(wires: Wired) -> str:
    return f"run_{wires.call.function}"


def _called(call: Call) -> list[str]:
    arguments = ", ".join(f'values["{n}"]' if source == "values" else f"settings.{n}" for n, source in call.arguments)
    made = f"steps.{call.function}({arguments})"
    if not call.gives:
        return [f"    {made}"]
    if len(call.gives) == 1:
        return [f'    values["{call.gives[0]}"] = {made}']
    return [f"    values.update({made}._asdict())"]


def _row(wires: Wired, prepared: Mapping[tuple[Call, ...], str]) -> str:
    before = prepared.get(wires.before, "")
    fields: Mapping[str, object] = {
        "takes": dict(wires.takes),
        "hands_on": wires.hands_on,
        "metrics": wires.step.metrics,
        "figures": wires.step.plots,
        "model": wires.step.model or "",
        "draws_after": wires.draws_after,
        "leaves_random": wires.leaves_random,
    }
    said = ", ".join(f"{name}={value!r}" for name, value in fields.items() if value)
    parts = [_name(wires), *([f"prepare={before}"] if before else []), *([said] if said else [])]
    return f"Step({', '.join(parts)})"
