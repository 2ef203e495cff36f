"""An untagged notebook gets its tags proposed: what each cell is for, and why.

The notebook is compiled as it is, which says which cell needs what of which; rules (`language/suggesting/`) say what
each cell is for, and what to call its step. Literals at the top become parameters, in a new cell if they stand among
other code. Then the copy is compiled and checked like any tagged notebook, and what the checks refuse is mended: a
cell that a step needs joins the steps, steps that cannot be apart become one. What is left, a person must decide; it
stands in the notes. Nothing is executed, and the notebook stays as it is.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.finding import Finding
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.suggesting import literals, marks, steps
from nb2prod.language.suggesting.kinds import RESULTS, Kind, kinds_of
from nb2prod.language.suggesting.literals import Moved
from nb2prod.language.suggesting.marks import Mark, Model
from nb2prod.language.suggesting.steps import Named
from nb2prod.language.suggesting.view import View, view_of
from nb2prod.language.suggesting.vocabulary import ACTS
from nb2prod.stages.compile import compile
from nb2prod.storage import notebook_file

Examine = Callable[[Pipeline], tuple[Finding, ...]]
MOST_MENDING = 20
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}  # for a script, which names none


@dataclass(frozen=True, slots=True)
class CellTags:
    """What is proposed for one code cell of the input: `tags` to add, `why`. `kept` when it says itself what it is."""

    cell: int
    source: str
    tags: tuple[str, ...]
    why: str
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`moved` are the lines of a new parameters cell, which the copy has before cell `parameters_at` of the input.

    `notes` say what a person might do, `refused` what still keeps the copy from running in steps; `copy` is the tagged
    notebook as a value. Cells in all of them count as in the input.
    """

    notebook: Notebook
    cells: tuple[CellTags, ...]
    notes: tuple[str, ...]
    refused: tuple[Finding, ...]
    moved: tuple[Moved, ...]
    parameters_at: int | None
    copy: Notebook

    @property
    def packs(self) -> bool:
        """Whether the copy has a model with an example, so that it can be packaged."""
        words = {tag.partition(":")[0] for cell in self.copy.cells for tag in cell.tags}
        return {"model", "example"} <= words

    @property
    def parameters_source(self) -> str:
        return "\n".join(line.text for line in self.moved)


def suggest(notebook: Notebook, examine: Examine) -> Suggestion:
    """The tags for a notebook's untagged cells. `examine` gives all findings about a pipeline."""
    moved = _moved(view_of(compile(notebook)))
    place = next((cell.index for cell in notebook.cells if cell.kind == "code"), 0) if moved else None
    changed = notebook if place is None else _with_parameters(notebook, moved, place)
    view = view_of(compile(changed))
    model = marks.model_of(view)
    wishes = [*marks.metrics_of(view, model), *marks.plots_of(view, model)]
    kinds = kinds_of(view, model, wishes)
    names = _named(view, kinds)
    tagging = _Tagging(view, model, tuple(wishes), kinds, names)
    tagging, copied, findings = _mended(tagging, examine)
    back = _Back(place)
    return Suggestion(
        notebook=notebook,
        cells=tuple(back.cell_tags(notebook, tagging, moved)),
        notes=tuple(dict.fromkeys(back.note(note) for note in marks.notes_of(view, model, frozenset(tagging.names)))),
        refused=tuple(back.finding(finding) for finding in findings if _refuses(finding)),
        moved=moved,
        parameters_at=place,
        copy=copied,
    )


# -- parameters -----------------------------------------------------------------------------------------------------


def _moved(view: View) -> tuple[Moved, ...]:
    """The literals that a new parameters cell takes; none when the notebook has, or gets, one as it is."""
    model = marks.model_of(view)
    kinds = kinds_of(view, model, [*marks.metrics_of(view, model), *marks.plots_of(view, model)])
    roles = {view.role(cell) for cell in view.fixed} | {kind.role for kind in kinds.values()}
    if "parameters" in roles:
        return ()
    takes_part = {cell for cell, kind in kinds.items() if kind.role}
    used = {read.name for read in view.pipeline.reads if read.cell in takes_part}
    sources = [cell.source for cell in view.pipeline.notebook.cells]
    found = literals.movable(view.cells, sources, view.pipeline)
    return tuple(line for line in found if line.cell in takes_part and (line.name in used or _used_below(view, line)))


