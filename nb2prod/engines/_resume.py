"""Resume points, seen from the engine: when one is taken, what the kernel is told for it, and how a run goes on.

At the end of each step the engine writes a page (what happened since the last point: events, outputs), and asks the
kernel for its values (`kernel.checkpoint`), which are written while the next cell runs. A point costs some
milliseconds; when many small steps would make that count (more than a twentieth of the run), some go without.

A run that goes on begins with a new kernel in which the values are put back: its cells up to the point keep the
outputs that they had.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from nb2prod.core.errors import Nb2prodError, StoreError
from nb2prod.core.events import ArtifactKept, Event, KernelStarted, ParametersComputed, StepFinished, StepStarted
from nb2prod.core.pipeline import Plan, Role
from nb2prod.core.ports import Publish
from nb2prod.engines._executed import Executed
from nb2prod.engines._kernel import Died
from nb2prod.engines._outputs import Refused
from nb2prod.engines._pieces import SETTINGS, Piece, only_imported
from nb2prod.kernel.checkpoint import Wanted
from nb2prod.kernel.step_work import CellWork
from nb2prod.language import parameters, surroundings
from nb2prod.language.plain import plain
from nb2prod.language.same_code import key_of
from nb2prod.storage import journal, points, step_entries
from nb2prod.storage.notebook_node import from_dict
from nb2prod.storage.store import LocalStore, Store, open_store

OPTION = "checkpoints"  # {"store": where}: points are taken
RESUME = "resume"  # {"store": where, "run": whose points, "position": in that run, "cells": {position: position now}}
FREE = 0.25  # seconds that points may take in any case …
SHARE = 0.05  # … and the share of the run's time that they may take beyond
SETTLE = 120.0  # seconds that the end of a run waits for the last point to be written
# words with which code reaches names that it does not mention
ANY_NAME = frozenset(
    ["globals", "locals", "vars", "eval", "exec", "dir", "get_ipython", "user_ns", "who", "whos", "who_ls", "macro"]
)
HISTORY = re.compile(r"In|Out|_+|_dh|_oh|_ih|_i+|_i?\d+")
HISTORY_WORD = re.compile(rf"(?<!\w)(?:{HISTORY.pattern})(?!\w)")
# what sets up a library for good, and can be done again in the same words
AGAIN = ("autolog", "set_experiment", "set_tracking_uri", "basicConfig", "tqdm.pandas", "field_size_limit")
NO_AGAIN_LOST = ("set_experiment", "set_tracking_uri", "autolog")
_log = logging.getLogger("nb2prod.resume")


@dataclasses.dataclass(frozen=True, slots=True)
class _Cell:
    """A code cell that runs, and what of it counts for those that run after a point."""

    position: int
    index: int | None
    role: Role | None
    source: str
    code: str
    is_test: bool


class Points:
    """The points of one run under way; without a store none are taken, and the run may still go on from one."""

    def __init__(self, plan: Plan, notebook: Any, publish: Publish) -> None:
        self.plan = plan
        self.notebook = notebook
        self._publish = publish
        self.where = str(plan.options.get(OPTION, {}).get("store", ""))
        self.resumed = resumed_of(plan)
        self.start = self.resumed.position if self.resumed is not None else -1  # the cells up to here are done
        self.cells = list(running_cells(plan, notebook))
        self.lines: list[str] = []  # events since the last page
        self.pages: list[str] = []
        self.open: set[str] = set()  # steps that have begun and not ended
        self.told = -1  # position of the last cell that a page has
        self.spent = 0.0
        self.began = time.monotonic()

    def publish(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            self.open.add(event.step)
        elif isinstance(event, StepFinished):
            self.open.discard(event.step)
        if not isinstance(event, KernelStarted):
            self.lines.append(journal.encode(event))
        self._publish(event)

    def ends_a_step(self, position: int) -> bool:
        index = self.author(position)
        return any(step.cells[-1] == index for step in self.plan.pipeline.steps)

    def author(self, position: int) -> int | None:
        """The number of a cell in the author's notebook."""
        number: int | None = self.notebook.cells[position].metadata.get("nb2prod", {}).get("cell")
        return number

    def wanted(self, position: int, displays: Mapping[str, Any], count: int, lost: str) -> Wanted | None:
        """What to ask the kernel for after the cell at `position`; None when there is to be no point."""
        later = [cell for cell in self.cells if cell.position > position]
        affordable = self.spent <= FREE + SHARE * (time.monotonic() - self.began)
        if not self.where or self.open or not later or not affordable:
            return None
        page = points.Page(tuple(self.lines), tuple(self._ran(position, displays)), displays)
        self.pages.append(points.put_page(open_store(self.where), page))
        self.lines, self.told = [], position
        wanted = wanted_at(self.plan, self.cells, position, self.notebook)
        refused = lost or wanted.refused
        return dataclasses.replace(wanted, store=self.where, pages=tuple(self.pages), count=count, refused=refused)

    def _ran(self, position: int, displays: Mapping[str, Any]) -> Iterator[points.RanCell]:
        """The cells since the last page, and earlier ones whose output may have been updated."""
        shown = {int(place) for places in displays.values() for place in places}
        for cell in self.cells:
            if cell.position <= position and (cell.position > self.told or cell.position in shown):
                made = self.notebook.cells[cell.position]
                told = made.metadata.get("papermill", {})
                count = made.get("execution_count")
                outputs = tuple(made.get("outputs", ()))
                yield points.RanCell(cell.position, cell.index, cell.code, count, outputs, told)


