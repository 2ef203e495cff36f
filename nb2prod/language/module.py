"""The hoisted module: a notebook's functions and classes with the imports and constants they need, as one file.

A pickle or a skops file refers to a function by its module and name, and a notebook's module, `__main__`, means
something else wherever the file is loaded. So definitions move to a module that can travel with the model.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nb2prod.core.pipeline import Binding, HoistedModule
from nb2prod.language.names import names_of
from nb2prod.language.plain import PlainCell

HEADER = '"""Functions and classes of the notebook {name}, moved to a module so that they can be imported."""'
FUTURE = "__future__"


@dataclass(frozen=True, slots=True)
class Defined:
    """One top-level statement that the module may take: its text, what it binds and what it needs."""

    statement: ast.stmt
    text: str
    binds: tuple[str, ...]
    needs: frozenset[str]
    what: str


def hoist(name: str, cells: Iterable[tuple[PlainCell, bool]], bindings: Iterable[Binding]) -> HoistedModule:
    """The module of a notebook named `name`.

    `cells` are (cell, whether its constants may be taken: they may from imports, functions and setup cells).
    """
    statements = [found for cell, constants in cells for found in _statements(cell, constants)]
    definitions = {bound: found for found in statements if found.what == "definition" for bound in found.binds}
    material = {bound: found for found in statements for bound in found.binds}
    wanted, unresolved = _closure(definitions, material, _first_binding(bindings))
    chosen = [
        found for found in statements if any(found is material[bound] for bound in found.binds if bound in wanted)
    ]
    module = module_name(name)
    return HoistedModule(
        name=module,
        source=_rendered(name, [*_future(statements, chosen), *chosen]) if definitions else "",
        names=tuple(definitions),
        unresolved=tuple(sorted(unresolved.items())),
        imports=_packages(chosen) if definitions else (),
    )


def _future(statements: Iterable[Defined], chosen: Iterable[Defined]) -> list[Defined]:
    """The `from __future__ import …` that hold for all that was chosen: in a notebook they hold for what comes after.

    A module has no place for one that holds for a part of it.
    """
    code = [found for found in chosen if found.what != "import"]
    before = itertools.takewhile(lambda found: found is not code[0], statements) if code else ()
    return [
        found for found in before if isinstance(found.statement, ast.ImportFrom) and found.statement.module == FUTURE
    ]


def module_name(notebook: str) -> str:
    """`2024 churn-model` becomes `n2024_churn_model_functions`: never the name of a library."""
    word = re.sub(r"\W+", "_", notebook).strip("_").lower() or "notebook"
    return f"{'n' if word[0].isdigit() else ''}{word}_functions"


def _statements(cell: PlainCell, constants: bool) -> list[Defined]:
    found: list[Defined] = []
    for statement in cell.tree.body if cell.tree else ():
        what = _what(statement, constants)
        if what:
            names = names_of(ast.Module(body=[statement], type_ignores=[]))
            needs = {read.name for read in names.reads}
            needs |= {used for function in names.functions.values() for used, _ in function.reads}
            binds = tuple(dict.fromkeys(bind.name for bind in names.binds))
            found.append(Defined(statement, _text(cell, statement), binds, frozenset(needs - set(binds)), what))
    return found


def _text(cell: PlainCell, statement: ast.stmt) -> str:
    """The statement as its author wrote it, with its comments; rewritten only where it shares a line with another."""
    decorators = getattr(statement, "decorator_list", [])
    first = min([statement.lineno, *(decorator.lineno for decorator in decorators)])
    lines = cell.source.splitlines()[first - 1 : statement.end_lineno]
    text = "\n".join(lines)
    try:
        alone = ast.dump(ast.parse(text)) == ast.dump(ast.Module(body=[statement], type_ignores=[]))
    except SyntaxError:
        alone = False
    return text.rstrip() if alone else ast.unparse(statement)


def _what(statement: ast.stmt, constants: bool) -> str:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return "definition"
        case ast.Assign(targets=[ast.Name()], value=ast.Lambda()):
            return "definition"
        case ast.Import() | ast.ImportFrom():
            return "import"
        case ast.Try() if all(isinstance(inner, ast.Import | ast.ImportFrom) for inner in statement.body):
            return "import"
        case ast.Assign(targets=[ast.Name()]) | ast.AnnAssign(target=ast.Name()) if constants:
            return "constant"
    return ""


def _closure(
    definitions: Mapping[str, Defined], material: Mapping[str, Defined], first: Mapping[str, int]
) -> tuple[set[str], dict[str, int | None]]:
    """Every name that the definitions need, and those that only something else binds."""
    import builtins

    wanted: set[str] = set()
    unresolved: dict[str, int | None] = {}
    pending = list(definitions)
    while pending:
        name = pending.pop()
        if name in wanted or name in unresolved:
            continue
        if name in material:
            wanted.add(name)
            pending += material[name].needs
        elif not hasattr(builtins, name) and name not in ("__name__", "__file__", "get_ipython", "display"):
            unresolved[name] = first.get(name)
    return wanted, unresolved


def _first_binding(bindings: Iterable[Binding]) -> dict[str, int]:
    first: dict[str, int] = {}
    for binding in bindings:
        first.setdefault(binding.name, binding.cell)
    return first


def _rendered(name: str, chosen: Iterable[Defined]) -> str:
    imports = [found.text for found in chosen if found.what == "import"]
    rest = [found.text for found in chosen if found.what != "import"]
    head = HEADER.format(name=name.replace("\\", " ").replace('"', " "))
    blocks = [head, "\n".join(dict.fromkeys(imports)), *rest]
    return "\n\n\n".join(block for block in blocks if block) + "\n"


def _packages(chosen: Iterable[Defined]) -> tuple[str, ...]:
    packages: set[str] = set()
    for found in chosen:
        for node in ast.walk(found.statement):
            if isinstance(node, ast.Import):
                packages |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                packages.add(node.module.partition(".")[0])
    return tuple(sorted(packages))