def _used_below(view: View, line: Moved) -> bool:
    """Whether the cell itself uses the name, as a cell does that holds everything."""
    source = view.pipeline.notebook.cells[line.cell].source.split("\n")[line.line :]
    return line.name in "\n".join(source)


def _with_parameters(notebook: Notebook, moved: Sequence[Moved], place: int) -> Notebook:
    """The notebook with the lines moved to a parameters cell of their own."""
    cells: list[Cell] = []
    for cell in notebook.cells:
        if cell.index == place:
            source = "\n".join(line.text for line in moved)
            cells.append(Cell(place, "code", source, ("parameters",), _free_id(notebook)))
        gone = [line for line in moved if line.cell == cell.index]
        source = literals.without(cell.source, gone) if gone else cell.source
        cells.append(dataclasses.replace(cell, index=len(cells), source=source))
    return dataclasses.replace(notebook, cells=tuple(cells))


def _free_id(notebook: Notebook) -> str:
    taken = {cell.id for cell in notebook.cells}
    return next(
        name for name in ("parameters", *(f"parameters-{n}" for n in range(len(taken) + 1))) if name not in taken
    )


# -- tags -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tagging:
    """The proposal while it is made: `kinds` of the open cells, `names` of the steps of those that are work."""

    view: View
    model: Model | None
    wishes: tuple[Mark, ...]
    kinds: Mapping[int, Kind]
    names: Mapping[int, Named]

    def tags(self) -> dict[int, tuple[str, ...]]:
        """The tags to add to each cell."""
        found: dict[int, tuple[str, ...]] = {}
        for cell, kind in self.kinds.items():
            if kind.role == "step":
                found[cell] = (f"step:{self.names[cell].step}",)
            elif kind.role == "test":
                step = self._tested(cell)
                found[cell] = (f"test:{step}" if step else "test",)
            elif kind.role:
                found[cell] = (kind.role,)
        for mark in self.marks():
            found[mark.cell] = (*found.get(mark.cell, ()), mark.tag)
        return found

    def step_of(self, cell: int) -> str:
        if cell in self.names:
            return self.names[cell].step
        role = self.view.pipeline.roles[cell]
        return role.name if role is not None and role.kind == "step" else ""

    def marks(self) -> tuple[Mark, ...]:
        """The marks that stand on a step, the model's first."""
        found: list[Mark] = []
        if self.model is not None:
            name, cell = self.model.name, self.model.cell
            if not any(role is not None and role.models for role in self.view.pipeline.roles):
                found.append(Mark("model", name, cell, f"`{name}` is the fitted object that is used last"))
            example = marks.example_of(self.view, self.model)
            if example is not None:
                found.append(self._at_rest(example))
        return tuple(mark for mark in (*found, *self.wishes) if self.step_of(mark.cell))

    def _at_rest(self, mark: Mark) -> Mark:
        """The mark where its value is still the same at the end of the step; else where the model is fitted."""
        step = self.step_of(mark.cell)
        later = [
            b
            for b in self.view.pipeline.bindings
            if b.name == mark.name and b.cell > mark.cell and self.step_of(b.cell) == step
        ]
        assert self.model is not None
        return mark if step and not later else dataclasses.replace(mark, cell=self.model.cell)

    def _tested(self, cell: int) -> str:
        """The last step that makes something the asserts read."""
        mentioned = self.view.mentions(cell)
        made = [self.step_of(b.cell) for b in self.view.pipeline.bindings if b.cell < cell and b.name in mentioned]
        order = [self.step_of(cell) for cell in sorted({*self.names, *self.view.fixed})]
        return max((step for step in made if step), key=order.index, default="")

    def copy(self) -> Notebook:
        notebook, tags = self.view.pipeline.notebook, self.tags()
        cells = [dataclasses.replace(c, tags=(*c.tags, *tags.get(c.index, ()))) for c in notebook.cells]
        return dataclasses.replace(notebook, cells=tuple(cells))

    def why(self, cell: int) -> str:
        kind = self.kinds.get(cell)
        reasons = [kind.why] if kind is not None and kind.role != "step" else [self._why_step(cell)]
        return "; ".join(reason for reason in (*reasons, *(m.why for m in self.marks() if m.cell == cell)) if reason)

    def _why_step(self, cell: int) -> str:
        if cell not in self.kinds:
            return ""
        heading, because = self.names[cell].heading, self.kinds[cell].why
        does = self._does(cell) or (because if not because.startswith("cell ") else "")
        under = f", under “{heading}”" if heading else ""
        needed = because if because.startswith("cell ") else ""
        return "; ".join(reason for reason in (f"{does}{under}".removeprefix(", "), needed) if reason)

    def _does(self, cell: int) -> str:
        acts = self.view.acts[cell]
        if acts.phase == "train":
            name = acts.fits[-1].name if acts.fits else ""
            return f"fits `{name}`" if name else "fits a model"
        return next(
            (act.reason for act in ACTS if act.phase == acts.phase and act.name in {*acts.known, acts.weak}), ""
        )


