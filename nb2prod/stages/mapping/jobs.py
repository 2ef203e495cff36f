"""A pipeline as the job of a map's workers: which cells run once in a process, and which once an item.

Imports, functions and setup cells are meant to run once. One of them runs once an item all the same, in its place among
the steps, when running it earlier or only once would be seen:

* it reads what a parameter, a step or another such cell gives a value, or binds such a name anew;
* it draws or seeds random numbers after one that did;
* it stands after a step, and does more than import and define;
* it makes what cannot be in two processes (an open file, a connection), or a random stream of its own;
* without a fork: it binds what a step changes.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nb2prod.core.errors import UsageError
from nb2prod.core.mapping import MapPlan
from nb2prod.core.pipeline import RANDOM, SHARED, Pipeline, Role
from nb2prod.kernel import hold
from nb2prod.kernel.map_job import CellSort, Job, JobCell
from nb2prod.language import surroundings
from nb2prod.language.plain import PlainCell, plain
from nb2prod.storage.model_formats import of_its_own

GENERATORS = ("default_rng", "RandomState", "Random", "Generator")
HISTORY = re.compile(r"_{1,3}|_i{1,3}|_\d+|_i\d+|In|Out|_oh|_ih|_dh")
FIX = "--isolation fork or shared, where a cell may use IPython"


def job_of(plan: MapPlan, python: str = "") -> Job:
    """The job. Raises UsageError for what a map, or this isolation, cannot do."""
    pipeline = plan.pipeline
    _refuse_history(pipeline)
    once_an_item = cold(pipeline, forked=plan.isolation == "fork")
    cells = tuple(_cells(pipeline, once_an_item))
    if plan.isolation == "function":
        cells = tuple(_without_ipython(cell, plain(cell.source)) for cell in cells)
    warm = {cell.index for cell in cells if cell.sort == "warm"}
    job = Job(
        digest="",
        notebook=pipeline.notebook.name,
        folder=str(pipeline.notebook.folder),
        cells=cells,
        parameters=pipeline.parameters,
        module=of_its_own(pipeline.module),
        isolation=plan.isolation,
        given=plan.given,
        rows=plan.rows,
        timeout=plan.timeout,
        tests=plan.tests,
        seeded=any(binding.name == RANDOM and binding.cell in warm for binding in pipeline.bindings),
        python=python,
        modules=_modules(pipeline),
        proofs=plan.proofs,
        known=tuple(sorted(hold.names_of(pipeline, 0)[1])) if any(cell.retries for cell in cells) else (),
    )
    return dataclasses.replace(job, digest=hashlib.sha256(pickle.dumps((plan.run, job))).hexdigest())


def code_of(pipeline: Pipeline) -> str:
    """A digest of the notebook's code cells with their tags: outputs, texts and metadata are no part of it."""
    cells = [(cell.source, sorted(cell.tags)) for cell in pipeline.notebook.cells if cell.kind == "code"]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


# -- once, or once an item --------------------------------------------------------------------------------------------


def cold(pipeline: Pipeline, *, forked: bool) -> frozenset[int]:
    """The imports, functions and setup cells that run once an item."""
    roles = enumerate(pipeline.roles)
    shared = [index for index, role in roles if role is not None and role.kind in (*SHARED, "exploration")]
    found: set[int] = set()
    while True:
        more = {index for index in shared if index not in found and _is_cold(pipeline, index, found, forked)}
        if not more:
            return frozenset(found)
        found |= more


def _is_cold(pipeline: Pipeline, cell: int, cold: set[int], forked: bool) -> bool:
    role = pipeline.roles[cell]
    assert role is not None
    if role.kind == "exploration":
        return False  # of which only the imports run
    own = [binding for binding in pipeline.bindings if binding.cell == cell]
    reads = [read for read in pipeline.reads if read.cell == cell and read.surviving is not None]
    late = {
        index
        for index, other in enumerate(pipeline.roles)
        if other is not None and (other.kind in ("parameters", "step", "test") or index in cold)
    }
    if any(read.surviving is not None and read.surviving.cell in late for read in reads if read.name != RANDOM):
        return True
    earlier = [binding for binding in pipeline.bindings if binding.cell in late and binding.cell < cell]
    if {binding.name for binding in own} & {binding.name for binding in earlier}:
        return True  # the random streams are a name like the others here
    tree = plain(role.body).tree
    steps = [index for index, other in enumerate(pipeline.roles) if other is not None and other.kind == "step"]
    if steps and cell > min(steps) and tree is not None and not _only_defines(tree):
        return True
    if any(binding.resource for binding in own) or (tree is not None and _makes_a_stream(tree)):
        return True
    names = {binding.name for binding in own if binding.name != RANDOM}
    changed = {binding.name for binding in pipeline.bindings if binding.changed and binding.cell in late}
    return not forked and bool(names & changed)


def _only_defines(tree: ast.Module) -> bool:
    """Imports and definitions alone: where they stand does not matter to a notebook that has been checked."""
    return all(
        surroundings.is_import(statement)
        or isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for statement in tree.body
    )


