"""One item run through a map's cells: what it measured, its model, its tests, or where and why it failed.

An exception is a result: it names the step, the cell and the line of the cell, as every engine does. What ends the
process (`os._exit`, a crash) is for those around it to see.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nb2prod.core.mapping import Item, ItemResult, ItemStatus
from nb2prod.core.pipeline import Parameter
from nb2prod.core.result import TestResult
from nb2prod.kernel import keep, keepable, map_tests, pickling
from nb2prod.kernel.map_cells import Compiled, Namespace, close_figures, execute
from nb2prod.kernel.map_job import Job, JobCell
from nb2prod.kernel.map_tries import NotTried, Say, Tries
from nb2prod.language.parameter_types import source_of

LONGEST_PRINTED = 2_000
LONGEST_ERROR = 2_000
PLAIN = (int, float, str, bool, type(None))


class Tail(io.TextIOBase):
    """A standard stream of which only the end is kept."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[str] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._parts.append(text[-LONGEST_PRINTED:])
        self._length += len(self._parts[-1])
        if self._length > 4 * LONGEST_PRINTED:
            self._parts = ["".join(self._parts)[-LONGEST_PRINTED:]]
            self._length = len(self._parts[0])
        return len(text)

    def take(self) -> str:
        """The end of what was written since the last time."""
        text = "".join(self._parts)[-LONGEST_PRINTED:]
        self._parts, self._length = [], 0
        return text


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an item is not ok, and where."""

    status: ItemStatus
    error: str
    step: str | None = None
    cell: int | None = None
    line: int | None = None


NONE = Trouble("ok", "")


@dataclass(slots=True)
class _Kept:
    """What the steps' tags promise, as it adds up while the cells run."""

    metrics: dict[str, float] = field(default_factory=dict)
    model: Any = None
    pickled: pickling.Pickled | None = None
    example: Any = None
    failed_test: TestResult | None = None


def run_item(job: Job, cells: Sequence[Compiled], namespace: Namespace, item: Item, out: Tail, say: Say) -> ItemResult:
    """Run one item. `item.given` holds the group's rows too, when there are any. KeyboardInterrupt passes through.

    `say` reaches whoever waits for the item: it is told of steps that have a limit of time.
    """
    kept = _Kept()
    began = time.perf_counter()
    trouble = _trouble(cells, namespace, {**job.given, **item.given}, kept, Tries(job, say))
    proof = _proof(job, kept, namespace) if trouble is None and item.number in job.proofs else None
    seconds = time.perf_counter() - began
    trouble = trouble or NONE
    return ItemResult(
        number=item.number,
        key=item.key,
        status=trouble.status,
        seconds=seconds,
        metrics=kept.metrics,
        error=_cut(trouble.error),
        step=trouble.step,
        cell=trouble.cell,
        line=trouble.line,
        model=_content(kept) if trouble.status in ("ok", "test_failed") else None,
        printed=out.take(),
        given={name: value for name, value in item.given.items() if name != job.rows},
        proof=proof,
    )


def _trouble(
    cells: Sequence[Compiled], namespace: Namespace, given: Mapping[str, Any], kept: _Kept, tries: Tries
) -> Trouble | None:
    job = tries.job
    for compiled in cells:
        cell = compiled.cell
        try:
            run = functools.partial(_run_cell, job, compiled, namespace, given, kept)
            tries.run(cell, namespace, run) if cell.retries or cell.timeout is not None else run()
        except KeyboardInterrupt:
            raise
        except NotTried as found:
            trouble = failure(found.error, compiled)
            return dataclasses.replace(trouble, error=f"{trouble.error}; {found}")
        except BaseException as error:  # noqa: BLE001 - whatever the notebook raises is the item's result
            if not cell.may_fail:
                return failure(error, compiled)
        try:
            _keep(job, cell, namespace, kept)
        except keepable.CannotKeep as refused:
            return Trouble("failed", refused.message, cell.step or None, cell.index)
    test = kept.failed_test
    if test is None:
        return None
    first = (test.message.strip() or test.outcome).splitlines()
    return Trouble("test_failed", f"{test.id}: {_told(first)}", test.step, test.cell, test.line)


def _told(lines: Sequence[str]) -> str:
    """The line of pytest's message that says what did not hold."""
    said = [line[1:].strip() for line in lines if line.startswith("E ")]
    return said[0] if said else lines[0]


def _run_cell(job: Job, compiled: Compiled, namespace: Namespace, given: Mapping[str, Any], kept: _Kept) -> None:
    if compiled.cell.sort == "test":
        results = map_tests.run_tests(job, compiled.cell, namespace)
        failed = [result for result in results if result.outcome in ("failed", "error")]
        kept.failed_test = kept.failed_test or next(iter(failed), None)
        return
    execute(compiled.code, namespace)
    close_figures()
    if compiled.cell.sort == "parameters":
        _inject(job, compiled, namespace, given)


def _inject(job: Job, compiled: Compiled, namespace: Namespace, given: Mapping[str, Any]) -> None:
    """What papermill's injected cell does: the given values, and what derives from them again."""
    fresh: set[str] = set()
    for parameter in compiled.parameters:
        if parameter.name in given:
            namespace[parameter.name] = _value(job, parameter, given[parameter.name], namespace)
        elif fresh & set(parameter.derived_from):
            namespace[parameter.name] = eval(compiled.derived[parameter.name], namespace)
        else:
            continue
        fresh.add(parameter.name)


def _value(job: Job, parameter: Parameter, value: Any, namespace: Namespace) -> Any:
    """The object that the notebook gets: its own, so that an item cannot change what the next one is given."""
    if parameter.name == job.rows or type(value) in PLAIN:
        return value
    return eval(source_of(value), namespace)


def _keep(job: Job, cell: JobCell, namespace: Namespace, kept: _Kept) -> None:
    """What the step's tags promise, at its last cell."""
    if not (cell.metrics or cell.model or cell.example):
        return
    with keep.undisturbed():
        for name in cell.metrics:
            kept.metrics[name] = keepable.number_of(name, keepable.looked_up(name, "metric", namespace))
        if cell.example is not None:
            kept.example = keepable.looked_up(cell.example, "example", namespace)
        if cell.model is not None:
            kept.model = keepable.looked_up(cell.model, "model", namespace)
            kept.pickled = _pickled(job, cell.model, kept.model, namespace)


def _pickled(job: Job, name: str, model: Any, namespace: Namespace) -> pickling.Pickled:
    keepable.refuse_useless(name, model)
    try:
        return pickling.dump(model, name, job.module, namespace)
    except pickling.CannotPickle as error:
        raise keepable.CannotKeep(name, error.what, error.fix) from error


def _content(kept: _Kept) -> bytes | None:
    return kept.pickled.content if kept.pickled else None


def _proof(job: Job, kept: _Kept, namespace: Namespace) -> bytes | None:
    """What the model says of its example, for whoever packages the models."""
    if kept.pickled is None or kept.example is None:
        return None
    from nb2prod.kernel import map_proof

    return map_proof.proof_of(kept.model, kept.example, kept.pickled, job.module, namespace)


def failure(error: BaseException, compiled: Compiled) -> Trouble:
    """Where the cell was when it failed: the line of the cell itself, whatever was called from there."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == compiled.filename]
    name, text = type(error).__name__, str(error)
    message = f"{name}: {text}" if text else name
    return Trouble("failed", message, compiled.cell.step or None, compiled.cell.index, lines[0] if lines else None)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]}…"
