"""Floors: what must hold of a map's items together, else the map fails (exit code 5) and says which items are worst.

    p05(r2) >= 0.1          a quantile of a metric over the items that are ok
    mean(mae) <= 20         mean, min and max likewise; `seconds` is an item's own time
    share(failed) <= 0.01   a share of all items, or a count; `failed` are all that are not ok

That is the whole grammar: one statistic of one name, compared with one number. A metric that is no finite number for
an `ok` item makes its floor fail, unless missing values were allowed; so do items that were never run.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Sequence
from typing import cast

from nb2prod.core.distribution import (
    SECONDS,
    WORST,
    Distribution,
    Floor,
    Judgement,
    Operator,
    distribution,
    headline,
    title,
    value_of,
    worst,
)
from nb2prod.core.errors import NotProved, UsageError
from nb2prod.core.mapping import STATUSES, ItemResult

EXAMPLE = "for example 'p05(r2) >= 0.1', 'mean(mae) <= 20' or 'share(failed) <= 0.01'"
FORM = re.compile(
    r"(?P<statistic>[\w.]+)\s*\(\s*(?P<of>[^()]*?)\s*\)\s*(?P<operator>[<>=!]+)\s*(?P<bound>[^\s<>=!]\S*)"
)
QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")
OPERATORS = (">=", "<=", ">", "<")
OVER_METRICS = ("mean", "min", "max")
OVER_ITEMS = ("share", "count")
STATUS_NAMES = ("failed", *(status for status in STATUSES if status != "failed"))
_LISTED = 5


def parse(texts: Iterable[str], metrics: Iterable[str]) -> tuple[Floor, ...]:
    """The floors as given. `metrics` are the names that the notebook tags. Raises UsageError, naming what is wrong."""
    known = tuple(metrics)
    return tuple(_floor(text, known) for text in texts)


def judge(
    floors: Iterable[Floor], results: Sequence[ItemResult], *, total: int, allow_missing: bool = False
) -> tuple[Judgement, ...]:
    """Every floor against all results. `total` is how many items there are, with those that were never run."""
    judged = (_of_items(f, results) if f.of_items else _of_metric(f, results, allow_missing) for f in floors)
    return tuple(_complete(judgement, total - len(results)) for judgement in judged)


def refuse_failed(judgements: Sequence[Judgement]) -> None:
    """Raise NotProved, with the report, when a floor does not hold."""
    failed = [judgement for judgement in judgements if not judgement.holds]
    if failed:
        many = f"{len(failed)} of {len(judgements)} floors do not hold" if len(failed) > 1 else "a floor does not hold"
        raise NotProved("\n".join([many, *lines(failed)]), fix="look at the worst items, or set another floor")


def lines(judgements: Iterable[Judgement]) -> list[str]:
    """One line a floor, and below one that does not hold its worst items."""
    told = []
    for judgement in judgements:
        mark = "holds" if judgement.holds else "FAILS"
        reason = f": {judgement.reason}" if judgement.reason else ""
        told.append(f"  {mark}  {judgement.floor.text}   {_value(judgement)}{reason}")
        if not judgement.holds:
            told += [f"         {_item(judgement.floor, item)}" for item in judgement.worst[:_LISTED]]
    return told


def _floor(text: str, metrics: Sequence[str]) -> Floor:
    found = FORM.fullmatch(text.strip())
    if found is None:
        raise _refused(text, "it is not of the form STATISTIC(NAME) >= NUMBER", EXAMPLE)
    statistic, of, operator = found["statistic"], found["of"], found["operator"]
    if operator not in OPERATORS:
        raise _refused(text, f"{operator} is no comparison that a floor can make", f"use one of {', '.join(OPERATORS)}")
    bound = _bound(text, found["bound"], statistic)
    if statistic in OVER_ITEMS:
        _refuse_unknown(text, "status", of, STATUS_NAMES)
    elif statistic in OVER_METRICS or QUANTILE.fullmatch(statistic):
        _refuse_unknown(text, "metric", of, (*metrics, SECONDS))
    else:
        raise _refused(
            text, f"there is no statistic {statistic!r}", "p05 (any from p0 to p99.9), mean, min, max, share, count"
        )
    return Floor(" ".join(text.split()), statistic, of, cast(Operator, operator), bound)


def _bound(text: str, written: str, statistic: str) -> float:
    try:
        bound = float(written)
    except ValueError as error:
        raise _refused(text, f"{written!r} is no number", EXAMPLE) from error
    if not math.isfinite(bound) or "_" in written:
        raise _refused(text, f"{written!r} is no number that a value could be compared with", EXAMPLE)
    if statistic == "share" and not 0 <= bound <= 1:
        raise _refused(text, f"a share is between 0 and 1, and {written} is not", f"{bound / 100:g} is {bound:g} %")
    return bound


def _refuse_unknown(text: str, what: str, name: str, known: Sequence[str]) -> None:
    if name in known:
        return
    same = [there for there in known if there.casefold() == name.casefold()]
    near = same or difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    if known == (SECONDS,):
        fix = f"tag the cell that computes it with metric:{name}"
    raise _refused(text, f"there is no {what} {name!r}", fix)


def _refused(text: str, what: str, fix: str) -> UsageError:
    return UsageError(f"the floor {text!r} cannot be read: {what}", fix=fix)


def _of_items(floor: Floor, results: Sequence[ItemResult]) -> Judgement:
    counted = [result for result in results if _is(result, floor.of)]
    if not results:
        return Judgement(floor, False, math.nan, 0, reason="there is no item to judge")
    value = len(counted) / len(results) if floor.statistic == "share" else float(len(counted))
    bad = counted if not floor.low_is_bad else [result for result in results if not _is(result, floor.of)]
    return Judgement(
        floor, floor.allows(value), value, len(results), reason=_kinds(floor, counted), worst=tuple(bad[:WORST])
    )


def _is(result: ItemResult, status: str) -> bool:
    return result.status != "ok" if status == "failed" else result.status == status


def _kinds(floor: Floor, counted: Sequence[ItemResult]) -> str:
    """What `failed` is made of, when it is more than that one status."""
    counts = {status: sum(result.status == status for result in counted) for status in STATUSES}
    there = {status: count for status, count in counts.items() if count}
    mixed = floor.of == "failed" and set(there) - {"failed"}
    return ", ".join(f"{status} {count}" for status, count in there.items()) if mixed else ""


def _of_metric(floor: Floor, results: Sequence[ItemResult], allow_missing: bool) -> Judgement:
    good = [result for result in results if result.status == "ok"]
    over = distribution(floor.of, good)
    value = _statistic(floor.statistic, over)
    reasons = []
    if not over.values:
        reasons.append("no item that is ok has a value of it")
    if over.missing:
        allowed = ", which is allowed" if allow_missing else "; --allow-missing judges without them"
        reasons.append(f"{floor.of} is no finite number for {over.missing} of {len(good)} items that are ok{allowed}")
    holds = bool(over.values) and (allow_missing or not over.missing) and floor.allows(value)
    bad = worst(good, floor.of, lowest=floor.low_is_bad)
    return Judgement(floor, holds, value, len(over.values), over.missing, "; ".join(reasons), bad)


def _statistic(name: str, over: Distribution) -> float:
    if name == "mean":
        return over.mean
    return over.quantile({"min": 0.0, "max": 1.0}[name] if name in ("min", "max") else float(name[1:]) / 100)


def _complete(judgement: Judgement, not_run: int) -> Judgement:
    """A floor says something of all items: it does not hold while some were not run."""
    if not not_run:
        return judgement
    reason = "; ".join(filter(None, [f"{not_run:,} items were not run", judgement.reason]))
    return dataclasses.replace(judgement, holds=False, reason=reason)


def _value(judgement: Judgement) -> str:
    over = "items" if judgement.floor.of_items else "items that are ok"
    value = "no value" if math.isnan(judgement.value) else f"{judgement.value:.6g}"
    return f"{value} over {judgement.items:,} {over}"


def _item(floor: Floor, item: ItemResult) -> str:
    if floor.of_items:
        return f"{title(item)}: {item.status}{f': {headline(item)}' if item.error else ''}"
    value = value_of(item, floor.of)
    return f"{title(item)}: {floor.of} {f'{value:.6g}' if not math.isnan(value) else 'missing (NaN)'}"