def _makes_a_stream(tree: ast.Module) -> bool:
    """`rng = np.random.default_rng()`: made once, all items would draw the same numbers from it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in GENERATORS:
            return True
    return False


# -- cells ------------------------------------------------------------------------------------------------------------


def _cells(pipeline: Pipeline, cold: frozenset[int]) -> Iterator[JobCell]:
    last = {step.cells[-1]: step for step in pipeline.steps}
    for index, role in enumerate(pipeline.roles):
        if role is None or role.kind == "skip":
            continue
        source = "\n" * role.line_offset + _source(role)
        if not source.strip():
            continue
        step = last.get(index)
        yield JobCell(
            index=index,
            sort=_sort(role, index in cold),
            source=source,
            step=role.name,
            may_fail="raises-exception" in pipeline.notebook.cells[index].tags,
            metrics=step.metrics if step else (),
            model=step.model if step else None,
            example=step.example if step else None,
            **_tries(pipeline, index, role),
        )


def _tries(pipeline: Pipeline, index: int, role: Role) -> dict[str, Any]:
    """How a step's cell runs, as its tags say."""
    step = next((step for step in pipeline.steps if index in step.cells), None)
    if role.kind != "step" or step is None:
        return {}
    names = sorted(hold.names_of(pipeline, index)[0]) if step.retries else ()
    told = {"retries": step.retries, "retry_on": step.retry_on, "timeout": step.timeout, "names": tuple(names)}
    return {name: value for name, value in told.items() if value}


def _sort(role: Role, cold: bool) -> CellSort:
    match role.kind:
        case "parameters":
            return "parameters"
        case "step":
            return "step"
        case "test":
            return "test"
    return "shared" if cold else "warm"


def _source(role: Role) -> str:
    if role.kind == "exploration":
        return _imports_only(role.body)
    return plain(role.body).source if role.kind == "test" else role.body


def _imports_only(source: str) -> str:
    """The import statements of an exploration cell, each on its line: a later cell may use them."""
    tree = plain(source).tree
    lines = [""] * (source.count("\n") + 2)
    for statement in tree.body if tree is not None else ():
        if surroundings.is_import(statement):
            lines[statement.lineno - 1] = ast.unparse(statement).replace("\n", "; ")
    return "\n".join(lines).rstrip("\n")


def _modules(pipeline: Pipeline) -> Mapping[str, str]:
    """The files beside the notebook that its cells import, for a machine that does not have the folder."""
    folder = pipeline.notebook.folder
    names: set[str] = set()
    for role in pipeline.roles:
        tree = plain(role.body).tree if role is not None else None
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    found = {name: _beside(folder, name) for name in sorted(names)}
    return {f"{name}.py": source for name, source in found.items() if source is not None}


def _beside(folder: Path, name: str) -> str | None:
    path = folder / f"{name}.py"
    return path.read_text(encoding="utf-8") if path.is_file() else None


# -- what is refused --------------------------------------------------------------------------------------------------


def _refuse_history(pipeline: Pipeline) -> None:
    """`_` and `Out[3]` are IPython's memory of what cells showed; a map shows nothing."""
    for read in pipeline.reads:
        if read.binding is None and HISTORY.fullmatch(read.name) and read.source not in ("exploration", "skip"):
            raise UsageError(
                f"`{read.name}` is what IPython keeps of earlier outputs, and a map keeps none",
                where=f"cell {read.cell}, line {read.line}",
                fix="give the value a name where it is made",
            )


def _without_ipython(cell: JobCell, read: PlainCell) -> JobCell:
    """The cell without magics that only change how a notebook looks. Raises UsageError for any other."""
    lines = cell.source.split("\n")
    for magic in read.magics:
        line = lines[magic.line - 1].strip()
        if magic.treatment != "strip" or not line.startswith("%"):
            raise UsageError(
                f"`{line}` needs IPython, and mode function runs cells without it",
                where=f"cell {cell.index}, line {magic.line}",
                fix=FIX,
            )
        lines[magic.line - 1] = ""
    for node in ast.walk(read.tree) if read.tree is not None else ():
        if isinstance(node, ast.Name) and node.id in ("get_ipython", "display"):
            if not read.magics:
                raise UsageError(
                    f"`{node.id}` needs IPython, and mode function runs cells without it",
                    where=f"cell {cell.index}, line {node.lineno}",
                    fix=FIX,
                )
        elif isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith) and cell.sort != "test":
            _refuse_await(cell, read, node)
    return dataclasses.replace(cell, source="\n".join(lines))


def _refuse_await(cell: JobCell, read: PlainCell, node: ast.AST) -> None:
    """`await` inside a function is the function's own; at top level it needs IPython's loop."""
    functions = [
        inner for inner in ast.walk(read.tree or ast.Module([], [])) if isinstance(inner, ast.AsyncFunctionDef)
    ]
    if not any(node in ast.walk(function) for function in functions):
        line = getattr(node, "lineno", 1)
        raise UsageError(
            "`await` outside of a function needs IPython, and mode function runs cells without it",
            where=f"cell {cell.index}, line {line}",
            fix=FIX,
        )