@dataclasses.dataclass(frozen=True, slots=True)
class Resumed:
    """The point that a run goes on from, and what happened before it; `position` is that of its last cell here."""

    store: str
    run: str
    point: points.Point
    position: int
    cells: Mapping[int, int]
    story: points.Story


def resumed_of(plan: Plan) -> Resumed | None:
    """Where the plan goes on; None when it begins at the beginning. Raises StoreError when content is missing."""
    option = plan.options.get(RESUME)
    if not option or "position" not in option:
        return None
    store = open_store(option["store"])
    point = points.read(store, points.name_of(option["run"], option["position"]))
    assert point is not None, "the plan names a point that was there"
    cells = {int(old): new for old, new in option["cells"].items()}
    story = points.story_of(option["store"], point)
    return Resumed(option["store"], option["run"], point, cells[point.position], cells, story)


def put_back(plan: Plan, notebook: Any, resumed: Resumed) -> Wanted:
    """What a new kernel is told, so that it has the values of the point."""
    cells = list(running_cells(plan, notebook))
    wanted = wanted_at(plan, cells, resumed.position, notebook)
    point = resumed.point
    wanted = dataclasses.replace(wanted, store=resumed.store, run=resumed.run, position=point.position)
    return dataclasses.replace(wanted, words=(), count=point.count)


# -- beside the client that sends the cells --------------------------------------------------------------------------


class Client(Protocol):
    """What is needed of it."""

    points: Points | None
    running: Any
    executed: Executed
    place: Any
    count: int

    def _ask(self, question: str, **what: Any) -> object: ...


def points_of(plan: Plan, notebook: Any, running: Any) -> Points | None:
    """The points of a run that is to have some; from now on they hear its events."""
    if OPTION not in plan.options and RESUME not in plan.options:
        return None
    found = Points(plan, notebook, running.publish)
    running.publish = found.publish
    return found


def place_ready(client: Client) -> None:
    """Before the first cell. Raises StoreError when the values of a point do not come back."""
    here = client.points
    if here is None:
        return
    client._ask("watched")
    if here.resumed is None:
        return
    here.pages, here.told = list(here.resumed.point.pages), here.resumed.position
    client.count = here.resumed.point.count
    restored(client.executed, here.resumed)
    events = here.resumed.story.events
    kept = [journal.encode(event) for event in events if isinstance(event, ArtifactKept)]
    told = any(isinstance(event, ParametersComputed | StepStarted) for event in events)
    try:
        wanted = dataclasses.asdict(put_back(here.plan, here.notebook, here.resumed))
        client._ask("put_back", wanted=wanted, kept=kept, told=told)
    except Refused as error:
        raise StoreError(
            f"the run cannot go on: {error}", where=here.plan.directory, fix="run it anew, without --resume"
        ) from error


def cell_done(client: Client, position: int) -> None:
    """After a cell: at the end of a step a point, if there is to be one."""
    here = client.points
    if here is None or client.running.failure is not None or not here.ends_a_step(position):
        return
    began = time.monotonic()
    lost = "later cells may change the widgets that are shown" if client.place.metadata.get("widgets") else ""
    try:
        wanted = here.wanted(position, displays_of(client.executed), client.count, lost)
        if wanted is not None:
            client._ask("point", wanted=dataclasses.asdict(wanted))
    except (Refused, StoreError) as error:
        _log.warning("there is no resume point after cell %s: %s", here.author(position), error)
    except Died as error:
        _log.debug("the process died while it was asked for a resume point, which the next cell reports: %s", error)
    here.spent += time.monotonic() - began


