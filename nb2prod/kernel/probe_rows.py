"""The probe set: rows with which every path to a model's answer is compared, answered first by the notebook's object.

    real rows        of the example: the first, the last, and some between, drawn with a fixed seed
    boundary rows    a real row with one value replaced by an edge of its column (`probe_values`)

The real rows are asked about at once. Boundary rows are asked about together until one raises, then in halves, so that
none spoils another. Their order is by how much an edge tells, so that a model too slow to be asked about all of them is
asked about the best ones.

Which rows there are depends on the example only; how long a model takes decides only of one that takes very long.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import random
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from nb2prod.core.outcome import Outcome, as_json
from nb2prod.kernel import probe_values
from nb2prod.storage import artifacts
from nb2prod.storage.files import write_text
from nb2prod.storage.row_answers import asked, asked_apart, part

REAL = 40
BOUNDARY = 60
SECONDS = 2.0  # of processor time for the boundary rows
LIMIT = 20.0  # after which a row that is still being answered is given up
ROWS, OUTCOMES = "rows", "outcomes"
ALONE = 3  # real rows that are asked about once more, each by itself
STEP = 12  # a slow model is asked about a multiple of so many rows
Predict = Callable[[Any], Any]
Placed = tuple[int, str, Any]  # the column's position, what the value is, the value


@dataclass(frozen=True, slots=True)
class Probe:
    """`table` has the rows, the `real` ones first; `what` names each row; `notes` say what is not among them."""

    table: Any
    real: int
    what: tuple[str, ...]
    notes: tuple[str, ...] = ()


class _TooSlow(BaseException):
    """Not an Exception: a model that catches those must not catch this."""


def keep(example: Any, predict: Predict, folder: Path) -> Iterator[tuple[str, Path]]:
    """Write the probe set of an example below `folder`: the name and the file of each part; nothing when there is none.

    The rows are written as they are, and read back before the model is asked: it is asked what the file has.
    """
    made = rows_for(example)
    if made is None:
        return
    stem = folder / ROWS
    stored = artifacts.write(made.table, stem)
    probe, outcomes = answered(dataclasses.replace(made, table=artifacts.read(stored.path, stored.digest)), predict)
    if len(probe.what) < len(made.what):
        stored = artifacts.write(probe.table, stem)
    told = {"real": probe.real, "what": probe.what, "notes": probe.notes, "outcomes": [as_json(o) for o in outcomes]}
    yield ROWS, stored.path
    yield OUTCOMES, write_text(folder / f"{OUTCOMES}.json", json.dumps(told, ensure_ascii=True, allow_nan=False))


def rows_for(example: Any) -> Probe | None:
    """The probe set of an example; None when it is no frame and no array of numbers."""
    if hasattr(example, "iloc") and hasattr(example, "columns"):
        return _of_frame(example)
    if getattr(example, "ndim", 0) == 2 and getattr(getattr(example, "dtype", None), "kind", "") in "fiub":
        return _of_array(example)
    return None


def answered(probe: Probe, predict: Predict) -> tuple[Probe, list[Outcome]]:
    """What `predict` makes of each row; fewer rows, which the probe set then says, when it is slow."""
    with _silence():
        found = asked(predict, part(probe.table, 0, probe.real), probe.real)
        company = tuple(_company(probe, predict, found))
        boundary = _boundary(probe, predict)
    count = probe.real + len(boundary)
    probe = dataclasses.replace(probe, notes=(*probe.notes, *company))
    if count == len(probe.what):
        return probe, found + boundary
    note = f"the model is slow: {len(boundary)} of {len(probe.what) - probe.real} boundary rows were asked about"
    fewer = Probe(part(probe.table, 0, count), probe.real, probe.what[:count], (*probe.notes, note))
    return fewer, found + boundary


def _company(probe: Probe, predict: Predict, together: list[Outcome]) -> Iterator[str]:
    """A service is asked about single rows: is a row's answer its own, whatever rows it is asked with?"""
    for row in range(min(ALONE, probe.real)):
        (alone,) = asked(predict, part(probe.table, row, row + 1), 1)
        if not _alike(alone, together[row]):
            yield f"{probe.what[row]} alone is answered otherwise than among other rows: {alone}, not {together[row]}"
            return


