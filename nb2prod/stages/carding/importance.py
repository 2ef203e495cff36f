"""What the model looks at: how much worse, or how much otherwise, it answers when one column is shuffled.

With the truth known it is permutation importance in the first metric that comes out again; else how much the answers
change. Which rows, and how they are shuffled, depends on the example only, so that the card is the same each time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from nb2prod.stages.carding.judged import Again, Judged, answers_of, pair_of
from nb2prod.stages.model_folder import Kept

REPEATS = 3
ASKED = 6000  # rows that the model is asked about, at most
FEWEST = 20


@dataclass(frozen=True, slots=True)
class Importance:
    """`by` is the metric that suffers, empty when it is the answers' change; `columns` from the most to the least."""

    by: str = ""
    rows: int = 0
    columns: tuple[tuple[str, float], ...] = ()


def importance(judged: Judged, kept: Kept) -> Importance:
    """Empty for an example without columns, and for a model that cannot answer shuffled rows."""
    example = kept.example
    if not hasattr(example, "columns") or len(example) < FEWEST or not 1 < len(example.columns) <= 200:
        return Importance()
    rows = min(len(example), ASKED // (len(example.columns) * REPEATS))
    if rows < FEWEST:
        return Importance()
    try:
        return _shuffled(judged, kept, rows)
    except Exception:  # noqa: BLE001 - the model's own code raises for rows that no data has: then there is nothing to say
        return Importance()


def _shuffled(judged: Judged, kept: Kept, rows: int) -> Importance:
    """The model is asked once, about all shuffled rows together."""
    import numpy
    import pandas

    rng = numpy.random.default_rng(0)
    places = numpy.sort(rng.choice(len(kept.example), rows, replace=False))
    base = kept.example.iloc[places]
    tables = []
    for name in kept.example.columns:
        for _ in range(REPEATS):
            other = base.copy()
            other[name] = base[name].take(rng.permutation(rows)).set_axis(base.index)
            tables.append(other)
    together = pandas.concat([base, *tables])
    answers = answers_of(kept, together, kept.asked.predict(together))
    metric = next(iter(judged.again.values())) if judged.truth is not None and judged.again else None
    truth = numpy.asarray(judged.truth)[places] if metric is not None else None
    worth = [_worth(answers, slice(at * rows, (at + 1) * rows), metric, truth, rows) for at in range(len(tables) + 1)]
    found = {}
    for place, name in enumerate(kept.example.columns):
        mine = worth[1 + place * REPEATS : 1 + (place + 1) * REPEATS]
        found[str(name)] = float(abs(numpy.mean([worth[0] - one for one in mine])))
    ordered = sorted(found.items(), key=lambda one: (-one[1], one[0]))
    if any(math.isnan(value) for _, value in ordered):
        return Importance()
    return Importance(metric.metric if metric is not None else "", rows, tuple(ordered))


def _worth(answers: Any, part: slice, metric: Again | None, truth: Any, rows: int) -> float:
    """The metric of some rows; without one, how far their answers are from those to the rows as they are."""
    import numpy

    from nb2prod.stages.carding.judged import Answers

    scores = None if answers.scores is None else answers.scores[part]
    if metric is not None:
        pair = pair_of(metric.measure, truth, Answers(answers.predicted[part], scores, answers.classes))
        return metric.measure.of(*pair, numpy.ones(rows)) if pair is not None else math.nan
    if scores is not None:
        return float(numpy.abs(scores - answers.scores[:rows]).mean())
    mine, base = answers.predicted[part], answers.predicted[:rows]
    if mine.dtype.kind in "iuf" and not answers.classes:
        return float(numpy.abs(mine - base).mean())
    return float((mine != base).mean())
