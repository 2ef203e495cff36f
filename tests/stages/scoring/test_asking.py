"""Rows that the model refuses by name are told so, those that it raises for are found, and the others are answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nb2prod.core.errors import NotebookFailed
from nb2prod.core.scored import Runtime
from nb2prod.stages.scoring.answering import CannotAnswer, Refused
from nb2prod.stages.scoring.asking import RAISING, answers
from nb2prod.stages.scoring.checking import THE_ROW

UNKNOWN = Refused("kind", "not one of the categories that the model was fitted on")
QUICK = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)  # to explain, it traces every line
RAISED = Refused(THE_ROW, "the model raises ValueError")


class Choosy:
    """A model that doubles a row's number, names rows that it refuses, and raises for others without saying which."""

    at_once = 1
    runtime: Runtime = "model"

    def __init__(self, refused: Mapping[int, Refused], raising: set[int]) -> None:
        self.refused, self.raising = refused, raising

    def predict(self, rows: Any) -> Any:
        numbers = rows.column("n").to_numpy()
        named = {place: self.refused[int(n)] for place, n in enumerate(numbers) if int(n) in self.refused}
        if named:
            raise CannotAnswer("MlflowException: the column kind is …", named)
        if self.raising.intersection(numbers.tolist()):
            raise CannotAnswer("ValueError: 1000")
        return numbers * 2


def table(count: int) -> Any:
    return pa.table({"n": range(count)})


@settings(max_examples=40, deadline=None, phases=QUICK)
@given(refused=st.sets(st.integers(0, 40)), raising=st.sets(st.integers(0, 40)))
def test_each_row_is_answered_or_told(refused: set[int], raising: set[int]) -> None:
    found, told = answers(Choosy(dict.fromkeys(refused, UNKNOWN), raising), table(41), where="here")
    assert told == {row: UNKNOWN if row in refused else RAISED for row in refused | raising}
    left = [row * 2 for row in range(41) if row not in refused | raising]
    assert (found["prediction"].to_pylist() if left else found) == (left or {})


def test_thousands_of_refused_rows_are_no_fault_of_the_model() -> None:
    found, told = answers(Choosy(dict.fromkeys(range(1, 3000), UNKNOWN), set()), table(3000), where="here")
    assert (found["prediction"].to_pylist(), len(told)) == ([0], 2999)
    with pytest.raises(NotebookFailed, match="raises for more than 100 rows"):
        answers(Choosy({}, set(range(RAISING + 1))), table(3000), where="here")
