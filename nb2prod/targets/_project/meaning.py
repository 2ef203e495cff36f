"""What of a notebook becomes what in a project: imports, module-level code, units in order, tests.

A *unit* becomes a function that the pipeline calls: a step, or the work of shared cells (`set_up`). Values go from unit
to unit as arguments and results, by reference, so what shares an object in the notebook shares it here.

A function that reads names of the notebook takes them as further arguments when it is only ever called by its name.
Where it is handed on (`texts.map(tokens)`) that cannot be: then the names are *state*, variables of the module of
functions, which every unit reads and sets there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nb2prod.core.pipeline import Parameter, Pipeline
from nb2prod.language.surroundings import is_import, names_of_imports
from nb2prod.targets._project import cells as kept_cells
from nb2prod.targets._project.cells import KeptCell, Statement
from nb2prod.targets._project.names import BUILTINS, DEFINITIONS, stored_in
from nb2prod.targets._project.problems import Problems
from nb2prod.targets._project.text import Changes

STATE = "functions"  # the module of the project that holds functions and what they read
# calls that look at, or run, names that no analysis sees
UNSEEN = frozenset({"exec", "eval", "globals", "locals", "vars", "get_ipython", "__import__", "breakpoint", "input"})
PURE_CALLS = frozenset(
    str.split("Path PurePath re.compile frozenset set dict list tuple range date datetime timedelta str int float")
)
# what takes a function and calls it at once
AT_ONCE = frozenset(
    str.split(
        "apply map applymap agg aggregate transform filter assign pipe sort sorted min max any all sum list tuple set "
        "dict sort_values rename groupby query join reduce sort_index next enumerate zip"
    )
)


@dataclass(frozen=True, slots=True)
class Unit:
    """Statements that become one function. `step` is empty for the work of shared cells.

    `tail` are the comments below the last statement, which are, or would be, in cell and line `tail_at`.
    """

    name: str
    step: str
    statements: tuple[Statement, ...]
    tail: str = ""
    tail_at: tuple[int, int] = (0, 0)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    comparable: bool = True

    @property
    def cell(self) -> int:
        return self.statements[0].cell if self.statements else 0

    @property
    def tree(self) -> ast.Module:
        return ast.Module(body=[statement.node for statement in self.statements], type_ignores=[])


@dataclass(frozen=True, slots=True)
class TestCell:
    """A test cell, which sees what `after` units have left: their number."""

    __test__ = False  # pytest: this is no test class

    index: int
    step: str
    after: int
    statements: tuple[Statement, ...]


@dataclass
class Meaning:
    """`imports` say for each name the statements that bind it; `module` is what the module of functions holds."""

    pipeline: Pipeline
    problems: Problems
    imports: dict[str, tuple[str, ...]] = field(default_factory=dict)
    future: bool = False
    units: list[Unit] = field(default_factory=list)
    tests: list[TestCell] = field(default_factory=list)
    module: list[Statement] = field(default_factory=list)
    module_names: dict[str, Statement] = field(default_factory=dict)
    state: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    changes: Changes = field(default_factory=Changes)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        return {parameter.name: parameter for parameter in self.pipeline.parameters}

    def known(self, name: str) -> bool:
        """Whether a name means the same in the whole project."""
        return name in self.imports or name in self.module_names or name in BUILTINS


def meaning(pipeline: Pipeline, problems: Problems, *, allow_shell: bool) -> Meaning:
    """The notebook's code, sorted; `hoisting` goes on from here. Raises FindingsError when it cannot be sorted."""
    found = Meaning(pipeline, problems)
    there = kept_cells.kept(pipeline, problems, allow_shell=allow_shell)
    problems.refuse()
    _refuse_exploration(pipeline, problems)
    _take_imports(found, there)
    _sort(found, there)
    problems.refuse()
    return found


