"""A project that was exported from a notebook, and the notebook, are brought up to date with each other.

    back(project, notebook)        what engineers changed in functions of the project, as changes of cells
    forward(project, export)       what changed in the notebook, merged into the project

Both begin with `.notebook.json`, which the export left in the project: the text as it was then, which lies between the
two as the last common version does between two branches. The way back is proved: a change counts only if the notebook,
exported again, gives the function as it stands in the project. On the way forward nothing is written while there is a
conflict, unless that is asked for.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from nb2prod.core.edit import Edit
from nb2prod.core.errors import NotProved
from nb2prod.core.notebook import Notebook
from nb2prod.core.origin import FILE, Origin, Place
from nb2prod.stages.syncing import cells, merging
from nb2prod.stages.syncing.accounting import first_difference, left_over, own_files
from nb2prod.stages.syncing.new_imports import import_edits
from nb2prod.stages.syncing.project_folder import read_origin, read_text, refuse_markers, texts_now
from nb2prod.stages.syncing.proving import Export, Refused, Wanted, body_of, proved, with_edits
from nb2prod.stages.syncing.restoring import Names, restored
from nb2prod.stages.syncing.segments import Unclear, functions_in, module_body, same_code
from nb2prod.stages.syncing.statements import without_unused
from nb2prod.storage import files

UPDATE = "bring that into the project first: nb2prod sync PROJECT NOTEBOOK --update"


# -- back to the notebook ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Returned:
    """One function whose changes go back: where it is in the project, and the cells that they touch."""

    file: str
    line: int
    function: str
    cells: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Back:
    """`after` is the notebook with what can be brought back; `refused` stays in the project, `own` is only there."""

    project: Path
    before: Notebook
    after: Notebook
    edits: tuple[Edit, ...]
    returned: tuple[Returned, ...]
    refused: tuple[Refused, ...]
    own: tuple[str, ...]


def back(project: Path, notebook: Notebook, export: Export) -> Back:
    """What the project's functions say otherwise than the notebook. Nothing is written.

    Raises NotProved when the notebook has changed since the project last heard of it.
    """
    base = read_origin(project)
    now = texts_now(project, base)
    refuse_markers(now, project)
    fresh = export(notebook)
    _refuse_newer(base, fresh, project)
    wanted, refused = _wanted(now, fresh, notebook)
    imports = import_edits(notebook, now, fresh, [one.after for one in wanted])
    held, wrong, made = proved(notebook, wanted, fresh, now, imports, export)
    refused += wrong
    edits = tuple([edit for one in held for edit in one.edits] + (imports if held else []))
    known = {(one.file, one.function) for one in refused}
    known |= {key for one in refused if not one.function for key in _names_of(now, one.file)}
    refused += left_over(now, made, known)
    return Back(
        project=project,
        before=notebook,
        after=with_edits(notebook, edits),
        edits=edits,
        returned=tuple(_returned(one) for one in held),
        refused=tuple(sorted(refused, key=lambda one: (one.file, one.line))),
        own=own_files(now, base.texts, base.package),
    )


def _refuse_newer(base: Origin, fresh: Origin, project: Path) -> None:
    source = f"src/{base.package}/"
    for name in sorted({*base.texts, *fresh.texts}):
        different = first_difference(base.texts.get(name, ""), fresh.texts.get(name, ""))
        if name.startswith(source) and different:
            what = f"the notebook has changed since the project was made of it: {different} of {name} would be another"
            raise NotProved(what, where=str(project), fix=UPDATE)


def _wanted(now: Mapping[str, str], fresh: Origin, notebook: Notebook) -> tuple[list[Wanted], list[Refused]]:
    names = Names(fresh.renamed, fresh.passed)
    sources = tuple(cell.source for cell in notebook.cells)
    writing = cells.Writing(sources, lambda text: restored(text, names), merging.without_conflict)
    wanted: list[Wanted] = []
    refused: list[Refused] = []
    for place in fresh.places:
        if place.file not in now:
            continue  # the accounting tells of files that are gone
        try:
            one = _one(place, now, fresh, writing, refused)
        except (cells.CannotGoBack, Unclear) as error:
            refused.append(Refused(place.file, error.line, place.function, str(error)))
            continue
        wanted += [one] if one is not None else []
    return wanted, refused


def _one(
    place: Place, now: Mapping[str, str], fresh: Origin, writing: cells.Writing, refused: list[Refused]
) -> Wanted | None:
    before, text = body_of(fresh, place), now[place.file]
    after = functions_in(text).get(place.function) if place.function else module_body(text)
    if after is not None and not place.function:
        after, unused = without_unused(after, fresh.texts.get(place.file, ""), now.values())
        refused += [Refused(place.file, line, name, f"{name} is new, and no step comes to it") for name, line in unused]
    if before is None or after is None or before.keys == after.keys:
        return None
    if after.unclear is not None:
        raise after.unclear
    return Wanted(place, before, after, cells.edits(place.pieces, before.segments, after.segments, writing))


def _names_of(now: Mapping[str, str], file: str) -> Iterable[tuple[str, str]]:
    """What a module defines, when something is told about all of it."""
    try:
        return [(file, name) for name in functions_in(now.get(file, ""))]
    except Unclear:
        return []


def _returned(one: Wanted) -> Returned:
    return Returned(one.place.file, one.after.line or 1, one.place.function, tuple(sorted({e.cell for e in one.edits})))


# -- forward to the project -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Conflict:
    """A place where both sides changed: the lines with markers as git has them, or a file that one side took away."""

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Forward:
    """The files to write (None: to take away), and what stands against it."""

    project: Path
    texts: Mapping[str, str | None]
    data: Mapping[str, str]
    conflicts: tuple[Conflict, ...]
    kept: tuple[str, ...]
    recorded_is_earlier: bool = False


def forward(project: Path, made: Path) -> Forward:
    """The three-way merge of the project with `made`, an export of the notebook as it is now. Nothing is written."""
    base, theirs = read_origin(project), read_origin(made)
    now = texts_now(project, base)
    refuse_markers(now, project)
    texts: dict[str, str | None] = {}
    conflicts: list[Conflict] = []
    kept: list[str] = []
    for name in sorted({*base.texts, *theirs.texts}):
        ours = now.get(name)
        if ours is None and name not in base.texts:
            ours = read_text(project / name)
        anew, there = _merged_file(name, base.texts.get(name), ours, theirs.texts.get(name))
        conflicts += there
        if anew != ours:
            texts[name] = anew
        if ours is not None and ours != base.texts.get(name):
            kept.append(name)
    data = _data(project, base, theirs, conflicts)
    return Forward(project, texts, data, tuple(conflicts), tuple(kept), _is_earlier(base, theirs))


def _is_earlier(base: Origin, theirs: Origin) -> bool:
    """Whether the code has changed, and the recorded numbers that it is compared with have not."""
    recorded = "tests/recorded.json"
    code = [{n: t for n, t in one.texts.items() if n.startswith("src/")} for one in (base, theirs)]
    return recorded in theirs.texts and base.texts.get(recorded) == theirs.texts[recorded] and code[0] != code[1]


def _merged_file(
    name: str, base: str | None, ours: str | None, theirs: str | None
) -> tuple[str | None, list[Conflict]]:
    if ours == theirs or base == theirs:
        return ours, []
    if base == ours:
        return theirs, []
    if ours is None:
        return theirs, [Conflict(name, 1, "the project took the file away, and the notebook changes it")]
    if theirs is None:
        return ours, [Conflict(name, 1, "the project changed the file, and the notebook makes it no more")]
    if name.endswith(".py") and same_code(ours, theirs):
        return ours, []
    made = merging.merged(base or "", ours, theirs)
    broken = name.endswith(".py") and not made.conflicts and not same_code(made.text, f"{made.text}\n")
    if broken:
        return ours, [Conflict(name, 1, "merged line by line, the file would be no Python")]
    return made.text, [Conflict(name, line, text) for line, text in made.conflicts]


def _data(project: Path, base: Origin, theirs: Origin, conflicts: list[Conflict]) -> dict[str, str]:
    """The data files to copy; one that the notebook does not read any more stays, as it may be needed."""
    wanted: dict[str, str] = {}
    for name, digest in theirs.data.items():
        path = project / name
        ours = files.digest_of(path) if path.is_file() else None
        if ours == digest or base.data.get(name) == digest:
            continue
        if ours is not None and ours != base.data.get(name):
            conflicts.append(Conflict(name, 1, "the data are others in the project, and others with the notebook"))
        wanted[name] = digest
    return wanted


def write(merge: Forward, made: Path) -> None:
    """Bring the project up to date: each file whole or not at all, the origin last.

    When it is broken off, the same command again comes to the same end.
    """
    for name in merge.data:
        files.write_bytes(merge.project / name, (made / name).read_bytes())
    for name, text in merge.texts.items():
        if text is None:
            (merge.project / name).unlink(missing_ok=True)
        else:
            files.write_text(merge.project / name, text)
    shutil.copyfile(made / FILE, merge.project / FILE)
