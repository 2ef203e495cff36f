"""Floors over a map: read strictly, judged over all items, and no missing value passes unseen."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nb2prod.core.distribution import distributions, failure_groups, worst
from nb2prod.core.errors import NotProved, UsageError
from nb2prod.core.mapping import ItemResult
from nb2prod.stages import floors


def item(number: int, status="ok", error="", cell=None, **metrics: float) -> ItemResult:
    return ItemResult(number, {"route": f"R{number}"}, status, 0.5, metrics, error, cell=cell)


def judged(text: str, results, *, total=None, allow_missing=False):
    wanted = floors.parse([text], ["r2", "mae"])
    total = len(results) if total is None else total
    (judgement,) = floors.judge(wanted, results, total=total, allow_missing=allow_missing)
    return judgement


HUNDRED = [item(number, r2=number / 100, mae=float(number)) for number in range(101)]


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("p05(r2) >= 0.05", 0.05, True),
        ("p05(r2) > 0.05", 0.05, False),
        ("p5(r2)>=0.06", 0.05, False),
        ("mean(mae) <= 50", 50.0, True),
        ("  mean( mae )  <  50 ", 50.0, False),
        ("min(r2) >= 0", 0.0, True),
        ("max(mae) <= 1e2", 100.0, True),
        ("p99.5(mae) <= 99", 99.5, False),
        ("p0(mae) >= 0", 0.0, True),
        ("p95(seconds) <= 0.5", 0.5, True),
        ("share(failed) <= 0.01", 0.0, True),
        ("count(ok) >= 101", 101.0, True),
        ("count(timeout) <= 0", 0.0, True),
    ],
)
def test_a_floor_compares_one_statistic_with_one_number(text, value, holds):
    judgement = judged(text, HUNDRED)
    assert judgement.value == pytest.approx(value)
    assert judgement.holds is holds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("r2 >= 0.1", "not of the form"),
        ("p05(r2) >= ", "not of the form"),
        ("p05(r2) >= 0.1 and mean(mae) < 3", "not of the form"),
        ("__import__('os').system('id')", "not of the form"),
        ("p05(r2) == 0.1", "== is no comparison"),
        ("p05(r2) => 0.1", "=> is no comparison"),
        ("p05(r2) >= nan", "'nan' is no number"),
        ("p05(r2) >= inf", "'inf' is no number"),
        ("p05(r2) >= 1_0", "'1_0' is no number"),
        ("p05(r2) >= ten", "'ten' is no number"),
        ("p100(r2) >= 0", "no statistic 'p100'"),
        ("median(r2) >= 0", "no statistic 'median'"),
        ("mean(rmse) <= 3", "no metric 'rmse'"),
        ("mean(R2) <= 3", "did you mean r2"),
        ("share(broken) <= 0.1", "no status 'broken'"),
        ("share(failed) <= 1.5", "between 0 and 1"),
        ("share(failed) <= 5", "0.05 is 5 %"),
    ],
)
def test_a_floor_that_is_not_of_the_grammar_is_refused_with_its_reason(text, says):
    with pytest.raises(UsageError) as refused:
        floors.parse([text], ["r2", "mae"])
    assert says in str(refused.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
@pytest.mark.parametrize("text", ["mean(r2) >= -100", "mean(r2) <= 100", "min(r2) >= -100", "max(r2) <= 100"])
def test_a_missing_or_infinite_metric_fails_its_floor_and_is_counted(value, text):
    results = [*HUNDRED, item(101) if value is None else item(101, r2=value)]
    judgement = judged(text, results)
    assert (judgement.holds, judgement.missing, judgement.items) == (False, 1, 101)
    assert "r2 is no finite number for 1 of 102 items that are ok" in judgement.reason
    allowed = judged(text, results, allow_missing=True)
    assert (allowed.holds, allowed.missing) == (True, 1)
    assert "allowed" in allowed.reason


def test_no_value_at_all_never_holds():
    for results in ([], [item(1), item(2)], [item(1, "failed")]):
        assert not judged("mean(r2) >= -1", results, allow_missing=True).holds
    assert not judged("share(failed) <= 1", []).holds


def test_failed_means_every_item_that_is_not_ok_and_says_of_what_kinds():
    results = [item(0, r2=1.0), item(1, "failed"), item(2, "timeout"), item(3, "lost"), item(4, "test_failed", r2=0.0)]
    judgement = judged("share(failed) <= 0.5", results)
    assert (judgement.value, judgement.holds) == (0.8, False)
    assert judgement.reason == "failed 1, timeout 1, lost 1, test_failed 1"
    assert judged("share(timeout) <= 0.2", results).holds
    assert judged("mean(r2) >= 1", results).items == 1


def test_items_that_were_not_run_fail_every_floor():
    judgement = judged("mean(mae) <= 50", HUNDRED, total=200)
    assert (judgement.holds, judgement.reason) == (False, "99 items were not run")


def test_the_report_names_the_worst_items():
    with pytest.raises(NotProved) as refused:
        floors.refuse_failed([judged("p05(r2) >= 0.5", HUNDRED), judged("mean(mae) <= 1", HUNDRED)])
    report = str(refused.value)
    assert "2 of 2 floors do not hold" in report
    assert "FAILS  p05(r2) >= 0.5   0.05 over 101 items that are ok" in report
    assert "route=R0: r2 0" in report
    assert "route=R100: mae 100" in report
    floors.refuse_failed([judged("mean(mae) <= 50", HUNDRED)])


def test_an_item_without_a_value_is_the_worst_of_all():
    results = [item(1, r2=0.1), item(2, r2=math.nan), item(3, r2=0.9)]
    assert [found.number for found in worst(results, "r2", lowest=True)] == [2, 1, 3]
    assert [found.number for found in worst(results, "r2", lowest=False)] == [2, 3, 1]


def test_quantiles_are_those_of_numpy():
    draw = np.random.default_rng(0)
    for size in (1, 2, 3, 10, 997):
        values = draw.normal(size=size)
        (found,) = distributions([item(number, x=float(value)) for number, value in enumerate(values)])
        for share in (0.0, 0.05, 0.5, 0.95, 0.999, 1.0):
            assert found.quantile(share) == pytest.approx(np.quantile(values, share), rel=1e-12, abs=1e-15)


def test_failures_are_grouped_by_what_and_where():
    results = [
        item(0),
        *(item(number, "failed", f"ValueError: no rows for {number % 3}\n  more", cell=4) for number in range(1, 7)),
        item(7, "failed", "KeyError: 'x'", cell=4),
        item(8, "timeout", "longer than 3 s"),
    ]
    found = [(group.status, group.message, group.count, group.messages) for group in failure_groups(results)]
    assert found == [
        ("failed", "ValueError: no rows for 1", 6, 3),
        ("failed", "KeyError: 'x'", 1, 1),
        ("timeout", "longer than 3 s", 1, 1),
    ]