def _refuse_exploration(pipeline: Pipeline, problems: Problems) -> None:
    for read in pipeline.reads:
        role = pipeline.roles[read.cell]
        if role is None or role.kind in ("exploration", "skip") or read.binding == read.surviving:
            continue
        if read.binding is not None and read.binding.changed and not read.name.startswith("<"):
            continue  # it may be changed there: the check `exploration-name` says how sure that is
        what = "random numbers" if read.name.startswith("<") else f"`{read.name}`"
        where = f"cell {read.binding.cell}" if read.binding is not None else "another cell"
        problems.add(
            read.cell, read.line, f"{what} depends on {where}, which has no tag and stays behind", "tag that cell"
        )


# -- imports ----------------------------------------------------------------------------------------------------------


def _take_imports(found: Meaning, there: Iterable[KeptCell]) -> None:
    own = [s for cell in there if cell.role.kind != "test" for s in cell.statements if is_import(s.node)]
    for statement in own:
        _take_import(found, statement, certain=True)
    for statement in kept_cells.imports_of_exploration(found.pipeline):
        _take_import(found, statement, certain=False)


def _take_import(found: Meaning, statement: Statement, *, certain: bool) -> None:
    for name, text in single_imports(statement):
        if name == "annotations" and "__future__" in text:
            found.future = True
            continue
        if name == "*":
            fix = "import the names that the notebook uses"
            if certain:
                found.problems.add(statement.cell, statement.line, f"`{text}` does not say what it imports", fix)
            continue
        before = found.imports.get(name, ())
        if text in before or (before and not certain):
            continue
        if before and not all(one.startswith("import ") and " as " not in one for one in (text, *before)):
            what = f"`{name}` is imported from two places"
            found.problems.add(statement.cell, statement.line, what, "give one of them another name with `as`")
        found.imports[name] = (*before, text)


def single_imports(statement: Statement) -> Iterator[tuple[str, str]]:
    """(name, statement that binds it alone)."""
    node = statement.node
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0], ast.unparse(ast.Import(names=[alias]))
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            alone = ast.ImportFrom(module=node.module, names=[alias], level=node.level)
            yield alias.asname or alias.name, ast.unparse(alone)
    else:
        for name in names_of_imports(node):
            yield name, statement.text


# -- units and tests --------------------------------------------------------------------------------------------------


def _sort(found: Meaning, there: Sequence[KeptCell]) -> None:
    """Cells into units and tests, definitions and constants into the module."""
    bound = _bound_names(there)
    for cell in there:
        statements = tuple(s for s in _with_leads(cell.statements) if not is_import(s.node))
        kind = cell.role.kind
        if kind == "test":
            found.tests.append(TestCell(cell.index, cell.role.name, len(found.units), cell.statements))
        elif kind == "parameters":
            _only_parameters(found, statements)
        else:
            rest = [s for s in statements if not _to_module(found, s, bound, shared=kind != "step")]
            _to_unit(found, cell, rest)
    found.units = [unit for unit in found.units if unit.statements]


def _with_leads(statements: Sequence[Statement]) -> Iterator[Statement]:
    """The statements; a comment above an import stays with what comes after."""
    waiting = ""
    for statement in statements:
        if is_import(statement.node):
            waiting = "\n".join(filter(None, [waiting, statement.lead]))
            yield statement
        else:
            yield replace(statement, lead="\n".join(filter(None, [waiting, statement.lead])))
            waiting = ""


def _bound_names(there: Iterable[KeptCell]) -> dict[str, int]:
    """How many statements of kept cells bind each name at the top level."""
    count: dict[str, int] = {}
    for cell in there:
        for statement in cell.statements if cell.role.kind != "test" else ():
            for name in stored_in([statement.node]) if not is_import(statement.node) else ():
                count[name] = count.get(name, 0) + 1
    return count


def _only_parameters(found: Meaning, statements: Iterable[Statement]) -> None:
    if "help" in found.parameters:
        parameter = found.parameters["help"]
        what = "a parameter `help` cannot be an option of a command line"
        found.problems.add(parameter.cell, parameter.line, what, "give it another name")
    for statement in statements:
        names = stored_in([statement.node])
        if not isinstance(statement.node, ast.Assign | ast.AnnAssign) or not names <= found.parameters.keys():
            what = "the parameters cell does more than bind parameters"
            found.problems.add(statement.cell, statement.line, what, "move it to a cell tagged `setup`")


