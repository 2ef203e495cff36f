"""What each untagged cell is for: the rules, in their order, and which cells the pipeline cannot do without.

A cell belongs to a step when it does what the notebook is for (fits, scores, saves: its goals), or makes something
that such a cell needs, or draws random numbers before one that does. Everything else is exploration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nb2prod.core.pipeline import RANDOM, SHARED
from nb2prod.language import cell_tests
from nb2prod.language.suggesting.literals import is_parameters_cell
from nb2prod.language.suggesting.marks import Mark, Model
from nb2prod.language.suggesting.view import View

EXPLORATION = ""
RESULTS = "draws the model's results"
EARLY = ("parameters", *SHARED)  # roles of cells that run before every step


class Kind(NamedTuple):
    role: str
    why: str


class Place(NamedTuple):
    """One cell with what its rule may ask: `shared` the cells already found to run before every step."""

    view: View
    cell: int
    shared: frozenset[int]

    @property
    def classes(self) -> frozenset[str]:
        return self.view.acts[self.cell].classes

    def holds(self, has: str, only: str) -> bool:
        """Whether the cell has a statement of the kinds in `has`, and none but those and the kinds in `only`."""
        wanted = frozenset(has.split())
        return bool(self.classes & wanted) and self.classes <= wanted | frozenset(only.split())

    @property
    def needs_a_step(self) -> bool:
        """Whether it computes with what a step makes, so that it cannot run before every step."""
        return any(
            read.cell == self.cell
            and not read.through
            and read.binding is not None
            and read.binding.kind == "value"
            and read.binding.cell not in {*self.shared, self.cell}
            for read in self.view.pipeline.reads
        )

    @property
    def begins(self) -> bool:
        """Whether no cell above does more than look."""
        others = [i for i in range(self.cell) if self.view.cells[i] is not None and i not in self.shared]
        return all(self.view.acts[i].only_looks for i in others)

    @property
    def rebinds(self) -> bool:
        """Whether it binds a value that another cell binds too: before every step it would give the wrong one."""
        mine = [b for b in self.view.pipeline.bindings if b.cell == self.cell and not b.changed]
        bound = {b.name for b in mine if b.kind == "value"}
        others = {b.name for b in self.view.pipeline.bindings if b.cell != self.cell and not b.changed}
        return bool(bound & others)

    @property
    def has_tests(self) -> bool:
        cell = self.view.cells[self.cell]
        return cell is not None and cell.tree is not None and any(cell_tests.definitions(cell.tree))

    @property
    def keeps_nothing(self) -> bool:
        return not any(
            read.binding is not None and read.binding.cell == self.cell and read.cell != self.cell
            for read in self.view.pipeline.reads
            if read.binding is None or read.binding.kind != "import"
        )


def _is_parameters(place: Place) -> bool:
    cell = place.view.cells[place.cell]
    taken = any(role is not None and role.kind == "parameters" for role in place.view.pipeline.roles)
    first = not any(place.view.acts[i].classes == {"literal"} for i in place.shared)
    return (
        not taken
        and first
        and place.begins
        and cell is not None
        and is_parameters_cell(cell, place.cell, place.view.pipeline)
    )


class Rule(NamedTuple):
    role: str
    why: str
    holds: Callable[[Place], bool]


# the first rule that holds says what a cell is; where none does, the pipeline's needs decide
RULES: tuple[Rule, ...] = (
    Rule(EXPLORATION, "is no valid Python", lambda p: getattr(p.view.cells[p.cell], "tree", None) is None),
    Rule(EXPLORATION, "does nothing", lambda p: not p.classes),
    Rule(
        EXPLORATION,
        "only magics",
        lambda p: p.classes == {"magic"} and not p.view.acts[p.cell].known,
    ),
    Rule("parameters", "literals that the cells below use", _is_parameters),
    Rule("imports", "only imports", lambda p: p.holds("import", "magic show")),
    Rule(
        "imports",
        "imports and constants",
        lambda p: p.holds("import", "magic show literal") and not p.rebinds,
    ),
    Rule(
        "test",
        "only asserts",
        lambda p: p.holds("assert", "show") and p.keeps_nothing,
    ),
    Rule(
        "test",
        "only tests",
        lambda p: p.has_tests and p.holds("definition", "import assert literal") and p.keeps_nothing,
    ),
    Rule(
        "functions",
        "only definitions",
        lambda p: p.holds("definition", "import magic literal") and not p.needs_a_step and not p.rebinds,
    ),
    Rule(
        "setup",
        "seeds and settings",
        lambda p: (
            p.holds("seed", "setting import magic definition literal show")
            and p.begins
            and not p.needs_a_step
            and not p.rebinds
        ),
    ),
    Rule(
        "setup",
        "settings",
        lambda p: p.holds("setting", "import magic definition literal show") and not p.needs_a_step and not p.rebinds,
    ),
)


def kinds_of(view: View, model: Model | None, marks: list[Mark]) -> dict[int, Kind]:
    """What each open cell is for; a cell that belongs to a step has the role `step`."""
    found: dict[int, Kind] = {}
    shared = frozenset(i for i in view.fixed if view.role(i) in EARLY)
    for cell in view.open:
        place = Place(view, cell, shared)
        rule = next((rule for rule in RULES if rule.holds(place)), None)
        if rule is not None:
            found[cell] = Kind(rule.role, rule.why)
            shared |= {cell} if rule.role in EARLY else set()
    undecided = [cell for cell in view.open if cell not in found]
    fixed = [cell for cell in view.fixed if view.role(cell) == "step"]
    goals = {cell: why for cell in undecided if (why := _goal(view, cell, model, marks))}
    if not goals and not fixed:
        goals = {
            cell: "makes something"
            for cell in undecided
            if not (view.acts[cell].only_looks and view.changes_nothing(cell))
        }
    work = _needed(view, undecided, frozenset({*goals, *fixed}))
    for cell in undecided:
        why = goals.get(cell) or _why_needed(view, cell, work)
        found[cell] = Kind("step", why) if cell in work else Kind(EXPLORATION, _why_not(view, cell))
    return found


def _goal(view: View, cell: int, model: Model | None, marks: list[Mark]) -> str:
    """Why a cell is what the notebook is for; empty when it is not."""
    acts = view.acts[cell]
    after = model is None or cell >= model.cell
    goals: tuple[tuple[bool, str], ...] = (
        (model is not None and any(use.name == model.name for use in acts.fits), "fits the model"),
        (model is not None and cell == model.cell, "makes the model"),
        (model is None and (bool(acts.fits) or "fit" in acts.known), "fits a model"),
        (any(mark.cell == cell and mark.word == "metric" for mark in marks), "scores"),
        (after and "score" in acts.known and model is not None, "scores the model"),
        (model is not None and model.name in acts.crossed, "cross-validates the model"),
        ("save" in acts.known, "writes a file"),
        (any(mark.cell == cell and mark.word == "plot" for mark in marks), RESULTS),
    )
    return next((why for holds, why in goals if holds), "")


def _needed(view: View, undecided: list[int], goals: frozenset[int]) -> frozenset[int]:
    """The goals with every cell that they need, at first or second hand. The random stream counts as a value."""
    work = set(goals)
    pending = list(goals)
    while pending:
        found = {made.cell for made in view.needs(pending.pop()) if made.cell in undecided} - work
        work |= found
        pending += found
    return frozenset(work)


def _why_needed(view: View, cell: int, work: frozenset[int]) -> str:
    name, reader = view.reader_of(cell, work) or ("", 0)
    if name == RANDOM:
        return f"draws random numbers, on which those of cell {reader} depend"
    return f"cell {reader} needs its `{name}`" if name else ""


def _why_not(view: View, cell: int) -> str:
    acts = view.acts[cell]
    if "draw" in acts.known:
        return "draws, and nothing later needs what it makes"
    if acts.only_looks or acts.classes <= {"show", "magic"}:
        return "looks at data, and changes nothing"
    return "no step needs what it makes"