def settled(client: Client) -> None:
    """At the end: wait for the point that is still being written."""
    failure = client.running.failure
    if client.points is not None and (failure is None or failure.kind in ("cell", "keep", "input")):
        with contextlib.suppress(Died):  # it had nothing more to do
            client._ask("settled", seconds=SETTLE)
        if client.points.where:
            _make_room(open_store(client.points.where), client.running.plan.run)


def _make_room(store: Store, run: str) -> None:
    """The points of the notebook's earlier runs go, with what only they needed; the store stays within its limit."""
    if not isinstance(store, LocalStore):
        return
    try:
        if points.forget_earlier(store, run):
            step_entries.prune(store)
        limit = step_entries.limit()
        if sum(kept.size for kept in store.contents()) > limit:
            step_entries.prune(store, to=limit)
    except Nb2prodError as error:
        logging.getLogger("nb2prod.points").warning("the resume points of earlier runs stay: %s", error)


def displays_of(executed: Executed) -> dict[str, dict[str, list[int]]]:
    """Display name -> position -> which of the cell's outputs."""
    found: dict[str, dict[str, list[int]]] = {}
    for name, places in executed._shown.items():
        for position, output in places:
            outputs = executed.cell(position).outputs
            number = next((n for n, one in enumerate(outputs) if one is output), None)
            if number is not None:
                found.setdefault(name, {}).setdefault(str(position), []).append(number)
    return found


def restored(executed: Executed, resumed: Resumed) -> None:
    """Give the cells up to the point the outputs that they had, under the names by which they are updated."""
    for ran in resumed.story.cells:
        position = resumed.cells[ran.position]
        cell = executed.cell(position)
        cell.outputs = [from_dict(output) for output in ran.outputs]
        cell.execution_count = ran.count
        if ran.metadata:
            cell.metadata["papermill"] = from_dict(dict(ran.metadata))
        executed.changed(position)
    for name, places in resumed.story.displays.items():
        for place, numbers in places.items():
            position = resumed.cells[int(place)]
            outputs = executed.cell(position).outputs
            executed._shown.setdefault(name, []).extend((position, outputs[number]) for number in numbers)


# -- what counts of the cells ----------------------------------------------------------------------------------------


def running_cells(plan: Plan, notebook: Any) -> Iterator[_Cell]:
    """The code cells that a run of the plan runs, in order."""
    for position, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        index = cell.metadata.get("nb2prod", {}).get("cell")
        role = plan.pipeline.roles[index] if index is not None else None
        kind = role.kind if role is not None else ""
        if kind == "skip" or (plan.only_steps and kind == "exploration"):
            continue
        source = role.body if role is not None else str(cell.source)
        yield _Cell(position, index, role, source, key_of(role) if role is not None else "", kind == "test")


def wanted_at(plan: Plan, cells: Iterable[_Cell], position: int, notebook: Any) -> Wanted:
    """What is known of a point after the cell at `position` from the code alone."""
    cells = list(cells)
    past, later = _split(cells, position)
    trees = [tree for cell in past if not cell.is_test and (tree := plain(cell.source).tree) is not None]
    imports = frozenset(name for tree in trees for name in surroundings.names_of_imports(tree))
    piece = _piece(past)
    statements = [statement for tree in trees for statement in tree.body]
    again = [s for s in statements if surroundings.is_import(s) or _again(s, imports)]
    binds = set().union(*map(_bound_in, trees))
    return Wanted(
        store="",
        run=plan.run,
        position=position,
        words=_words(plan, past, later),
        imports=tuple(ast.unparse(statement) for statement in again),
        imported=tuple(sorted(only_imported((piece,)))),
        binds=tuple(sorted(binds)),
        magics=_settings(past),
        sources=tuple((_count(notebook, cell), cell.source) for cell in past if _defines(cell)),
        secrets=_secrets(plan),
        injected=_injected_secrets(plan),
        refused=_in_the_way(plan, statements, again, imports, later, binds),
    )


def _split(cells: list[_Cell], position: int) -> tuple[list[_Cell], list[_Cell]]:
    return [c for c in cells if c.position <= position], [c for c in cells if c.position > position]


def _piece(cells: Iterable[_Cell]) -> Piece:
    works = tuple(CellWork(c.position, c.index, c.source, 0, c.is_test) for c in cells)
    return Piece(0, "", works, frozenset(), frozenset(), frozenset())


