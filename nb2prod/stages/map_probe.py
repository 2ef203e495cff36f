"""The probe set of a map's package: rows of a few items, and rows whose key has no model.

Of an item there is what its own model said in the run. What a key without a model gets is the fallback's:

    refuse          the row is refused
    null            there is no prediction, and a reason
    item, pooled    what that model says, as the run kept it: nothing of the package takes part

So each path to the package must route as the map did, and must not guess where there is no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nb2prod.core.mapping import ItemResult
from nb2prod.core.outcome import Outcome
from nb2prod.stages.certificate.compare import Rows
from nb2prod.stages.certificate.probe import ProbeSet
from nb2prod.stages.map_sample import Sample
from nb2prod.stages.routes import Fallback, Finished, routed_model, spelled
from nb2prod.storage import shards
from nb2prod.storage.row_answers import asked, asked_apart, part, rows_of_answer

ITEMS = 8  # of which all rows are asked about that they brought
TOGETHER = 2  # keys whose parts were seen, but not together
UNSEEN = "\u2400 a key that no item has"


def probe_of(
    finished: Finished, good: Sequence[ItemResult], keys: Sequence[str], shown: Sample, fallback: Fallback
) -> ProbeSet:
    """The notebook's module is importable meanwhile."""
    import pandas

    chosen = list(_chosen(shown))
    answers = rows_of_answer(shown.predictions, len(shown.example))
    known = {spelled(result, keys) for result in good}
    unseen = list(_unseen(shown.example, keys, known))
    instead = _instead(finished, good, fallback)
    tables = [shown.example.iloc[[place for place, _ in chosen]]]
    if unseen:
        tables.append(_unseen_rows(shown.example, unseen))
    expected = [
        *(Outcome("answer", answers[place]) for place, _ in chosen),
        *_outcomes(tables[-1], shown, instead, len(unseen)),
    ]
    what = (*(name for _, name in chosen), *(name for name, _ in unseen))
    return ProbeSet(pandas.concat(tables, ignore_index=True), Rows(what, len(chosen), tuple(expected)))


# -- rows of items ---------------------------------------------------------------------------------------------------


def _chosen(shown: Sample) -> Iterator[tuple[int, str]]:
    """Places in the example, with names: all rows of the first item, of the last and of some between."""
    last = len(shown.items) - 1
    wanted = {number * last // max(1, ITEMS - 1) for number in range(ITEMS)} if last >= ITEMS else set(range(last + 1))
    place = 0
    for number, (title, count) in enumerate(shown.items):
        if number in wanted:
            yield from ((place + row, f"{title}, row {row}") for row in range(count))
        place += count


# -- keys without a model --------------------------------------------------------------------------------------------


def _unseen(example: Any, keys: Sequence[str], known: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Keys that have no model, each with its name: one part of the key new, or missing; all; seen, but not together."""
    first = {name: example[name].iloc[0] for name in keys}
    fresh = {name: value for name in keys if (value := _new(example[name])) is not None}
    tried = [(f"{name} never seen", {**first, name: value}) for name, value in fresh.items()]
    tried += [("a key never seen", {**first, **fresh})] if len(fresh) > 1 else []
    tried += [(f"{name} missing", {**first, name: None}) for name in keys if _may_be_missing(example[name])]
    tried += list(_mixed(example, keys, known))[:TOGETHER]
    for what, key in tried:
        if _said(key, keys) not in known:
            yield what, key


def _mixed(example: Any, keys: Sequence[str], known: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    there = example[list(keys)].drop_duplicates()
    first = dict(zip(keys, there.iloc[0], strict=True))
    for row in range(1, len(there)):
        for name in keys:
            key = {**first, name: there[name].iloc[row]}
            if _said(key, keys) not in known:
                yield f"{name} of another item", key


def _said(key: dict[str, Any], keys: Sequence[str]) -> str:
    return str(routed_model()["said"]([key[name] for name in keys]))


def _new(column: Any) -> Any:
    """A value of the column's type that none of its rows has; None where there is none."""
    import pandas

    present = column.dropna()
    kind = present.dtype.kind
    if len(present) and all(isinstance(value, str) for value in present):
        return UNSEEN
    if not len(present) or kind not in "iufM":
        return None
    return present.max() + (pandas.Timedelta(days=1) if kind == "M" else 1)


def _may_be_missing(column: Any) -> bool:
    return column.dtype.kind in "fMO" or all(isinstance(value, str) for value in column)


def _unseen_rows(example: Any, unseen: Sequence[tuple[str, dict[str, Any]]]) -> Any:
    """The example's first row with each of these keys."""
    import pandas

    rows = example.iloc[[0] * len(unseen)].reset_index(drop=True)
    for name in unseen[0][1]:
        values = pandas.Series([key[name] for _, key in unseen], dtype=object)
        rows[name] = values.astype(example[name].dtype)
    return rows


# -- what they get ---------------------------------------------------------------------------------------------------


def _instead(finished: Finished, good: Sequence[ItemResult], fallback: Fallback) -> Callable[[Any], Any] | str:
    """The `predict` that answers instead, else what becomes of such a row."""
    import cloudpickle

    if fallback.kind == "pooled":
        assert finished.pooled is not None  # `refuse_fallback` has seen to it
        return cloudpickle.loads(finished.pooled).predict  # type: ignore[no-any-return]
    if fallback.kind != "item":
        return fallback.kind
    kept = next(result.kept for result in good if result.number == fallback.number)
    assert kept is not None  # only those are good
    with shards.ShardReader(Path(finished.plan.directory)) as reader:
        return cloudpickle.loads(reader.read(kept)).predict  # type: ignore[no-any-return]


def _outcomes(table: Any, shown: Sample, instead: Callable[[Any], Any] | str, count: int) -> list[Outcome]:
    why = str(routed_model()["NO_MODEL"])
    if instead == "refuse":
        return [Outcome("refused", reason=why)] * count
    if isinstance(instead, str):
        nothing = tuple(math.nan if kind == "f" else None for _, kind in shown.answer)
        return [Outcome("answer", (*nothing, why))] * count
    predict, rows = instead, table[list(shown.inputs)]
    return list(asked_apart(lambda a, b: asked(predict, part(rows, a, b), b - a), 0, count))
