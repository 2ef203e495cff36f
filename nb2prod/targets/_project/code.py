"""The modules of functions, steps and the pipeline."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nb2prod.language.layout import indented
from nb2prod.targets._project.cells import Statement, prose_above
from nb2prod.targets._project.defaults import annotation
from nb2prod.targets._project.meaning import STATE, Meaning, Unit
from nb2prod.targets._project.modules import WIDTH, camel, docstring_of, imports_for, module
from nb2prod.targets._project.names import BUILTINS, every_name
from nb2prod.targets._project.types import IMPORTED, types_of

RESERVED = frozenset(
    {"steps", "settings", "Settings", "after_step", "AfterStep", "run", "Results", "matplotlib", STATE, "ignore"}
)


@dataclass(frozen=True, slots=True)
class Final:
    """What a run gives: names of metrics, the model (or none) and figures."""

    metrics: tuple[str, ...]
    model: str | None
    figures: tuple[str, ...]

    @property
    def names(self) -> set[str]:
        return {*self.metrics, *self.figures, *([self.model] if self.model else [])}


def functions_module(found: Meaning, package: str) -> str:
    """Functions, classes and constants; empty when there are none."""
    if not found.module and not found.declared:
        return ""
    blocks = [_declared(found)] if found.declared else []
    before: ast.stmt | None = None
    for statement in found.module:
        text = f"{statement.lead.strip()}\n{statement.text}".strip()
        plain = isinstance(statement.node, ast.Assign | ast.AnnAssign)
        together = plain and isinstance(before, ast.Assign | ast.AnnAssign) and blocks
        blocks[-1:] = [f"{blocks[-1]}\n{text}"] if together else [*blocks[-1:], text]
        before = statement.node
    imports = imports_for(found, [statement.node for statement in found.module])
    if found.declared:
        imports.append("from typing import Any")
    first = "Functions and classes of the analysis." if not found.state else _state_docstring(found)
    return module(first, imports, "\n\n\n".join(blocks), future=found.future)


def _state_docstring(found: Meaning) -> str:
    names = ", ".join(f"`{name}`" for name in found.state)
    verb = "is a variable" if len(found.state) == 1 else "are variables"
    text = (
        f"{names} {verb} of this module, read and set by the steps as well: "
        "functions here read it, and libraries call them without further arguments."
    )
    return f"Functions and classes of the analysis.\n\n{textwrap.fill(text, WIDTH)}\n"


def _declared(found: Meaning) -> str:
    lines = [f"{name}: {_type_of_parameter(found, name)}" for name in found.declared]
    return "\n".join(["# set by the pipeline before anything reads them", *lines])


def _type_of_parameter(found: Meaning, name: str) -> str:
    return "Any" if name not in found.parameters else annotation_of(found, name)


def annotation_of(found: Meaning, name: str) -> str:
    """The type of a parameter, as its author declared it or its default implies; `Any` where the project lacks it."""
    parameter = found.parameters[name]
    declared = annotation(found.pipeline, parameter)
    if not declared and parameter.type.kind in CLASSES:
        return _class(found, *CLASSES[parameter.type.kind])
    text = parameter.type.name if not declared or "Annotated" in declared else declared
    if parameter.type.kind == "any" or "undeclared" in text:
        return "Any"
    return text if every_name([ast.parse(text)]) <= {*found.imports, *found.module_names, *BUILTINS} else "Any"


CLASSES = {"date": ("datetime", "date"), "datetime": ("datetime", "datetime"), "path": ("pathlib", "Path")}


def _class(found: Meaning, origin: str, word: str) -> str:
    """What the notebook calls a class of the standard library: `date`, `datetime.date`, `dt.date`."""
    for local, texts in found.imports.items():
        if texts == (f"from {origin} import {word}",):
            return word
        if texts in ((f"import {origin}",), (f"import {origin} as {local}",)):
            return f"{local}.{word}"
    return "Any"


# -- steps ------------------------------------------------------------------------------------------------------------


def function_names(found: Meaning, units: Iterable[Unit]) -> dict[str, str]:
    """What the function of each unit is called: never what the code calls something else."""
    taken = {*found.imports, *found.module_names, "Any", "NamedTuple"}
    return {unit.name: f"{unit.name}_step" if unit.name in taken else unit.name for unit in units}


def steps_module(found: Meaning, units: Sequence[Unit], package: str) -> str:
    types, names = types_of(found, units), function_names(found, units)
    blocks = [text for unit in units for text in _step(found, unit, names[unit.name], types)]
    code = "\n\n\n".join(blocks)
    nodes = [statement.node for unit in units for statement in unit.statements]
    tree = ast.parse(code)
    imports = imports_for(found, nodes, every_name([tree]))
    used = every_name([tree])
    own = sorted(used & found.module_names.keys() - set(found.state))
    imports += [f"from {package}.{STATE} import {name}" for name in own]
    imports += [f"from {package} import {STATE}"] if STATE in used and found.state else []
    imports += [f"from typing import {name}" for name in ("Any", "NamedTuple") if name in used]
    imports += [text for name, text in IMPORTED.items() if name in used and name not in found.imports]
    return module(f"The steps of {package}: what each takes and what it gives.", imports, code, future=found.future)


def _step(found: Meaning, unit: Unit, name: str, types: Mapping[str, str]) -> list[str]:
    annotations = {word: types.get(word, "Any") for word in (*unit.inputs, *unit.outputs)}
    for word in unit.inputs:
        if word in found.parameters and word not in unit.outputs:
            annotations[word] = annotation_of(found, word)
    arguments = ", ".join(f"{word}: {annotations[word]}" for word in unit.inputs)
    blocks, gives = [], "None"
    if len(unit.outputs) == 1:
        gives = annotations[unit.outputs[0]]
    elif unit.outputs:
        gives = f"{camel(name)}Result"
        blocks.append("\n".join([f"class {gives}(NamedTuple):", *(f"    {w}: {annotations[w]}" for w in unit.outputs)]))
    lines = [f"def {name}({arguments}) -> {gives}:"]
    docstring = docstring_of(prose_above(found.pipeline, unit.cell)) if unit.step else "Set up the libraries."
    if docstring.strip(".").lower() == unit.name.replace("_", " ").lower():
        docstring = ""
    if docstring:
        lines.append(_indented_docstring(docstring))
    lines += [indented(text) for text in body_lines(unit.statements)]
    if unit.tail:
        lines.append(indented(unit.tail))
    if len(unit.outputs) == 1:
        lines.append(f"    return {unit.outputs[0]}")
    elif unit.outputs:
        lines.append(f"    return {gives}({', '.join(unit.outputs)})")
    elif not unit.statements and not docstring:
        lines.append("    pass")
    return [*blocks, "\n".join(lines)]


def _indented_docstring(docstring: str) -> str:
    lines = f'"""{docstring}"""'.split("\n")
    return "\n".join(f"    {line}".rstrip() for line in lines)


def body_lines(statements: Iterable[Statement]) -> list[str]:
    """Statements with what stands above them; cells are set apart by an empty line."""
    lines: list[str] = []
    cell: int | None = None
    for statement in statements:
        lead = statement.lead
        if lines and (lead.startswith("\n") or (cell is not None and statement.cell != cell)):
            lines.append("")
        lines += [part for part in (lead.strip("\n"), statement.text) if part]
        cell = statement.cell
    return lines


# -- the pipeline -----------------------------------------------------------------------------------------------------


def pipeline_module(
    found: Meaning, units: Sequence[Unit], package: str, final: Final, told: Sequence[set[str]], title: str
) -> str:
    names = function_names(found, units)
    local = {word: f"{word}_" if word in RESERVED else word for unit in units for word in unit.outputs}
    lines = []
    if _plots(found):
        lines.append('    matplotlib.use("agg")  # figures go to files')
    lines += [f"    {STATE}.{name} = settings.{name}" for name in found.state if name in found.parameters]
    there: set[str] = set()
    for position, unit in enumerate(units):
        given = ", ".join(local[word] if word in there else f"settings.{word}" for word in unit.inputs)
        made = ", ".join(local[word] for word in unit.outputs)
        lines.append(f"    {f'{made} = ' if made else ''}steps.{names[unit.name]}({given})")
        there |= set(unit.outputs)
        seen = "".join(f", {word}={local[word]}" for word in sorted(told[position + 1]) if word in there)
        lines.append(f'    after_step("{unit.step or unit.name}"{seen})')
    shown = _shown(found, final, local, there)
    code = RUN.format(
        fields="\n".join(f"    {line}" for line in _fields(final)) or "    pass", body="\n".join(lines), made=shown
    )
    imports = [
        "from collections.abc import Callable", "from dataclasses import dataclass", "from typing import Any",
        f"from {package} import steps", f"from {package}.settings import Settings",
    ]  # fmt: skip
    imports += ["import matplotlib"] if _plots(found) else []
    imports += [f"from {package} import {STATE}"] if any(n in found.parameters for n in found.state) else []
    imports += ["from matplotlib.figure import Figure"] if final.figures else []
    return module("The steps in their order.", imports, code)


RUN = '''
AfterStep = Callable[..., None]


@dataclass(frozen=True)
class Results:
    """What a run comes to."""

{fields}


def ignore(step: str, /, **values: Any) -> None:
    """Watch nothing."""


def run(settings: Settings, after_step: AfterStep = ignore) -> Results:
    """Run every step. `after_step` is called when one has ended: with its name, and the values worth a look by then."""
{body}
    return Results({made})
'''


def _fields(final: Final) -> list[str]:
    lines = ["metrics: dict[str, float]"]
    lines += ["model: Any"] if final.model else []
    return [*lines, "figures: dict[str, Figure]"] if final.figures else lines


def _shown(found: Meaning, final: Final, local: Mapping[str, str], there: set[str]) -> str:
    def value(name: str) -> str:
        state = f"{STATE}.{name}" if name in found.state else f"settings.{name}"
        return local[name] if name in there else state

    metrics = ", ".join(f'"{name}": float({value(name)})' for name in final.metrics)
    parts = [f"metrics={{{metrics}}}"]
    parts += [f"model={value(final.model)}"] if final.model else []
    figures = ", ".join(f'"{name}": {value(name)}' for name in final.figures)
    return ", ".join([*parts, *([f"figures={{{figures}}}"] if final.figures else [])])


def _plots(found: Meaning) -> bool:
    """Whether anything is drawn: who only sets a style needs no backend."""
    statements = [statement for unit in found.units for statement in unit.statements]
    used = every_name(statement.node for statement in [*statements, *found.module] if not _is_style(statement.node))
    return any("matplotlib" in text for name in used for text in found.imports.get(name, ()))


def _is_style(node: ast.stmt) -> bool:
    """`plt.style.use("ggplot")`, `plt.rcParams.update(…)`, `plt.rcParams["…"] = …`"""
    target = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else node
    return isinstance(node, ast.Assign | ast.Expr) and any(
        isinstance(part, ast.Attribute) and part.attr in ("style", "rcParams") for part in ast.walk(target)
    )
