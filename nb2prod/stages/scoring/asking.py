"""The model is asked about rows that fit; those that it refuses or raises for are found, and told as the others are.

What the package's own code refuses it says with rows, column and reason (a category that was not among those fitted on,
a key without a model). For a model that raises, the rows are found by halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nb2prod.core.errors import NotebookFailed
from nb2prod.stages.scoring.answering import CannotAnswer, Model, Refused, as_columns
from nb2prod.stages.scoring.checking import THE_ROW

RAISING = 100  # rows of a block for which a model may raise before it is the model that is wrong
ANSWERS_ALONE = "the model raises for rows that it answers one by one"


def answers(model: Model, rows: Any, *, where: str) -> tuple[dict[str, Any], Mapping[int, Refused]]:
    """The answers as columns, and the places of rows that have none: why. No columns when no row has one.

    Raises NotebookFailed when it is the model that is wrong.
    """
    import numpy

    left, refused, searched = numpy.arange(rows.num_rows), dict[int, Refused](), False
    while len(left):
        asked = rows.take(left) if refused else rows
        try:
            return as_columns(model.predict(asked), len(left)), refused
        except CannotAnswer as error:
            if searched and not error.rows:
                raise NotebookFailed(f"{ANSWERS_ALONE}: {error}", where=where) from error
            found = error.rows or _raising(model, asked, where)
            searched = searched or not error.rows
            refused |= {int(left[place]): why for place, why in found.items()}
            left = numpy.delete(left, list(found))
    return {}, refused


def _raising(model: Model, rows: Any, where: str) -> Mapping[int, Refused]:
    """Which rows it raises for, found by halves."""
    found: dict[int, Refused] = {}
    waiting = [(0, rows.num_rows)]
    while waiting:
        start, end = waiting.pop()
        error = _error(model, rows.slice(start, end - start))
        if error is not None and end - start == 1:
            found[start] = error.rows.get(0) or Refused(THE_ROW, f"the model raises {str(error).partition(':')[0]}")
            if len(found) > RAISING:
                raise NotebookFailed(
                    f"the model raises for more than {RAISING} rows: {error}",
                    where=where,
                    fix="ask it for one of them, with `mlflow.pyfunc.load_model(…).predict(…)`",
                ) from error
        elif error is not None:
            middle = (start + end) // 2
            waiting += [(middle, end), (start, middle)]
    return found


def _error(model: Model, rows: Any) -> CannotAnswer | None:
    try:
        model.predict(rows)
    except CannotAnswer as error:
        return error
    return None
