"""Names of steps: which work cells belong together, and what they are called.

What a cell does most tellingly (load, split, train, evaluate, save) names its step. What only prepares takes the name
of the section that it stands in. Neighbours of one name are one step; a name that comes back later gets a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from nb2prod.core.notebook import Cell
from nb2prod.language.suggesting import naming
from nb2prod.language.suggesting.naming import NO_HEADING, PREPARING, Heading

TELLING = frozenset({"load", "split", "train", "evaluate", "save"})
LATE = frozenset({"train", "evaluate"})


@dataclass(frozen=True, slots=True)
class Named:
    """The step of one cell; `heading` is the heading's text where that gave the name."""

    step: str
    heading: str = ""


def headings_of(cells: Sequence[Cell]) -> dict[int, Heading]:
    """The heading above each code cell. A title at the top that stands alone above others names no section."""
    found = [(cell.index, level, text) for cell in cells if cell.kind == "markdown"
             for level, text in naming.headings(cell.source)]  # fmt: skip
    highest = min((level for _, level, _ in found), default=0)
    titles = [entry for entry in found if entry[1] == highest]
    if len(titles) == 1 and len(found) > 1 and found[0] == titles[0]:
        found = found[1:]
    above: dict[int, Heading] = {}
    for cell in cells:
        over = [text for index, _, text in found if index < cell.index]
        above[cell.index] = naming.heading(over[-1]) if over else NO_HEADING
    return above


def names_of(
    work: Sequence[int], phases: Mapping[int, str], headings: Mapping[int, Heading], fixed: Mapping[int, str]
) -> dict[int, Named]:
    """The step of each work cell, in order. `fixed` are the steps of cells that say so themselves."""
    sections = _sections(work, headings)
    training = sum(any(phases[cell] == "train" for cell in cells) for cells in sections)
    wanted: dict[int, Named] = {}
    for cells in sections:
        own = headings[cells[0]]
        for cell in cells:
            before = wanted.get(work[work.index(cell) - 1]) if work.index(cell) else None
            wanted[cell] = _wanted(phases[cell], own, {phases[c] for c in cells}, training, before)
    return _apart(_calmed(wanted, phases), fixed)


def _sections(work: Iterable[int], headings: Mapping[int, Heading]) -> list[list[int]]:
    """Work cells below one heading after the other."""
    found: list[list[int]] = []
    for cell in work:
        if found and headings[found[-1][0]] == headings[cell]:
            found[-1].append(cell)
        else:
            found.append([cell])
    return found


def _wanted(phase: str, own: Heading, phases: set[str], training: int, before: Named | None) -> Named:
    if phase in LATE and training > 1 and "train" in phases and phases <= {*LATE, "", "features", "clean"}:
        name = naming.own_name(own.text)
        if name:
            return Named(name, own.text)
    if phase in TELLING:
        return Named(own.name, own.text) if own.meaning == phase and own.name else Named(phase)
    if own.meaning in PREPARING and own.name:
        return Named(own.name, own.text)
    if not own.meaning and own.name and not phases & TELLING:
        return Named(own.name, own.text)
    if not phase and before is not None:
        return before
    return Named(phase or "prepare")


def _calmed(wanted: Mapping[int, Named], phases: Mapping[int, str]) -> dict[int, Named]:
    """Where cleaning and making features take turns, with no heading to tell them apart, all of it is `prepare`."""
    calm = dict(wanted)
    run: list[int] = []
    for cell in [*wanted, None]:
        weak = cell is not None and not wanted[cell].heading and wanted[cell].step in ("clean", "features", "prepare")
        if weak and cell is not None:
            run.append(cell)
            continue
        turns = sum(wanted[a].step != wanted[b].step for a, b in pairwise(run))
        if turns > 1:
            calm |= dict.fromkeys(run, Named("prepare"))
        run = []
    return calm


def _apart(wanted: Mapping[int, Named], fixed: Mapping[int, str]) -> dict[int, Named]:
    """Neighbours of one name keep it; a name that comes back, or that the notebook has already, gets a number."""
    taken = set(fixed.values())
    found: dict[int, Named] = {}
    last_wanted, last_given = "", ""
    for cell in sorted({*wanted, *fixed}):
        if cell in fixed:
            last_wanted, last_given = "", ""
            continue
        step = wanted[cell].step
        if step != last_wanted:
            last_wanted, last_given = step, _free(step, taken)
            taken.add(last_given)
        found[cell] = Named(last_given, wanted[cell].heading)
    return found


def _free(step: str, taken: set[str]) -> str:
    number = 2
    name = step
    while name in taken:
        name, number = f"{step}-{number}", number + 1
    return name
