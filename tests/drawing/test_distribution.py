"""Distributions are drawn whatever the values are, and nothing that is left out of a picture goes unsaid."""

from __future__ import annotations

import math

import pytest

from nb2prod.core.distribution import distribution, report
from nb2prod.core.mapping import ItemResult, MapSummary
from nb2prod.drawing import distribution as drawing
from nb2prod.stages import floors


def items(*values: float) -> list[ItemResult]:
    return [
        ItemResult(number, {"route": f"<R{number}>"}, "ok", 0.5, {"r2": value}) for number, value in enumerate(values)
    ]


def summary(count: int) -> MapSummary:
    return MapSummary("run", "runs/run", count, {"ok": count, "failed": 0}, 1.0)


@pytest.mark.parametrize(
    "values",
    [
        (),
        (0.0,),
        (0.9999999999999999, 1.0),
        (-1.7e308, 1.7e308),
        (5e-324, 0.0),
        (1e-300, 2e-300, 3e-300),
        (math.nan, 1.0),
        (1e16, 1e16 + 2),
        (-5.0, -5.0, -5.0),
    ],
)
def test_any_values_are_drawn(values: tuple[float, ...]) -> None:
    found = distribution("r2", items(*values))
    judged = floors.judge(floors.parse(["p05(r2) >= 0.5"], ["r2"]), items(*values), total=len(values))
    for judgements in ((), judged):
        assert drawing.as_png(drawing.as_figure(found, judgements)).startswith(b"\x89PNG")


def test_a_picture_shows_its_floors_and_counts_what_lies_outside() -> None:
    results = items(*(n / 1000 for n in range(1000)), -1e6)
    judged = floors.judge(floors.parse(["mean(r2) >= 2", "p50(r2) >= 0.1"], ["r2"]), results, total=1001)
    figure = drawing.as_figure(distribution("r2", results), judged)
    said = [text.get_text() for text in figure.axes[0].texts]
    assert {"p05", "p50", "p95", "mean(r2) >= 2: FAILS", "p50(r2) >= 0.1"} <= set(said)
    assert any("below, least -1e+06" in text for text in said)
    low, high = figure.axes[0].get_xlim()
    assert -1 < low <= 0.1
    assert high >= 2


def test_a_page_says_what_keys_and_messages_say_and_runs_nothing_of_it() -> None:
    failed = ItemResult(9, {"route": "<script>"}, "failed", 0.1, error="ValueError: <b>x</b>\x1b[31m", cell=2)
    page = report("delay over t.csv", summary(3), [*items(0.1, 0.2), failed])
    html, text = drawing.as_html(page), drawing.as_text(page)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "\x1b" not in text + html
    assert "3 of 3 items" in text
    assert "cell 2" in text
    assert "route=<R0>" in drawing.worst_table(page)