def _named(view: View, kinds: Mapping[int, Kind]) -> dict[int, Named]:
    work = [cell for cell in sorted(kinds) if kinds[cell].role == "step"]
    roles = view.pipeline.roles
    fixed = {
        i: role.name for i, role in enumerate(roles) if role is not None and role.kind == "step" and i in view.fixed
    }
    phases = {cell: "evaluate" if kinds[cell].why == RESULTS else view.acts[cell].phase for cell in work}
    if work and phases[work[0]] in ("clean", "features", "") and "load" not in phases.values():
        phases[work[0]] = "load"
    return steps.names_of(work, phases, steps.headings_of(view.pipeline.notebook.cells), fixed)


# -- mending ----------------------------------------------------------------------------------------------------------


def _mended(tagging: _Tagging, examine: Examine) -> tuple[_Tagging, Notebook, tuple[Finding, ...]]:
    """The tagging with what the checks refuse mended as far as tags can."""
    best = tagging
    copied, pipeline, findings = _tried(best, examine)
    for _ in range(MOST_MENDING):
        if not any(map(_refuses, findings)):
            break
        for other in _mendings(best, pipeline, findings):
            tried = _tried(other, examine)
            if sum(map(_refuses, tried[2])) < sum(map(_refuses, findings)):
                best, (copied, pipeline, findings) = other, tried
                break
        else:
            break
    return best, copied, findings


def _tried(tagging: _Tagging, examine: Examine) -> tuple[Notebook, Pipeline, tuple[Finding, ...]]:
    copied = tagging.copy()
    pipeline = compile(copied)
    return copied, pipeline, examine(pipeline)


def _refuses(finding: Finding) -> bool:
    return finding.severity == "error" or finding.isolated


def _mendings(tagging: _Tagging, pipeline: Pipeline, findings: Sequence[Finding]) -> Iterator[_Tagging]:
    """What may help: cells that steps read join them; the step of a finding is one with its neighbour."""
    lost = {
        read.binding.cell
        for read in pipeline.reads
        if read.source != "exploration" and read.binding is not None and read.binding != read.surviving
    } & {cell for cell, kind in tagging.kinds.items() if not kind.role}
    if lost:
        why = Kind("step", "it makes or may change what a later cell needs")
        kinds = {**tagging.kinds, **dict.fromkeys(lost, why)}
        yield dataclasses.replace(tagging, kinds=kinds, names=_named(tagging.view, kinds))
    order = list(dict.fromkeys(tagging.names[cell].step for cell in sorted(tagging.names)))
    for finding in filter(_refuses, findings):
        step = tagging.step_of(finding.cell) if finding.cell is not None else ""
        here = order.index(step) if step in order else -1
        for other in (here - 1, here + 1) if here >= 0 else ():
            if 0 <= other < len(order):
                yield dataclasses.replace(
                    tagging, names=_joined(tagging.names, order[min(here, other)], order[max(here, other)])
                )