def _to_module(found: Meaning, statement: Statement, bound: Mapping[str, int], *, shared: bool) -> bool:
    """Take a definition, or a constant of a shared cell; whether it was one."""
    node = statement.node
    name = node.name if isinstance(node, DEFINITIONS) else ""
    if shared and not name:
        name = constant_name(node, found)
        if name in {binding.name for binding in found.pipeline.bindings if binding.changed}:
            return False
    if not name or name in found.parameters:
        return False
    if bound[name] > 1 or name in found.imports:
        if isinstance(node, DEFINITIONS) and shared:
            what = f"`{name}` is defined here, and means something else elsewhere"
            found.problems.add(statement.cell, statement.line, what, "give each its own name")
        return False
    found.module.append(statement)
    found.module_names[name] = statement
    return True


def constant_name(node: ast.stmt, found: Meaning) -> str:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_constant(value, found):
            return name
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if _is_constant(value, found):
            return name
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda()):
            return name
    return ""


def _is_constant(value: ast.expr, found: Meaning) -> bool:
    """Whether an expression gives the same wherever it is evaluated."""
    allowed = (ast.Constant, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.UnaryOp, ast.BinOp, ast.JoinedStr,
               ast.FormattedValue, ast.Attribute, ast.Name, ast.Call, ast.keyword, ast.operator, ast.unaryop,
               ast.expr_context)  # fmt: skip
    for node in ast.walk(value):
        if not isinstance(node, allowed):
            return False
        if isinstance(node, ast.Call) and ast.unparse(node.func) not in PURE_CALLS:
            return False
        known = (found.module_names, found.imports, PURE_CALLS)
        if isinstance(node, ast.Name) and not any(node.id in names for names in known):
            return False
    return True


def _to_unit(found: Meaning, cell: KeptCell, rest: Sequence[Statement]) -> None:
    step = cell.role.name if cell.role.kind == "step" else ""
    units = found.units
    if not rest and not step:
        return
    if units and units[-1].step == step:
        units[-1] = _joined(units[-1], cell, rest)
        return
    if step and any(unit.step == step for unit in units):
        what = f"step {step} goes on here, after cells of another step"
        found.problems.add(cell.index, None, what, "put its cells together, or give this part its own name")
    name = identifier(step) if step else "set_up"
    if step and any(unit.name == name for unit in units):
        what = f"step {step} would be the function `{name}`, as another step is"
        found.problems.add(cell.index, None, what, "give one of them another name")
    if not step and any(unit.name == "set_up" for unit in units):
        name = f"set_up_after_{identifier(units[-1].step)}"
    units.append(Unit(name, step, tuple(rest), cell.tail, (cell.index, cell.tail_at), comparable=cell.comparable))


def _joined(unit: Unit, cell: KeptCell, rest: Sequence[Statement]) -> Unit:
    """The unit with another cell; comments below the last statement so far stay where they are."""
    comparable = unit.comparable and cell.comparable
    if not rest:
        tail = "\n".join(filter(None, [unit.tail, cell.tail]))
        return replace(unit, tail=tail, comparable=comparable)
    first = rest[0]
    if unit.tail:
        first = replace(first, lead="\n\n".join(filter(None, [f"\n{unit.tail}", first.lead.strip("\n")])))
    there = (*unit.statements, first, *rest[1:])
    return replace(unit, statements=there, tail=cell.tail, tail_at=(cell.index, cell.tail_at), comparable=comparable)


def identifier(name: str) -> str:
    """A step's name as a function may have it."""
    import keyword
    import re

    word = re.sub(r"\W+", "_", name).strip("_") or "step"
    word = f"step_{word}" if word[0].isdigit() else word
    return f"{word}_step" if keyword.iskeyword(word) or word in BUILTINS else word
