"""A file is scored: a block of its rows is checked, the model answers for the good ones, and the part is kept.

How many rows a block has is the package's affair and nobody else's: linear algebra rounds the last bits of a row's
prediction otherwise in another company, and with the same blocks the same data gives the same bytes wherever it is
scored, at once or after an interruption, by one process or by many.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.errors import FindingsError, Nb2prodError, NotProved, StoreError, UsageError
from nb2prod.core.scored import Advance
from nb2prod.serving.errors import ServingError
from nb2prod.serving.package_folder import PackageFolder, open_folder
from nb2prod.stages.scoring import answering, asking, reading
from nb2prod.stages.scoring.answering import RACED, Ahead, Model, Refused
from nb2prod.stages.scoring.checking import Checker, Problem
from nb2prod.stages.scoring.in_order import ahead, worked
from nb2prod.stages.scoring.parts import Parts, Request
from nb2prod.stages.scoring.reading import Block, Source

CELLS = 2**20  # values of a block
LEAST, MOST = 1024, 65536  # rows of a block
LISTED = 5
DESCRIBED = "artifacts/model/model.json"  # where MLflow has no flavor for the model as it is
Tell = Callable[[Advance], None]
Work = Callable[[Request, Path, Sequence[int], Tell], str]  # scores files by their numbers; says what answered


def rows_at_once(known: PackageFolder) -> int:
    """The rows of a block: by the model's columns alone."""
    columns = len(known.signature.columns) if known.signature is not None else 1
    return max(LEAST, min(MOST, CELLS // max(1, columns) // LEAST * LEAST))


@contextmanager
def opened(package: Path) -> Iterator[PackageFolder]:
    """A package that was admitted, as far as scoring needs to know it. Its errors are of our tree."""
    try:
        known = open_folder(package)
        if known.signature is None:
            raise UsageError("the model has no signature, so no row can be checked", where=str(package))
        yield known
    except ServingError as error:
        kind: type[Nb2prodError] = StoreError if error.exit_code == StoreError.exit_code else UsageError
        raise kind(error.what, where=error.where, fix=error.fix) from error


def score_files(request: Request, package: Path, files: Sequence[int], tell: Tell) -> str:
    """Score the files of these numbers; returns what answered. `package` was admitted; the model is loaded once."""
    from nb2prod.stages import proof

    with opened(package) as known, proof.mlflow_settings():
        if known.digest != request.digest:
            raise NotProved("the package changed while it was being used", where=request.package)
        model = model_of(request, package, known)
        total = Total(request, tell)
        for number in files:
            File(request, number, known, model, total).score()
    return model.runtime


def model_of(request: Request, package: Path, known: PackageFolder) -> Model:
    """What answers: for one output always the same, whoever scores some of its rows, and whenever."""
    parts = Parts(request)
    model = answering.load(package, known, parts.runtime() or request.runtime, _ahead(request, known))
    settled = parts.settle(model.runtime)
    return model if settled == model.runtime else answering.load(package, known, settled)


def _ahead(request: Request, known: PackageFolder) -> Ahead | None:
    """About how many rows there are, and the first of them: of the first file, which stands for all."""
    source = request.sources[0]
    checker = checker_of(known, source, reading.columns(source))
    first = next(reading.blocks(source, RACED, checker.inputs, missing=request.missing), None)
    if first is None:
        return None
    rows = first.rows / first.share * sum(one.size for one in request.sources) / max(1, source.size)
    return Ahead(int(rows), checker.check(first, is_text=source.is_text).table)


def checker_of(known: PackageFolder, source: Source, there: Sequence[str]) -> Checker:
    """What checks the rows of a file with these columns. Raises UsageError when they can never fit."""
    assert known.signature is not None
    described = known.path / DESCRIBED
    recipes = json.loads(described.read_bytes()).get("restored", ()) if described.is_file() else ()
    restored = {recipe["column"]: recipe for recipe in recipes}
    return Checker(known.signature, known.contract, there, where=source.path, restored=restored)


class Total:
    """How far all files together are, from how far each is."""

    def __init__(self, request: Request, tell: Tell) -> None:
        self._sources, self._tell = request.sources, tell
        self._files: dict[int, tuple[int, int, float]] = {}

    def hear(self, number: int, rows: int, rejected: int, share: float) -> None:
        self._files[number] = (rows, rejected, share)
        bytes_ = sum(source.size for source in self._sources) or 1
        done = sum(self._sources[file].size * share for file, (_, _, share) in self._files.items())
        files = self._files.values()
        self._tell(Advance(sum(file[0] for file in files), sum(file[1] for file in files), done / bytes_))


@dataclass(frozen=True, slots=True)
class Part:
    """What becomes of a block: the output's rows, and what is wrong with the others."""

    table: Any
    problems: tuple[Problem, ...]


class File:
    """One file on its way."""

    def __init__(self, request: Request, number: int, known: PackageFolder, model: Model, total: Total) -> None:
        self._request, self._number, self._known, self._model, self._total = request, number, known, model, total
        self._source: Source = request.sources[number]
        self._parts = Parts(request)
        there = reading.columns(self._source)
        self._checker = checker_of(known, self._source, there)
        self._kept = kept_columns(request.keep, there, self._source)
        self._names = [name for name in there if name in {*self._checker.inputs, *self._kept}]

    def score(self) -> None:
        done = self._parts.done(self._number)
        if done.whole:
            self._total.hear(self._number, done.rows, done.rejected, 1.0)
            return
        made = reading.blocks(
            self._source, self._request.block, self._names, missing=self._request.missing, skip=done.rows
        )
        rows, rejected = done.rows, done.rejected
        for block, part in worked(ahead(made), self.part, self._model.at_once):
            if part.problems and self._request.on_bad_rows == "refuse":
                raise _refusal(self._source, part.problems)
            self._parts.keep(self._number, block.start, block.rows, part.table, part.problems)
            rows, rejected = rows + block.rows, rejected + block.rows - part.table.num_rows
            self._total.hear(self._number, rows, rejected, block.share)
        if not rows:
            self._keep_nothing()
        self._refuse_changed()
        self._parts.finish(self._number)

    def part(self, block: Block) -> Part:
        checked = self._checker.check(block, is_text=self._source.is_text)
        answers, refused = self._answers(checked.table)
        problems, inputs, places = [*checked.problems], checked.table, checked.good
        if refused:
            numbers = block.numbers[places]
            problems += [Problem(int(numbers[at]), why.column, why.reason) for at, why in refused.items()]
            left = [at for at in range(len(places)) if at not in refused]
            inputs, places = inputs.take(left), places[left]
        problems.sort(key=lambda problem: problem.row)
        return Part(self._output(block, inputs, places, answers), tuple(problems))

    def _answers(self, rows: Any) -> tuple[dict[str, Any], Mapping[int, Refused]]:
        assert self._known.signature is not None
        answers, refused = asking.answers(self._model, rows, where=self._source.path)
        return answers or answering.no_answers(self._known.signature.outputs), refused

    def _output(self, block: Block, inputs: Any, places: Any, answers: Mapping[str, Any]) -> Any:
        import pyarrow

        kept = block.table.select(self._kept)
        kept = kept if len(places) == kept.num_rows else kept.take(pyarrow.array(places))
        columns = {name: kept.column(name) for name in self._kept}
        if self._source.is_text and self._request.typed:
            columns |= {name: inputs.column(name) for name in self._kept if name in self._checker.inputs}
        double = sorted(columns.keys() & answers.keys())
        if double:
            raise UsageError(
                f"the data has a column {double[0]}, and so has the model's answer",
                where=self._source.path,
                fix="choose the columns to keep with --keep",
            )
        whole = block.table.schema.metadata if self._request.keep is None and not self._source.is_text else None
        return pyarrow.table({**columns, **answers}).replace_schema_metadata(whole)

    def _keep_nothing(self) -> None:
        """A file without rows gives an output without rows."""
        import numpy
        import pyarrow

        schema = pyarrow.schema([(name, pyarrow.string()) for name in self._names])
        if not self._source.is_text:
            schema = reading.schema(self._source, self._names)
        empty = Block(0, schema.empty_table(), numpy.arange(0))
        checked = self._checker.check(empty, is_text=self._source.is_text)
        answers, _ = self._answers(checked.table)
        self._parts.keep(self._number, 0, 0, self._output(empty, checked.table, checked.good, answers), ())

    def _refuse_changed(self) -> None:
        if reading.found_now(Path(self._source.path)) != self._source:
            raise StoreError(
                "the file changed while it was being read", where=self._source.path, fix="score it again with --fresh"
            )


def kept_columns(keep: Sequence[str] | None, there: Sequence[str], source: Source) -> list[str]:
    """Raises UsageError for a column to keep that the data does not have."""
    if keep is None:
        return list(there)
    unknown = [name for name in keep if name not in there]
    if unknown:
        raise UsageError(
            f"there is no column {unknown[0]} to keep", where=source.path, fix=f"the data has: {', '.join(there[:20])}"
        )
    return list(keep)


def _refusal(source: Source, problems: Sequence[Problem]) -> FindingsError:
    listed = "".join(f"\n  row {one.row}, {one.column}: {one.reason}" for one in problems[:LISTED])
    more = f"\n  and {len(problems) - LISTED} more in these rows" if len(problems) > LISTED else ""
    return FindingsError(
        f"some rows do not fit the model's contract; nothing was written{listed}{more}",
        where=source.path,
        fix="correct them, or score with --on-bad-rows reject, which puts them into a file of their own",
    )
