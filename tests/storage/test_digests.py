"""A digest covers all of a value: equal content gives equal digests, and any change gives another one."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nb2prod.storage.digests import CannotDigest, columns_of, digest, rows_of

CELLS = {
    "float64": st.floats(allow_nan=True),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "object": st.one_of(st.none(), st.text(), st.integers(), st.floats(allow_nan=False), st.booleans()),
    "str": st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]))),
    "Int64": st.one_of(st.none(), st.integers(-(2**62), 2**62)),
    "category": st.sampled_from(["a", "b", "c"]),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 8))
    kinds = draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4))
    columns = {
        f"c{place}": pd.Series(draw(st.lists(CELLS[kind], min_size=rows, max_size=rows)), dtype=kind)
        for place, kind in enumerate(kinds)
    }
    return pd.DataFrame(columns)


@given(frames())
def test_equal_frames_have_equal_digests(frame: pd.DataFrame) -> None:
    """However they came about: a copy, columns put together one by one, rows out of a longer frame."""
    rebuilt = pd.concat([frame[name] for name in frame], axis=1) if len(frame.columns) else frame
    longer = pd.concat([frame, frame]).iloc[: len(frame)]
    assert digest(frame.copy()) == digest(rebuilt) == digest(frame)
    if (longer.dtypes == frame.dtypes).all():
        assert digest(longer) == digest(frame)


@settings(max_examples=50)
@given(frames(), st.data())
def test_order_labels_and_types_are_part_of_a_digest(frame: pd.DataFrame, data: st.DataObject) -> None:
    assert digest(frame.rename(columns={"c0": "other"})) != digest(frame)
    assert digest(frame.rename_axis("rows")) != digest(frame)
    assert digest(frame.assign(more=1)) != digest(frame)
    if len(frame.columns) > 1:
        assert digest(frame[frame.columns[::-1]]) != digest(frame)
    if len(frame) > 1:
        assert digest(frame.iloc[::-1]) != digest(frame)
        assert digest(frame.iloc[1:]) != digest(frame)


LONG = pd.DataFrame({"n": np.arange(20_000), "x": np.zeros(20_000), "t": pd.Series(["a"] * 20_000)})


@settings(max_examples=25)
@given(st.integers(0, 19_999), st.sampled_from(["n", "x", "t"]))
def test_a_change_of_any_cell_is_seen(row: int, column: str) -> None:
    """Also past row 10,000, where MLflow's own digest stops looking."""
    changed = LONG.copy()
    changed.loc[row, column] = "b" if column == "t" else changed.loc[row, column] + 1
    assert digest(changed) != digest(LONG)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pd.Series([1, 2]), pd.Series([1.0, 2.0])),
        (pd.Series([1, 2]), pd.Series([1, 2], dtype="Int64")),
        (pd.Series([1, 2]), pd.Series([1, 2], dtype="int32")),
        (pd.Series(["a", "b"]), pd.Series(["a", "b"], dtype="category")),
        (pd.Series(["a", "b"]), pd.Series(["a", "b"], dtype=object)),
        (pd.Series([0.0]), pd.Series([-0.0])),
        (pd.Series([1.0, None]), pd.Series([None, 1.0])),
        (pd.Series(["a", None], dtype=object), pd.Series(["a", np.nan], dtype=object)),
        (pd.Series(["a", None], dtype=object), pd.Series(["a", "None"], dtype=object)),
        (pd.Series([1, True], dtype=object), pd.Series([1, 1], dtype=object)),
        (pd.Series(["ab", "c"]), pd.Series(["a", "bc"])),
        (pd.Categorical(["a"], ["a", "b"]), pd.Categorical(["a"], ["b", "a"])),
        (pd.to_datetime(["2020-01-01"]), pd.to_datetime(["2020-01-01"]).tz_localize("UTC")),
        (pd.Series([1, 2], name="a"), pd.Series([1, 2], name="b")),
        (pd.Series([1, 2]), pd.DataFrame({"a": [1, 2]})),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.array(["a"]), np.array(["a"], dtype=object)),
        ([1, 2], (1, 2)),
        (1, True),
        ("1", 1),
        ({"a": [1]}, {"a": [1, None]}),
        ([["a"], "b"], [["a", "b"]]),
    ],
)
def test_values_that_look_alike_are_told_apart(one: object, other: object) -> None:
    assert digest(one) != digest(other)


def test_a_nan_is_a_nan_whatever_its_bits() -> None:
    with np.errstate(invalid="ignore"):
        made = np.array([1.0, np.inf]) - np.array([0.0, np.inf])
    assert digest(pd.Series(made)) == digest(pd.Series([1.0, np.nan]))


def test_a_range_of_labels_is_the_labels_written_out() -> None:
    assert digest(pd.DataFrame({"a": [1, 2]}, index=[0, 1])) == digest(pd.DataFrame({"a": [1, 2]}))


def test_a_set_has_one_digest_in_every_process() -> None:
    """Strings are hashed otherwise in each process, so that a set's own order is another one."""
    code = "from nb2prod.storage.digests import digest; print(digest({'income', 'state', 'age', 'job'}))"
    said = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(3)}
    assert len(said) == 1


def test_digests_load_neither_pandas_nor_numpy() -> None:
    code = (
        "import sys; from nb2prod.storage.digests import digest; digest([1, {'a': 2.5}]); print('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"


def test_what_cannot_be_written_down_has_no_digest() -> None:
    with pytest.raises(CannotDigest):
        digest([1, iter([2]), (number for number in [3])])


def test_a_list_within_itself_has_a_digest() -> None:
    endless: list[object] = [1]
    endless.append(endless)
    assert digest(endless) == digest(endless)


def test_rows_and_columns_of_each_kind_of_table() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert (rows_of(frame), columns_of(frame)) == (2, (("a", "int64"), ("b", "str")))
    assert columns_of(frame["a"]) == (("a", "int64"),)
    assert (rows_of(np.zeros((3, 2))), columns_of(np.zeros((3, 2)))) == (3, (("0", "float64"), ("1", "float64")))