def _words(plan: Plan, past: list[_Cell], later: list[_Cell]) -> tuple[str, ...] | None:
    """Every word that the cells to come contain, and what runs without being mentioned; None: any name may be read."""
    found = set().union(*(_all_words(cell.source) for cell in later), *(_words_in_functions(c.source) for c in past))
    if found & ANY_NAME:
        return None
    pipeline = plan.pipeline
    for step in pipeline.steps:
        found |= {*step.inputs, *step.metrics, *step.plots, step.model or "", step.example or ""}
    return tuple(sorted(found | set(pipeline.module.names) | {parameter.name for parameter in pipeline.parameters}))


@functools.lru_cache(maxsize=4096)
def _all_words(source: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", source))


@functools.lru_cache(maxsize=4096)
def _words_in_functions(source: str) -> frozenset[str]:
    """What functions, lambdas and class bodies mention: they may be called in any later cell."""
    tree = plain(source).tree
    made = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, made)] if tree is not None else []
    return frozenset().union(*(_all_words(ast.unparse(node)) for node in nodes))


@functools.lru_cache(maxsize=4096)
def _history_read(source: str) -> frozenset[str]:
    """Names like `_` and `Out` that a cell reads and does not bind itself."""
    if not HISTORY_WORD.search(source):
        return frozenset()  # without a tree, which takes longer for all cells than a point does
    tree = plain(source).tree
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)] if tree is not None else []
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)} if tree is not None else set()
    return frozenset(node.id for node in names if HISTORY.fullmatch(node.id)) - bound


def _settings(cells: Iterable[_Cell]) -> tuple[str, ...]:
    return tuple(
        f"%{magic.name.lstrip('%')} {magic.arguments}"
        for cell in cells
        if not cell.is_test
        for magic in plain(cell.source).magics
        if magic.name.lstrip("%") in (*SETTINGS, "autoreload")
    )


def _defines(cell: _Cell) -> bool:
    """Whether the cell may define something whose source a traceback shows later."""
    return not cell.is_test and any(word in cell.source for word in ("def ", "class ", "lambda"))


def _count(notebook: Any, cell: _Cell) -> int:
    return int(notebook.cells[cell.position].get("execution_count") or 0)


# each point looks at all cells before it: what is known of a statement is kept, or a run would cost the square of them


@functools.lru_cache(maxsize=4096)
def _bound_in(tree: ast.Module) -> frozenset[str]:
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return frozenset(node.id for node in nodes if isinstance(node.ctx, ast.Store))


@functools.lru_cache(maxsize=16_384)
def _lasting(statement: ast.stmt, imports: frozenset[str]) -> str:
    """What a statement does to its process that no value shows."""
    what = surroundings.lasting_change(ast.Module([statement], []), imports)
    text = ast.unparse(statement)
    return what or next((f"calls {name}" for name in NO_AGAIN_LOST if f".{name}(" in text), "")


@functools.lru_cache(maxsize=16_384)
def _again(statement: ast.stmt, imports: frozenset[str]) -> bool:
    """Whether a statement only sets up a library, in words that mean the same in every process."""
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        return False
    if not ast.unparse(statement.value.func).endswith(AGAIN):
        return False
    names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
    return names <= imports and not any(isinstance(node, ast.Await | ast.NamedExpr) for node in ast.walk(statement))


def _in_the_way(
    plan: Plan,
    statements: Iterable[ast.stmt],
    again: list[ast.stmt],
    imports: frozenset[str],
    later: Iterable[_Cell],
    binds: set[str],
) -> str:
    """Why there can be no point, as far as the code shows; empty when nothing is in the way."""
    if any(type(value) is not str for name, value in plan.given.items() if name in dict(_secrets(plan))):
        return "a secret parameter that is no text cannot be told from other values"
    for statement in statements:
        if statement in again:
            continue
        if what := _lasting(statement, imports):
            return f"a cell {what}, which another process would not know"
    read = frozenset().union(*(_history_read(cell.source) for cell in later)) - binds
    return f"a later cell reads `{min(read)}`, which IPython remembers of the cells before" if read else ""


def _secrets(plan: Plan) -> tuple[tuple[str, str], ...]:
    from nb2prod.engines._prepared import variable

    given = (p.name for p in plan.pipeline.parameters if p.secret and p.name in plan.given)
    return tuple((name, variable(name)) for name in given)


def _injected_secrets(plan: Plan) -> str:
    from nb2prod.engines._prepared import variable

    secret = [p for p in plan.pipeline.parameters if p.secret and p.name in plan.given]
    return parameters.injected(secret, {p.name: plan.given[p.name] for p in secret}, secret_variable=variable)
