"""Changes of cells are proved: exported again, the notebook must give the functions as they stand in the project.

What does not is taken out again, with the reason; so nothing is guessed, and nothing is lost in silence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from nb2prod.core.edit import Edit
from nb2prod.core.errors import FindingsError, NotANotebook, StoreError
from nb2prod.core.notebook import Notebook
from nb2prod.core.origin import Origin, Place
from nb2prod.stages.compile import compile
from nb2prod.stages.fix import edited
from nb2prod.stages.syncing.segments import Body, Unclear, functions_in, module_body
from nb2prod.stages.syncing.statements import IMPORT, items

Export = Callable[[Notebook], Origin]  # what a notebook would be exported as; raises FindingsError


@dataclass(frozen=True, slots=True)
class Wanted:
    """A changed function: its place, as it was exported and as it is now, and the edits of cells that should say it."""

    place: Place
    before: Body
    after: Body
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A change that stays in the project: where it is there, and why."""

    file: str
    line: int
    function: str
    what: str


def with_edits(notebook: Notebook, edits: Iterable[Edit]) -> Notebook:
    """The notebook in memory with the edits made."""
    cells = list(notebook.cells)
    for edit in sorted(edits, key=lambda edit: (edit.cell, edit.start), reverse=True):
        cell = cells[edit.cell]
        cells[edit.cell] = dataclasses.replace(cell, source=edited(cell.source, edit))
    return dataclasses.replace(notebook, cells=tuple(cells))


def proved(
    notebook: Notebook,
    wanted: Sequence[Wanted],
    fresh: Origin,
    now: Mapping[str, str],
    imports: Sequence[Edit],
    export: Export,
) -> tuple[list[Wanted], list[Refused], Origin]:
    """(what holds, what does not, the export of the notebook with what holds). `now` is the project's text."""
    trial = _Trial(notebook, fresh, now, tuple(imports), export)
    there = list(wanted)
    refused: list[Refused] = []
    while there:
        problems, origin = trial.of(there)
        if not problems:
            return there, refused, origin
        alone = {id(one): trial.of([one])[0] for one in there} if len(there) > 1 else {id(there[0]): problems}
        bad = [one for one in there if alone[id(one)]]
        # each holds by itself, and not all do together: then none is taken
        refused += [_refusal(one, alone[id(one)] or problems) for one in bad or there]
        there = [one for one in there if bad and one not in bad]
    return [], refused, fresh


def _refusal(one: Wanted, problems: Mapping[str, str]) -> Refused:
    name = one.place.function
    what = problems.get(name) or problems.get("") or next(iter(problems.values()))
    old = set(one.before.keys)
    first = next((s.line for s in one.after.segments if s.key not in old and s.text), one.after.line or 1)
    return Refused(one.place.file, first, name, what)


@dataclass(frozen=True)
class _Trial:
    notebook: Notebook
    fresh: Origin
    now: Mapping[str, str]
    imports: tuple[Edit, ...]
    export: Export

    def of(self, chosen: Sequence[Wanted]) -> tuple[dict[str, str], Origin]:
        """What is wrong, by function (none: for all of them), once the chosen changes are in the notebook."""
        edits = [edit for one in chosen for edit in one.edits]
        changed = with_edits(self.notebook, [*edits, *self.imports])
        try:
            origin = self.export(changed)
        except (FindingsError, NotANotebook, StoreError) as error:
            return {"": f"the notebook would not become a project any more: {_first_reason(error.what)}"}, self.fresh
        return self._different(chosen, origin) or self._lost(changed), origin

    def _different(self, chosen: Sequence[Wanted], origin: Origin) -> dict[str, str]:
        changed = {(one.place.file, one.place.function): one for one in chosen}
        problems: dict[str, str] = {}
        for place in self.fresh.places:
            one = changed.get((place.file, place.function))
            there = body_of(origin, place)
            before = body_of(self.fresh, place)
            if before is None:
                continue
            what = _difference(there, before if one is None else one.after, before)
            if what:
                problems["" if one is None else place.function] = what if one else f"{place.function}: {what}"
        elsewhere = next(self._elsewhere(origin), "")
        return problems or ({"": elsewhere} if elsewhere else {})

    def _elsewhere(self, origin: Origin) -> Iterator[str]:
        """What a change would do to other code, and the engineer did not do there."""
        made_of_cells = {(place.file, place.function) for place in self.fresh.places}
        for file in sorted({*self.fresh.texts, *origin.texts}):
            if (file, "") in made_of_cells:
                continue
            here, before, now = (items(texts.get(file, "")) for texts in (origin.texts, self.fresh.texts, self.now))
            for name in {**here, **before}:
                handled = (file, name) in made_of_cells or name.startswith(IMPORT)
                if not handled and here.get(name) not in (before.get(name), now.get(name)):
                    yield f"with it the notebook would change {name} of {file} too"

    def _lost(self, changed: Notebook) -> dict[str, str]:
        """A name that a cell reads and would not find any more: also in cells that do not go into the project."""
        for read in compile(changed).reads:
            if read.binding is None and (read.cell, read.name) in self._found:
                where = f"cell {read.cell}, line {read.line} of the notebook"
                return {"": f"{where} reads `{read.name}`, which nothing would bind then"}
        return {}

    @cached_property
    def _found(self) -> frozenset[tuple[int, str]]:
        """The names that cells read and find as the notebook is."""
        return frozenset((read.cell, read.name) for read in compile(self.notebook).reads if read.binding is not None)


def body_of(origin: Origin, place: Place) -> Body | None:
    """What an export has at a place."""
    text = origin.texts.get(place.file)
    if text is None:
        return None
    try:
        return functions_in(text).get(place.function) if place.function else module_body(text)
    except Unclear:
        return None


def _difference(made: Body | None, wished: Body, before: Body) -> str:
    """Why the body that is made is not the one that is wished; a signature may also be the one before."""
    if made is None:
        return "the notebook would not have the function any more"
    if made.keys != wished.keys:
        return "the notebook would say it differently"
    if made.takes not in (wished.takes, before.takes):
        return f"with it the notebook's function would be {made.takes}"
    if made.gives not in (wished.gives, before.gives):
        return f"with it the notebook's function would end with `{made.gives or 'no result'}`"
    return ""


def _first_reason(what: str) -> str:
    lines = [line.strip() for line in what.split("\n")]
    return lines[1] if len(lines) > 1 and lines[0].endswith(":") else lines[0]