def _alike(one: Outcome, other: Outcome) -> bool:
    if one.kind != other.kind or len(one.values) != len(other.values):
        return False
    pairs = zip(one.values, other.values, strict=True)
    return all(a == b or (a != a and b != b) or _is_close(a, b) for a, b in pairs)


def _is_close(one: Any, other: Any) -> bool:
    return isinstance(one, float) and isinstance(other, float) and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def _boundary(probe: Probe, predict: Predict) -> list[Outcome]:
    found: list[Outcome] = []
    began = time.process_time()

    def ask(start: int, stop: int) -> list[Outcome]:
        if found and time.process_time() - began > SECONDS:
            raise _TooSlow
        return asked(predict, part(probe.table, start, stop), stop - start)

    with contextlib.suppress(_TooSlow), _limited(LIMIT):
        for outcome in asked_apart(ask, probe.real, len(probe.what)):
            found.append(outcome)  # noqa: PERF402 - what was found stays when the rest takes too long
    whole = len(found) == len(probe.what) - probe.real
    return found if whole else found[: len(found) - len(found) % STEP]


# -- which rows ------------------------------------------------------------------------------------------------------


def _of_frame(example: Any) -> Probe:
    edges = [probe_values.of_column(example.iloc[:, place]) for place in range(example.shape[1])]
    names = [str(name) for name in example.columns]
    real, placed, notes = _chosen(len(example), edges, names)
    base = _base(example.isna().to_numpy().any(axis=1))
    table = example.iloc[[*real, *[base] * len(placed)]].copy()
    kept, dropped = [], []
    for row, (place, what, value) in enumerate(placed, start=len(real)):
        column = table.iloc[:, place].array.copy()
        try:
            column[row] = value
        except (TypeError, ValueError, OverflowError):  # the column's type does not hold it after all
            dropped.append(row)
            continue
        series = table.iloc[:, place]
        # said once more: pandas takes an array of Python's text for a column of its own text
        table.isetitem(place, type(series)(column, index=series.index, dtype=series.dtype))
        kept.append(f"{names[place]}: {what}")
    whole = table.iloc[[row for row in range(len(table)) if row not in dropped]]
    return Probe(whole, len(real), (*(f"row {row}" for row in real), *kept), notes)


def _of_array(example: Any) -> Probe:
    import numpy as np

    edges = [probe_values.of_array(example[:, place]) for place in range(example.shape[1])]
    real, placed, notes = _chosen(len(example), edges, [f"column {place}" for place in range(example.shape[1])])
    missing = np.isnan(example).any(axis=1) if example.dtype.kind == "f" else np.zeros(len(example), dtype=bool)
    table = example[[*real, *[_base(missing)] * len(placed)]].copy()
    for row, (place, _, value) in enumerate(placed, start=len(real)):
        table[row, place] = value
    what = (*(f"row {row}" for row in real), *(f"column {place}: {name}" for place, name, _ in placed))
    return Probe(table, len(real), what, notes)


def _chosen(
    count: int, edges: list[list[probe_values.Edge]], names: list[str]
) -> tuple[list[int], list[Placed], tuple[str, ...]]:
    """The real rows, the boundary values in the order in which they tell most, and what is not among them."""
    turns = zip_longest(*([(place, what, value) for what, value in one] for place, one in enumerate(edges)))
    placed = [one for turn in turns for one in turn if one is not None] if count else []
    notes = [f"{name}: no edges are known of its type" for name, one in zip(names, edges, strict=True) if not one]
    if len(placed) > BOUNDARY:
        notes.append(f"{BOUNDARY} of {len(placed)} boundary rows are asked about, some of every column first")
    return _real(count), placed[:BOUNDARY], tuple(notes)


def _real(count: int) -> list[int]:
    if count <= REAL:
        return list(range(count))
    edge = REAL // 4
    between = random.Random(count).sample(range(edge, count - edge), REAL - 2 * edge)
    return sorted({*range(edge), *between, *range(count - edge, count)})


def _base(missing: Any) -> int:
    """The first row that has every value, else the first."""
    return int(missing.argmin()) if len(missing) else 0


# -- asking without a trace ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raises _TooSlow within, where a signal can be had: in the main thread, when nobody else waits for an alarm."""
    alone = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    if not alone or signal.getitimer(signal.ITIMER_REAL)[0] > 0:
        yield
        return

    def too_slow(number: int, frame: Any) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, too_slow)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
