"""A notebook is compiled into a pipeline: cells get roles, names get versions, steps get inputs and outputs.

`versions` walks the notebook once, cell by cell, with a table of what each name means at that point: what a cell reads
is looked up in it, what it binds or may change in place becomes the name's new version. Steps are made of that.
Nothing is executed. What goes wrong is a finding of the pipeline, and of severity error when no pipeline that can be
trusted comes out.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from nb2prod.core.finding import Finding, Severity, in_order
from nb2prod.core.notebook import Notebook
from nb2prod.core.pipeline import (
    PARAMETERS,
    RANDOM,
    SHARED,
    Binding,
    Edge,
    NotebookTest,
    Parameter,
    Pipeline,
    Read,
    Role,
    Step,
)
from nb2prod.language import cell_tests, dialects, module, parameters, python2, stars
from nb2prod.language.names import functions_of
from nb2prod.language.parameter_types import NotStatic, enums_of
from nb2prod.language.plain import PlainCell, plain
from nb2prod.stages.versioning.table import Versions
from nb2prod.stages.versions import versions

NONE: stars.Names = {}


def compile(notebook: Notebook, names: stars.Names = NONE) -> Pipeline:
    """The pipeline of a notebook, with the findings that came up on the way.

    `names` are what the modules of star imports bind, where that is known (`resolve`).
    """
    findings = list(notebook.notes)
    roles = _roles(notebook, findings)
    cells = [None if role is None else _named(plain(role.body), names) for role in roles]
    _report_syntax(roles, cells, findings)
    scope = versions(roles, cells)
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
        stars=names,
    )


def _named(cell: PlainCell, names: stars.Names) -> PlainCell:
    return cell if cell.tree is None or not names else dataclasses.replace(cell, tree=stars.named(cell.tree, names))


# -- roles ----------------------------------------------------------------------------------------------------------


def _roles(notebook: Notebook, findings: list[Finding]) -> list[Role | None]:
    spoken = dialects.spoken(notebook)
    for cell, said in zip(notebook.cells, spoken, strict=True):
        problems = said.problems if said is not None else ()
        findings += [Finding("tags", "error", problem, _tag_fix(), cell.index) for problem in problems]
    return [None if said is None else said.role for said in spoken]


def _tag_fix() -> str:
    return "see docs/tags.md for what a cell can say"


def _report_syntax(roles: Sequence[Role | None], cells: Sequence[PlainCell | None], findings: list[Finding]) -> None:
    for index, (role, cell) in enumerate(zip(roles, cells, strict=True)):
        if role is None or cell is None or cell.tree is not None or role.kind == "skip":
            continue
        line = None if cell.error_line is None else cell.error_line + role.line_offset
        # an exploration cell that cannot run is its author's affair until it fails; a tagged one has no meaning
        severity: Severity = "warning" if role.kind == "exploration" else "error"
        old = python2.sign(cell.source, cell.error_line)
        reason = f"it is Python 2 ({old})" if old else f"the cell is no valid Python: {cell.error}"
        fix = "rewrite it for Python 3 (2to3 does most of it)" if old else "correct the cell"
        findings.append(Finding("syntax", severity, reason, f"{fix}, or tag it `skip`", index, line))


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


# -- steps ----------------------------------------------------------------------------------------------------------


def _steps(roles: Sequence[Role | None], scope: Versions, tests: Iterable[NotebookTest]) -> tuple[Step, ...]:
    cells: dict[str, list[int]] = {}
    for index, role in enumerate(roles):
        if role is not None and role.kind == "step":
            cells.setdefault(role.name, []).append(index)
    edges = {name: _edges_to(name, scope.read_by(name)) for name in cells}
    tested: dict[str, list[Read]] = {}
    for read in scope.read_by("test"):
        if read.name != RANDOM:
            tested.setdefault(_tested_step(read, roles), []).append(read)
    for_tests = {name: _edges_to(name, tested.get(name, ())) for name in cells}
    read_by_others = {
        (edge.source, edge.name)
        for found in (edges, for_tests)
        for name, there in found.items()
        for edge in there
        if edge.source != name
    }
    read_by_others |= {(read.surviving.source, read.name) for read in tested.get("", ()) if read.surviving is not None}
    by_step: dict[str, list[NotebookTest]] = {}
    for test in tests:
        if test.step is not None:
            by_step.setdefault(test.step, []).append(test)
    return tuple(
        _step(
            name,
            [roles[i] for i in indexes],
            indexes,
            (edges[name], for_tests[name]),
            scope,
            read_by_others,
            by_step.get(name, []),
        )
        for name, indexes in cells.items()
    )


def _step(
    name: str,
    roles: Sequence[Role | None],
    cells: Sequence[int],
    edges: tuple[tuple[Edge, ...], tuple[Edge, ...]],
    scope: Versions,
    read_by_others: set[tuple[str, str]],
    tests: Sequence[NotebookTest],
) -> Step:
    said = [role for role in roles if role is not None]
    bound = [b for b in scope.bindings if b.source == name and b.kind == "value" and b.name != RANDOM]
    kept = {
        *(word for role in said for word in (*role.metrics, *role.models, *role.examples, *role.plots)),
        *(word for source, word in read_by_others if source == name),
    }
    own, for_tests = edges
    inputs = dict.fromkeys(edge.name for edge in own if edge.source != PARAMETERS and edge.name != RANDOM)
    parameters = dict.fromkeys(edge.name for edge in own if edge.source == PARAMETERS)
    parameters |= dict.fromkeys(scope.shared_parameters(name))
    models = [word for role in said for word in role.models]
    examples = [word for role in said for word in role.examples]
    return Step(
        name=name,
        cells=tuple(cells),
        inputs=tuple(inputs),
        outputs=tuple(dict.fromkeys(b.name for b in bound if b.name in kept)),
        changes=_changes(bound, {*inputs, *parameters}),
        parameters=tuple(parameters),
        after=tuple(dict.fromkeys(word for role in said for word in role.after)),
        edges=own,
        metrics=tuple(dict.fromkeys(word for role in said for word in role.metrics)),
        model=models[-1] if models else None,
        example=examples[-1] if examples else None,
        predicts=tuple(dict.fromkeys(word for role in said for word in role.predicts)),
        plots=tuple(dict.fromkeys(word for role in said for word in role.plots)),
        tests=tuple(tests),
        retries=max(role.retries for role in said),
        retry_on=tuple(dict.fromkeys(word for role in said for word in role.retry_on)),
        timeout=min((role.timeout for role in said if role.timeout is not None), default=None),
        cache=all(role.cache for role in said),
        reads=tuple(dict.fromkeys(word for role in said for word in role.reads)),
        test_inputs=tuple(dict.fromkeys(e.name for e in for_tests if e.name not in {*inputs, *parameters})),
        test_edges=for_tests,
    )


def _changes(bound: Sequence[Binding], taken: set[str]) -> tuple[str, ...]:
    """What the step did not make and may change in place, what shared cells made included."""
    first: dict[str, Binding] = {}
    for binding in bound:
        first.setdefault(binding.name, binding)
    changed = dict.fromkeys(b.name for b in bound if b.changed)
    return tuple(name for name in changed if name in taken or first[name].changed)


def _tested_step(read: Read, roles: Sequence[Role | None]) -> str:
    role = roles[read.cell]
    return role.name if role is not None else ""


def _edges_to(step: str, reads: Iterable[Read]) -> tuple[Edge, ...]:
    """What comes from other steps and from the parameters. What every step has anyway makes no edge."""
    found: dict[tuple[str, str], Edge] = {}
    for read in reads:
        binding = read.surviving
        if binding is None or binding.source == step or binding.kind != "value":
            continue
        if binding.source in SHARED and read.name != RANDOM:
            continue
        edge = Edge(read.name, binding.version, binding.source, "assumed", _reason(read, binding))
        found.setdefault((edge.name, edge.version), edge)
    return tuple(found.values())


def _reason(read: Read, binding: Binding) -> str:
    place = f"in cell {read.cell}, line {read.line}"
    if read.name == RANDOM:
        return f"random numbers drawn {place}; the stream was last seeded or drawn from in cell {binding.cell}"
    through = f" through {read.through}" if read.through else ""
    verb = "changed" if binding.changed else "bound"
    if read.alias:
        return f"changed {place} with `{read.alias}`, as it may be or hold the same; {verb} in cell {binding.cell}"
    return f"read {place}{through}; {verb} in cell {binding.cell}"
