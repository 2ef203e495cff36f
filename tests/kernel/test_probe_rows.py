"""The probe set: which rows there are, and that asking about them leaves what was asked about as it was."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nb2prod.core.outcome import Outcome, as_json, digest_of, from_json
from nb2prod.kernel import probe_rows
from nb2prod.kernel.probe_rows import BOUNDARY, REAL, STEP, answered, rows_for
from nb2prod.storage.row_answers import asked_apart, rows_of_answer

EXAMPLE = pd.DataFrame(
    {
        "price": [1.5, 2.5, 4.0],
        "count": [1, 2, 3],
        "maybe": pd.array([1, None, 3], dtype="Int64"),
        "name": ["a", "b", None],
        "kind": pd.Categorical(["x", "y", "x"], categories=["x", "y", "z"]),
        "flag": [True, False, True],
        "at": pd.to_datetime(["2024-01-01", "2024-02-01", "2024-03-01"]),
        "zoned": pd.to_datetime(["2024-01-01", "2024-02-01", "2024-03-01"]).tz_localize("Europe/Berlin"),
    }
)


def edges(column: str) -> dict[str, Any]:
    probe = rows_for(EXAMPLE[[column]])
    assert probe is not None
    names = [name.partition(": ")[2] for name in probe.what[probe.real :]]
    return dict(zip(names, probe.table[column].tolist()[probe.real :], strict=True))


def test_floats_are_asked_about_at_their_edges() -> None:
    found = edges("price")
    assert math.isnan(found["missing"])
    assert (found["above all seen"], found["below all seen"]) == (6.5, -1.0)
    assert (found["infinite"], found["very large"]) == (math.inf, 1e308)
    assert math.copysign(1, found["minus zero"]) == -1
    assert found["the least float above zero"] == 5e-324
    assert found["the next float after the largest seen"] == math.nextafter(4.0, math.inf)


def test_whole_numbers_are_asked_about_where_floats_end() -> None:
    found = edges("count")
    assert "missing" not in found
    assert (found["2^53 + 1"], found["-2^53 - 1"]) == (2**53 + 1, -(2**53) - 1)
    assert (found["the largest of its type"], found["the smallest of its type"]) == (2**63 - 1, -(2**63))


def test_a_missing_value_is_asked_about_where_the_type_can_say_it() -> None:
    lacking = {column for column in EXAMPLE.columns if "missing" in edges(column)}
    assert lacking == {"price", "maybe", "name", "kind", "at", "zoned"}


def test_times_are_asked_about_in_their_zone_around_summer_time() -> None:
    found = edges("zoned")
    repeated, again = found["the hour that winter time repeats"], found["that hour again"]
    assert str(repeated.tz) == "Europe/Berlin"
    assert (repeated.hour, again.hour) == (2, 2)
    assert (again - repeated).total_seconds() == 3600


def test_categories_have_the_one_without_rows_and_no_new_one() -> None:
    assert edges("kind") == {"missing": edges("kind")["missing"], "a category without rows": "z"}


def test_the_rows_keep_the_types_of_the_example_and_their_number_is_bounded() -> None:
    wide = pd.concat([EXAMPLE.add_suffix(str(number)) for number in range(5)], axis=1)
    probe = rows_for(pd.concat([wide] * 30))
    assert probe is not None
    assert (probe.real, len(probe.what)) == (REAL, REAL + BOUNDARY)
    assert probe.table.dtypes.equals(wide.dtypes)
    asked = {name.partition(":")[0] for name in probe.what[REAL:]}
    assert asked == set(wide.columns)
    assert "boundary rows are asked about" in probe.notes[0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(width=64, allow_nan=True), min_size=1, max_size=70))
def test_every_frame_of_floats_has_a_probe_set_that_does_not_depend_on_chance(values: list[float]) -> None:
    frame = pd.DataFrame({"a": values})
    one, other = rows_for(frame), rows_for(frame.copy())
    assert one is not None
    assert other is not None
    pd.testing.assert_frame_equal(one.table, other.table)
    assert one.what == other.what
    assert len(one.table) == len(one.what)


def test_an_array_is_asked_about_by_column() -> None:
    probe = rows_for(np.array([[1.0, 2.0], [3.0, np.nan]]))
    assert probe is not None
    assert probe.table.shape == (len(probe.what), 2)
    assert math.isnan(probe.table[probe.what.index("column 1: missing"), 1])
    assert rows_for(["a", "b"]) is None


def test_a_row_that_raises_spoils_no_other() -> None:
    def predict(rows: pd.DataFrame) -> Any:
        if rows["price"].isna().any() or np.isinf(rows["price"]).any():
            raise ValueError
        return rows["price"].to_numpy() * 2

    probe, outcomes = answered(rows_for(EXAMPLE[["price"]]), predict)  # type: ignore[arg-type]
    raised = {name for name, one in zip(probe.what, outcomes, strict=True) if one.kind == "raises"}
    assert raised == {"price: missing", "price: infinite"}
    assert outcomes[0] == Outcome("answer", (3.0,))


def test_a_slow_model_is_asked_about_fewer_rows_and_the_probe_set_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_rows, "SECONDS", 0.0)
    calls: list[int] = []

    def predict(rows: pd.DataFrame) -> Any:
        calls.append(len(rows))
        if len(rows) > 1:
            raise ValueError
        return np.ones(1)

    probe, outcomes = answered(rows_for(EXAMPLE), predict)  # type: ignore[arg-type]
    assert len(outcomes) == len(probe.what) == len(probe.table)
    assert (len(outcomes) - probe.real) % STEP == 0
    assert "the model is slow" in probe.notes[-1]


def test_an_answer_that_depends_on_the_other_rows_is_noted() -> None:
    probe, _ = answered(rows_for(EXAMPLE[["price"]]), lambda rows: (rows - rows.mean()).to_numpy())  # type: ignore[arg-type]
    assert "row 0 alone is answered otherwise than among other rows" in probe.notes[-1]


def test_what_a_model_prints_and_changes_in_its_rows_stays_with_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def predict(rows: pd.DataFrame) -> Any:
        sys.stdout.write("predicting\n")
        rows["price"] = 0.0
        return rows["price"]

    before = EXAMPLE.copy()
    kept = dict(probe_rows.keep(EXAMPLE, predict, tmp_path))
    assert capsys.readouterr().out == ""
    pd.testing.assert_frame_equal(EXAMPLE, before)
    pd.testing.assert_frame_equal(pd.read_parquet(kept["rows"]).iloc[:3], before)
    assert json.loads(kept["outcomes"].read_text())["real"] == 3


@given(
    st.lists(
        st.one_of(
            st.builds(
                Outcome,
                st.just("answer"),
                st.lists(st.one_of(st.floats(), st.integers(), st.text(), st.booleans(), st.none())).map(tuple),
            ),
            st.builds(lambda why: Outcome("raises", reason=why), st.text()),
            st.builds(lambda why: Outcome("refused", reason=why), st.text()),
        )
    )
)
def test_outcomes_survive_json_with_every_bit(outcomes: list[Outcome]) -> None:
    again = [from_json(json.loads(json.dumps(as_json(one), allow_nan=False))) for one in outcomes]
    assert [repr(one) for one in again] == [repr(one) for one in outcomes]
    assert digest_of(again) == digest_of(outcomes)


@given(st.sets(st.integers(0, 30)), st.integers(0, 31))
def test_every_row_is_asked_about_once_whichever_raise(raising: set[int], count: int) -> None:
    def ask(start: int, stop: int) -> list[Outcome]:
        if raising & {*range(start, stop)}:
            return [Outcome("raises", reason="X")] * (stop - start)
        return [Outcome("answer", (row,)) for row in range(start, stop)]

    found = list(asked_apart(ask, 0, count))
    assert [one.kind == "raises" for one in found] == [row in raising for row in range(count)]
    assert [one.values for one in found if one.kind == "answer"] == [(r,) for r in range(count) if r not in raising]


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        (np.array([1, 2]), [(1,), (2,)]),
        (np.array([[0.25], [0.5]], dtype="float32"), [(0.25,), (0.5,)]),
        (pd.DataFrame({"label": ["a", "b"], "p": [0.1, 0.2]}), [("a", 0.1), ("b", 0.2)]),
        (pd.Series([True, None], dtype="boolean"), [(True,), (None,)]),
        ([{"label": "a", "p": 0.1}, {"label": "b", "p": 0.2}], [("a", 0.1), ("b", 0.2)]),
        (np.array(["2024-01-01", "NaT"], dtype="datetime64[ns]"), [(1704067200000000000,), (None,)]),
    ],
)
def test_answers_of_every_form_are_rows_of_plain_values(answer: Any, rows: list[Any]) -> None:
    assert rows_of_answer(answer, 2) == rows
