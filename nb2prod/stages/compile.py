"""A notebook is compiled into a pipeline: cells get roles, names get versions, steps get inputs and outputs.

The notebook is walked once, cell by cell, in order, with a table of what each name means at that point (`_Scope`).
What a cell reads is looked up in the table; what it binds or may change in place becomes the name's new version.
Nothing is executed. What goes wrong is a finding of the pipeline, and of severity error when no pipeline that can be
trusted comes out.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from nb2prod.core.finding import Finding, Severity, in_order
from nb2prod.core.notebook import Notebook
from nb2prod.core.pipeline import (
    PARAMETERS,
    Binding,
    Edge,
    NotebookTest,
    Parameter,
    Pipeline,
    Read,
    Role,
    Step,
)
from nb2prod.language import cell_tests, dialects, module, parameters, tags
from nb2prod.language.names import CellNames, Function, functions_of, names_of
from nb2prod.language.parameter_types import NotStatic, enums_of
from nb2prod.language.plain import PlainCell, plain

SHARED = ("imports", "functions", "setup")  # roles whose cells run before every step
KNOWN = frozenset(dir(builtins)) | {"get_ipython", "display", "__name__", "__file__", "__doc__", "In", "Out", "_", "__"}


def compile(notebook: Notebook) -> Pipeline:
    """The pipeline of a notebook, with the findings that came up on the way."""
    findings = list(notebook.notes)
    roles = _roles(notebook, findings)
    cells = [None if role is None else plain(role.body) for role in roles]
    _report_syntax(roles, cells, findings)
    scope = _walk(notebook, roles, cells)
    declared = _parameters(roles, cells, findings)
    tests = _tests(roles, cells)
    steps = _steps(roles, scope, tests)
    hoistable = [
        (cell, role.kind in SHARED)
        for role, cell in zip(roles, cells, strict=True)
        if role is not None and cell is not None and role.kind in (*SHARED, "step")
    ]
    return Pipeline(
        notebook=notebook,
        roles=tuple(roles),
        parameters=declared,
        steps=steps,
        tests=tuple(test for test in tests if test.step is None),
        module=module.hoist(notebook.name, hoistable, scope.bindings),
        bindings=tuple(scope.bindings),
        reads=tuple(scope.reads),
        findings=in_order(tuple(findings)),
    )


# -- roles ----------------------------------------------------------------------------------------------------------


def _roles(notebook: Notebook, findings: list[Finding]) -> list[Role | None]:
    kale = dialects.is_kale({}, notebook.cells)
    roles: list[Role | None] = []
    last = Role("exploration")
    for cell in notebook.cells:
        if cell.kind != "code":
            roles.append(None)
        elif kale and dialects.joins_previous(cell):
            roles.append(dataclasses.replace(last, body=cell.source, line_offset=0))
        else:
            spoken = tags.role_of(cell.source, dialects.translate(cell.tags, cell.source))
            findings += [Finding("tags", "error", problem, _tag_fix(), cell.index) for problem in spoken.problems]
            roles.append(spoken.role)
            last = spoken.role if spoken.role.kind != "skip" else last
    return roles


def _tag_fix() -> str:
    return "see docs/tags.md for what a cell can say"


def _report_syntax(roles: Sequence[Role | None], cells: Sequence[PlainCell | None], findings: list[Finding]) -> None:
    for index, (role, cell) in enumerate(zip(roles, cells, strict=True)):
        if role is None or cell is None or cell.tree is not None or role.kind == "skip":
            continue
        line = None if cell.error_line is None else cell.error_line + role.line_offset
        # an exploration cell that cannot run is its author's affair until it fails; a tagged one has no meaning
        severity: Severity = "warning" if role.kind == "exploration" else "error"
        message = f"the cell is no valid Python: {cell.error}"
        findings.append(Finding("syntax", severity, message, "correct the cell, or tag it `skip`", index, line))


def _parameters(
    roles: Sequence[Role | None], cells: Sequence[PlainCell | None], findings: list[Finding]
) -> tuple[Parameter, ...]:
    trees = [cell.tree for cell in cells if cell is not None and cell.tree is not None]
    enums = enums_of(trees)
    found: dict[str, Parameter] = {}
    for index, (role, cell) in enumerate(zip(roles, cells, strict=True)):
        if role is None or role.kind != "parameters" or cell is None or cell.tree is None:
            continue
        above = functions_of(_run_trees(roles[:index], cells[:index]))
        try:
            declared = parameters.declared(cell.tree, cell.source, cell=index, enums=enums, functions=above)
        except (NotStatic, SyntaxError) as error:
            message = f"a parameter's type cannot be read: {error}"
            findings.append(Finding("parameter-type", "error", message, "write the type with literals", index))
            continue
        moved = (dataclasses.replace(p, line=p.line + role.line_offset) for p in declared)
        found |= {parameter.name: parameter for parameter in moved}
    return tuple(found.values())


def _run_trees(roles: Iterable[Role | None], cells: Iterable[PlainCell | None]) -> Iterator[ast.Module]:
    """The trees of the cells that are run and whose names stay."""
    for role, cell in zip(roles, cells, strict=True):
        if role is not None and role.kind not in ("skip", "test") and cell is not None and cell.tree is not None:
            yield cell.tree


def _tests(roles: Sequence[Role | None], cells: Sequence[PlainCell | None]) -> list[NotebookTest]:
    found: list[NotebookTest] = []
    for index, (role, cell) in enumerate(zip(roles, cells, strict=True)):
        if role is not None and role.kind == "test" and cell is not None:
            step = role.name or None
            found += cell_tests.collect(cell.source, cell=index, step=step, line_offset=role.line_offset)
    return found


# -- names ----------------------------------------------------------------------------------------------------------


@dataclass
class _Scope:
    """What each name means at one point of the walk.

    `now` is what the notebook as a whole makes of it, `surviving` what is left when exploration cells are not run.
    """

    now: dict[str, Binding] = field(default_factory=dict)
    surviving: dict[str, Binding] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    bindings: list[Binding] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    stars: bool = False


def _walk(notebook: Notebook, roles: Sequence[Role | None], cells: Sequence[PlainCell | None]) -> _Scope:
    scope = _Scope()
    for index, (role, cell) in enumerate(zip(roles, cells, strict=True)):
        if role is None or cell is None or cell.tree is None or role.kind == "skip":
            continue
        names = names_of(cell.tree, scope.functions)
        source = role.name if role.kind == "step" else role.kind
        _look_up(scope, names, index, source, role.line_offset)
        if role.kind != "test":
            _bind(scope, names, index, source, role.line_offset)
    return scope


def _look_up(scope: _Scope, names: CellNames, cell: int, source: str, offset: int) -> None:
    scope.stars = scope.stars or bool(names.stars)
    for read in names.reads:
        binding = scope.now.get(read.name)
        if read.inside or (binding is None and (read.name in KNOWN or scope.stars)):
            continue
        bound_here = any(bind.name == read.name and bind.line <= read.line for bind in names.binds)
        if binding is None and bound_here:
            continue
        surviving = scope.surviving.get(read.name)
        scope.reads.append(Read(read.name, cell, read.line + offset, source, binding, surviving, read.through))


def _bind(scope: _Scope, names: CellNames, cell: int, source: str, offset: int) -> None:
    for name, line in names.changes:
        earlier = scope.now.get(name)
        if earlier is not None and earlier.kind == "value":
            _record(scope, Binding(name, cell, line + offset, source, "value", changed=True))
    for bind in names.binds:
        certain = bind.name in names.bound
        earlier = scope.now.get(bind.name)
        if not certain and earlier is not None and earlier.cell != cell:
            # what a branch may leave as it was passes through this cell
            surviving = scope.surviving.get(bind.name)
            scope.reads.append(Read(bind.name, cell, bind.line + offset, source, earlier, surviving))
        # a lambda is a value to Python, and code to us: it is hoisted like a function
        is_lambda = bind.kind == "value" and bind.name in names.functions
        kind = "function" if is_lambda else bind.kind
        _record(scope, Binding(bind.name, cell, bind.line + offset, source, kind, certain=certain))
    for name, _ in names.deletes:
        if name not in names.bound:
            scope.now.pop(name, None)
            scope.surviving.pop(name, None)
    for name in {bind.name for bind in names.binds}:
        scope.functions.pop(name, None)
    scope.functions |= names.functions


def _record(scope: _Scope, binding: Binding) -> None:
    scope.bindings.append(binding)
    scope.now[binding.name] = binding
    if binding.source != "exploration" or binding.kind == "import":
        scope.surviving[binding.name] = binding


# -- steps ----------------------------------------------------------------------------------------------------------


def _steps(roles: Sequence[Role | None], scope: _Scope, tests: Iterable[NotebookTest]) -> tuple[Step, ...]:
    cells: dict[str, list[int]] = {}
    for index, role in enumerate(roles):
        if role is not None and role.kind == "step":
            cells.setdefault(role.name, []).append(index)
    edges = {name: _edges(name, scope.reads) for name in cells}
    read_by_others = {
        (edge.source, edge.name) for name, found in edges.items() for edge in found if edge.source != name
    }
    by_step: dict[str, list[NotebookTest]] = {}
    for test in tests:
        if test.step is not None:
            by_step.setdefault(test.step, []).append(test)
    return tuple(
        _step(name, [roles[i] for i in indexes], indexes, edges[name], scope, read_by_others, by_step.get(name, []))
        for name, indexes in cells.items()
    )


def _step(
    name: str,
    roles: Sequence[Role | None],
    cells: Sequence[int],
    edges: tuple[Edge, ...],
    scope: _Scope,
    read_by_others: set[tuple[str, str]],
    tests: Sequence[NotebookTest],
) -> Step:
    said = [role for role in roles if role is not None]
    bound = [b for b in scope.bindings if b.source == name and b.kind == "value"]
    kept = {
        *(word for role in said for word in (*role.metrics, *role.models, *role.examples, *role.plots)),
        *(word for source, word in read_by_others if source == name),
    }
    inputs = dict.fromkeys(edge.name for edge in edges if edge.source != PARAMETERS)
    models = [word for role in said for word in role.models]
    examples = [word for role in said for word in role.examples]
    return Step(
        name=name,
        cells=tuple(cells),
        inputs=tuple(inputs),
        outputs=tuple(dict.fromkeys(b.name for b in bound if b.name in kept)),
        changes=tuple(dict.fromkeys(b.name for b in bound if b.changed and b.name in inputs)),
        parameters=tuple(dict.fromkeys(edge.name for edge in edges if edge.source == PARAMETERS)),
        after=tuple(dict.fromkeys(word for role in said for word in role.after)),
        edges=edges,
        metrics=tuple(dict.fromkeys(word for role in said for word in role.metrics)),
        model=models[-1] if models else None,
        example=examples[-1] if examples else None,
        plots=tuple(dict.fromkeys(word for role in said for word in role.plots)),
        tests=tuple(tests),
        retries=max(role.retries for role in said),
        timeout=min((role.timeout for role in said if role.timeout is not None), default=None),
        cache=all(role.cache for role in said),
        reads=tuple(dict.fromkeys(word for role in said for word in role.reads)),
    )


def _edges(step: str, reads: Iterable[Read]) -> tuple[Edge, ...]:
    """What a step takes from other steps and from the parameters. What every step has anyway makes no edge."""
    found: dict[tuple[str, str], Edge] = {}
    for read in reads:
        binding = read.surviving
        if read.source != step or binding is None or binding.source in (step, *SHARED) or binding.kind != "value":
            continue
        through = f" through {read.through}" if read.through else ""
        verb = "changed" if binding.changed else "bound"
        edge = Edge(
            name=read.name,
            version=binding.version,
            source=binding.source,
            kind="assumed",
            reason=f"read in cell {read.cell}, line {read.line}{through}; {verb} in cell {binding.cell}",
        )
        found.setdefault((edge.name, edge.version), edge)
    return tuple(found.values())