def _joined(names: Mapping[int, Named], first: str, second: str) -> dict[int, Named]:
    return {cell: Named(first) if named.step == second else named for cell, named in names.items()}


# -- back to the input ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Back:
    """From cells of the copy to cells of the input, which lacks the new parameters cell at `place`."""

    place: int | None

    def cell(self, cell: int) -> int:
        return cell - 1 if self.place is not None and cell > self.place else cell

    def note(self, text: str) -> str:
        return re.sub(r"(?<=\bcell )\d+|(?<=\bcells )\d+(?:, \d+)*", lambda m: self._numbers(m[0]), text)

    def _numbers(self, text: str) -> str:
        return ", ".join(str(self.cell(int(number))) for number in text.split(", "))

    def finding(self, finding: Finding) -> Finding:
        message, fix = self.note(finding.message), self.note(finding.fix)
        cell = None if finding.cell is None else self.cell(finding.cell)
        return dataclasses.replace(finding, message=message, fix=fix, cell=cell)

    def cell_tags(self, notebook: Notebook, tagging: _Tagging, moved: Sequence[Moved]) -> Iterator[CellTags]:
        tags = tagging.tags()
        for index, cell in enumerate(tagging.view.pipeline.notebook.cells):
            if cell.kind != "code" or index == self.place:
                continue
            here, kept = self.cell(index), index in tagging.view.fixed
            gone = [line.name for line in moved if line.cell == here]
            why = "it says itself" if kept and index not in tags else self.note(tagging.why(index))
            why += f"; {', '.join(f'`{name}`' for name in gone)} moved to the parameters" if gone else ""
            yield CellTags(here, notebook.cells[here].source, tags.get(index, ()), why, kept)


# -- the copy ---------------------------------------------------------------------------------------------------------


def document_of(suggestion: Suggestion) -> str:
    """The tagged copy as a notebook file: ids, outputs and metadata as in the input."""
    document = _document(suggestion.notebook)
    cells = document["cells"]
    for proposed in suggestion.cells:
        cell = cells[proposed.cell]
        gone = [line for line in suggestion.moved if line.cell == proposed.cell]
        if gone:
            _write_source(cell, literals.without(_source(cell), gone))
        if proposed.tags:
            metadata = cell.setdefault("metadata", {})
            metadata["tags"] = [*metadata.get("tags", []), *proposed.tags]
    if suggestion.parameters_at is not None:
        cells.insert(suggestion.parameters_at, _parameters_cell(suggestion, document))
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _parameters_cell(suggestion: Suggestion, document: Mapping[str, Any]) -> dict[str, Any]:
    source = suggestion.parameters_source.splitlines(keepends=True)
    named = (document["nbformat"], document.get("nbformat_minor", 0)) >= (4, 5)
    name = {"id": _free_id(suggestion.notebook)} if named else {}
    metadata = {"tags": ["parameters"]}
    return {"cell_type": "code", "execution_count": None, **name, "metadata": metadata, "outputs": [], "source": source}


def _document(notebook: Notebook) -> dict[str, Any]:
    """The input as nbformat 4 has it: its own JSON, an old format upgraded, a script as cells without outputs."""
    document = copy.deepcopy(notebook_file.parsed(notebook.path, notebook.path.read_bytes()).content)
    if notebook.format.startswith("py"):
        document.setdefault("metadata", {}).setdefault("kernelspec", KERNEL)
    return document


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", "")
    text = "".join(source) if isinstance(source, list) else str(source)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _write_source(cell: dict[str, Any], text: str) -> None:
    cell["source"] = text.splitlines(keepends=True) if isinstance(cell.get("source"), list) else text


def default_output(notebook: Path) -> Path:
    return notebook.with_name(f"{notebook.name.removesuffix('.ipynb').removesuffix('.py')}.tagged.ipynb")
