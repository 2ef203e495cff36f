"""Two values compared: what is equal, what is rounding, what differs, where, and what nobody can compare."""

from __future__ import annotations

import datetime
import functools
import json
import math
import pickle
import subprocess
import sys
import threading
import weakref
from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

from nb2prod.core.equality import Difference
from nb2prod.kernel import boundary
from nb2prod.kernel.compare import compare
from nb2prod.kernel.compare_text import compare_text

HERE = Path(__file__).parent


def at_rest(value: Any, folder: Path) -> Any:
    """A value's portrait, written and read."""
    made, _ = boundary.painted(value, HERE)
    return boundary.load(folder, boundary._kept(folder / boundary.VALUES, made))


def compared(one: Any, other: Any, folder: Path, name: str = "x") -> Difference:
    return compare(name, at_rest(one, folder), at_rest(other, folder))


class Point(NamedTuple):
    x: float
    y: float


@dataclass
class Dropping:
    """Loses a part when it is pickled."""

    kept: int
    lost: int = 0

    def __reduce__(self) -> Any:
        return Dropping, (self.kept,)


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a: int) -> None:
        self.a = a


class Words(dict):  # type: ignore[type-arg]
    """A dictionary with something beside its items."""


def words(beside: int, **items: int) -> Words:
    made = Words(items)
    made.beside = beside  # type: ignore[attr-defined]
    return made


def fitted(shift: float = 0.0) -> LinearRegression:
    x = np.arange(8.0).reshape(4, 2) ** 2
    return LinearRegression().fit(x, x[:, 0] + shift * x[:, 1])


def forest(seed: int) -> RandomForestClassifier:
    x = np.arange(40.0).reshape(20, 2)
    return RandomForestClassifier(3, random_state=seed).fit(x, [0, 1] * 10)


def drawn(height: float = 2.0, title: str = "t") -> Any:
    figure, axes = plt.subplots()
    axes.plot([1, 2], [3, 4])
    axes.bar(["a", "b"], [1, height])
    axes.scatter([1.0, 2.0], [1.0, 1.0])
    axes.set_title(title)
    plt.close(figure)
    return figure


def cyclic(last: int) -> list[Any]:
    made: list[Any] = [1]
    made += [made, last]
    return made


def adder(n: int) -> Any:
    return lambda x: x + n


frame = pd.DataFrame({"name": ["a", "b", None], "income": [1.0, np.nan, 3.5], "kind": pd.Categorical(["u", "v", "u"])})
dates = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=3, tz="Europe/Rome"), "n": pd.array([1, None, 3])})
EQUAL: dict[str, Any] = {
    "nothing": None,
    "not a number": math.nan,
    "a text with half a pair": "\ud800",
    "a large integer": 10**400,
    "a complex number": complex(1, math.nan),
    "a list": [1, 2.5, "a", b"b", None, True],
    "a dictionary": {"a": [1], (1, 2): {3}},
    "a set of texts": {"c", "a", "b"},
    "a deque": deque([1, 2]),
    "a named tuple": Point(1.0, 2.0),
    "what contains itself": cyclic(3),
    "an object of the notebook's": Dropping(1, 2),
    "slots without a value": Slotted(1),
    "a date": datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC),
    "a path": Path("a") / "b",
    "a class": Dropping,
    "a closure": adder(3),
    "a partial": functools.partial(max, 3, key=len),
    "a method": "abc".upper,
    "a range": range(5),
    "an array": np.array([[1.0, np.nan], [np.inf, -0.0]]),
    "a large array": np.arange(100_000.0),
    "an array of no rows": np.empty((0, 3)),
    "an array in Fortran's order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "an array of texts": np.array(["a", "bc"]),
    "an array of objects": np.array([1, "a", None], dtype=object),
    "an array of dates": np.array(["2024-01-01", "NaT"], dtype="datetime64[D]"),
    "an array of fields": np.array([(1, 2.5)], dtype=[("a", "i1"), ("b", "f8")]),
    "a masked array": np.ma.array([1.0, 2.0], mask=[True, False]),
    "a scalar": np.float32(0.1),
    "a frame": frame,
    "a frame with time zones and missing integers": dates,
    "a frame with two levels": frame.set_index(["name", "income"]),
    "a frame of no rows": frame.iloc[:0],
    "a series": frame["income"],
    "an index": frame.index,
    "a timestamp": pd.Timestamp("2024-01-01", tz="UTC"),
    "a generator of random numbers": np.random.default_rng(7),
    "a model": fitted(),
    "a forest": forest(3),
    "a figure": drawn(),
    "an exception": ValueError("no"),
}


@pytest.mark.parametrize("value", EQUAL.values(), ids=EQUAL)
def test_a_value_equals_itself(value: Any, tmp_path: Path) -> None:
    found = compared(value, value, tmp_path)
    assert (found.verdict, found.text, found.uncompared) == ("equal", "", ())


@pytest.mark.parametrize("name", ["a list", "a frame", "a model", "a forest", "an array", "a closure", "a dictionary"])
def test_a_value_equals_what_it_is_in_another_process(name: str, tmp_path: Path) -> None:
    import cloudpickle

    arrived = cloudpickle.loads(cloudpickle.dumps(EQUAL[name]))
    assert compared(EQUAL[name], arrived, tmp_path).verdict == "equal"


def changed(column: str, row: int, value: Any) -> pd.DataFrame:
    made = frame.copy()
    made.loc[row, column] = value
    return made


def noted(source: str) -> pd.DataFrame:
    made = frame.copy()
    made.attrs["source"] = source
    return made


DIFFERENT: dict[str, tuple[Any, Any, str]] = {
    "a number": (3.5, 3.6, "x: 3.5 and 3.6"),
    "another type": (3, 3.0, "x: 3 (int) and 3.0 (float)"),
    "true and one": (True, 1, "x: True (bool) and 1 (int)"),
    "nothing": (None, 0, "x: None (NoneType) and 0 (int)"),
    "not a number and one": (math.nan, 1.0, "x: nan and 1.0"),
    "infinity": (math.inf, 1e308, "x: inf and 1e+308"),
    "a text": ("a", "b", "x: 'a' and 'b'"),
    "an item": ([1, [2, 3]], [1, [2, 4]], "x[1][1]: 3 and 4"),
    "a length": ([1], [1, 2], "x: 1 item and 2 items"),
    "a list and a tuple": ([1], (1,), "x: a list and a tuple"),
    "a key": ({"a": 1, "b": 2}, {"a": 1, "b": 3}, 'x["b"]: 2 and 3'),
    "a key more": ({"a": 1}, {"a": 1, "b": 2}, "x: \"b\" is only in the isolated steps'"),
    "the order of keys": (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1), "x: the keys are in another order"),
    "a member": ({1, 2}, {1, 3}, "x: 2 is only in the notebook's; 3 is only in the isolated steps'"),
    "many floats": ([0.0] * 20, [0.0] * 19 + [1.0], "x[19]: 0.0 and 1.0"),
    "what contains itself": (cyclic(3), cyclic(4), "x[2]: 3 and 4"),
    "an attribute": (SimpleNamespace(a=1), SimpleNamespace(a=2), "x.a: 1 and 2"),
    "a part that pickling drops": (Dropping(1, 2), Dropping(1), "x.lost: 2 and 0"),
    "something beside the items": (words(1, a=1), words(2, a=1), "x.beside: 1 and 2"),
    "the items of one's own kind": (words(1, a=1), words(1, a=2), 'x\'s content["a"]: 1 and 2'),
    "what a function holds on to": (adder(1), adder(2), "x's n: 1 and 2"),
    "a function's code": (lambda x: x + 1, lambda x: x + 2, "x: its code is another"),
    "a date": (datetime.date(2024, 1, 1), datetime.date(2024, 1, 2), "datetime.date(2024, 1, 1)"),
    "a place of an array": (np.eye(4), np.eye(4) + np.array([0, 0, 0, 1]), "x[0, 3]: 0.0 and 1.0"),
    "a shape": (np.zeros(3), np.zeros((3, 1)), "x: shape (3,) and shape (3, 1)"),
    "a dtype": (np.zeros(3), np.zeros(3, "f4"), "x: float64 and float32"),
    "an integer": (np.array([1, 2]), np.array([1, 3]), "x[1]: 2 and 3"),
    "a field": (np.array([(1, 2.5)], dtype=[("a", "i1"), ("b", "f8")]),
                np.array([(1, 3.5)], dtype=[("a", "i1"), ("b", "f8")]), 'x[0]["b"]: 2.5 and 3.5'),
    "a date of an array": (np.array(["2024-01-01"], "M8[D]"), np.array(["NaT"], "M8[D]"), "x[0]: 2024-01-01 and NaT"),
    "an object of an array": (np.array([1, "a"], object), np.array([1, "b"], object), "x.ravel()[1]: 'a' and 'b'"),
    "a cell of a frame": (frame, changed("income", 2, 3.6), 'x["income"], row 2: 3.5 and 3.6'),
    "a text of a frame": (frame, changed("name", 1, "c"), "x[\"name\"], row 1: 'b' and 'c'"),
    "a category": (frame, frame.assign(kind=pd.Categorical(["u", "v", "v"])), 'x["kind"], row 2: 0 and 1'),
    "categories": (frame, frame.assign(kind=frame.kind.cat.add_categories("w")), 'x["kind"]\'s categories'),
    "a column's dtype": (frame, frame.assign(income=frame.income.astype("f4")), 'x["income"]: float64 and float32'),
    "a column more": (frame, frame.assign(z=1), "x: column \"z\" is only in the isolated steps'"),
    "the order of columns": (frame, frame[["income", "name", "kind"]], "x: the columns are in another order"),
    "rows": (frame, frame.head(2), "x: 3 rows and 2 rows"),
    "labels of rows": (frame, frame.set_index(pd.Index([0, 1, 5])), "x.index, row 2: 2 and 5"),
    "the order of rows": (frame, frame.iloc[[0, 2, 1]], "x.index, row 1: 1 and 2"),
    "a missing integer": (dates, dates.fillna({"n": 0}), 'x["n"], row 1 (missing): True and False'),
    "a series' name": (frame["income"], frame["income"].rename("other"), "x.name: 'income' and 'other'"),
    "a frame's notes": (frame, noted("from the bank"), 'x.attrs: "source" is only in'),
    "a fitted attribute": (fitted(), fitted(1.0), "x.coef_[1]:"),
    "a parameter of a model": (forest(3), forest(4), "x.random_state: 3 and 4"),
    "a bar": (drawn(), drawn(2.5), "'s height: 2.0 and 2.5"),
    "a title": (drawn(), drawn(title="u"), ".title: 't' and 'u'"),
    "where a stream is": (np.random.default_rng(7), np.random.default_rng(8), "x"),
    "a generator and a list": ((i for i in range(2)), [0, 1], "a generator"),
}  # fmt: skip


@pytest.mark.parametrize(("one", "other", "said"), DIFFERENT.values(), ids=DIFFERENT)
def test_a_difference_is_found_and_its_place_is_said(one: Any, other: Any, said: str, tmp_path: Path) -> None:
    found = compared(one, other, tmp_path)
    assert found.verdict == "different"
    assert said in found.text


def test_rounding_is_told_apart_from_equality(tmp_path: Path) -> None:
    one = np.array([1.0, 2.0, 3.0])
    found = compared(one, np.array([1.0, np.nextafter(2.0, 3), 3.0]), tmp_path)
    assert (found.verdict, found.count, found.items, found.ulps) == ("tolerant", 1, 3, 1.0)
    assert found.text == "x[1]: 2.0 and 2.0000000000000004"
    assert found.tolerance == "float64: 1 part in 10^9"
    assert found.absolute == pytest.approx(4.4e-16, rel=0.01)


ROUNDED: dict[str, tuple[Any, Any, str]] = {
    "within 1e-9": (1.0, 1.0 + 5e-10, "tolerant"),
    "beyond 1e-9": (1.0, 1.0 + 2e-9, "different"),
    "float32": (np.float32(1.0), np.float32(1.000005), "tolerant"),
    "float32 beyond": (np.float32(1.0), np.float32(1.0001), "different"),
    "what cancels in an array": (np.array([1.0, 1e-17]), np.array([1.0, 3e-17]), "tolerant"),
    "a small number alone": (1e-17, 3e-17, "different"),
    "zero and minus zero": (0.0, -0.0, "tolerant"),
    "two seconds since 1970": (1.75e9, 1.75e9 + 0.2, "different"),
    "integers": (10**15, 10**15 + 1, "different"),
    "complex": (complex(1, 1), complex(1, 1 + 1e-12), "tolerant"),
    "a frame": (pd.DataFrame({"a": [1.0]}), pd.DataFrame({"a": [1.0 + 1e-15]}), "tolerant"),
}


@pytest.mark.parametrize(("one", "other", "verdict"), ROUNDED.values(), ids=ROUNDED)
def test_what_counts_as_rounding_depends_on_the_type(one: Any, other: Any, verdict: str, tmp_path: Path) -> None:
    assert compared(one, other, tmp_path).verdict == verdict


BLANK: dict[str, tuple[Any, str]] = {
    "a generator": ((i for i in range(3)), "x: a generator"),
    "a lock inside": ({"a": [threading.Lock()]}, 'x["a"][0]: a lock'),
    "an open file": (sys.__stderr__, "x: an open file"),
    "a cache of weak references": (weakref.WeakKeyDictionary(), "x: a container of weak references"),
    "too deep": (functools.reduce(lambda inner, _: [inner], range(900), []), "x: nested too deeply"),
}


@pytest.mark.parametrize(("value", "said"), BLANK.values(), ids=BLANK)
def test_what_cannot_be_written_is_never_called_equal(value: Any, said: str, tmp_path: Path) -> None:
    found = compared(value, value, tmp_path)
    assert (found.verdict, found.uncompared) == ("uncompared", (said,))


def test_times_that_a_library_measured_are_not_held_against_it(tmp_path: Path) -> None:
    one = {"score": [0.5], "mean_fit_time": np.array([0.1])}
    assert compared(one, one, tmp_path).verdict == "equal"
    found = compared(one, {**one, "mean_fit_time": np.array([0.2])}, tmp_path)
    assert (found.verdict, found.uncompared) == ("uncompared", ('x["mean_fit_time"]: a time that was measured',))
    assert compared(one, {**one, "score": [0.6]}, tmp_path).verdict == "different"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=3)
    | st.binary(max_size=3)
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3)
        | st.frozensets(st.integers() | st.text(max_size=2), max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_whatever_comes_back_from_a_pickle_is_equal(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "portraits"
    folder.mkdir(exist_ok=True)
    assert compared(value, pickle.loads(pickle.dumps(value)), folder).verdict == "equal"


def test_a_portrait_loads_nothing_but_portraits(tmp_path: Path) -> None:
    (tmp_path / boundary.VALUES).mkdir()
    (tmp_path / boundary.VALUES / "bad").write_bytes(pickle.dumps(Dropping(1)))
    with pytest.raises(pickle.UnpicklingError, match="is no part of a portrait"):
        boundary.load(tmp_path, "bad")


def test_the_program_answers_a_line_for_each_pair(tmp_path: Path) -> None:
    made = [boundary._kept(tmp_path / boundary.VALUES, boundary.painted(v, HERE)[0]) for v in ([1], [2])]
    asked = json.dumps({"name": "x", "one": made[0], "other": made[1]})
    command = [sys.executable, "-P", "-m", "nb2prod.kernel.compare", str(tmp_path)]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["text"] == "x[0]: 1 and 2"


TEXTS: dict[str, tuple[str, str, str, str]] = {
    "the same": ("a\nb\n", "a\nb\n", "equal", ""),
    "a word": ("a\nb\n", "a\nc\n", "different", "printed, line 2: 'b' and 'c'"),
    "a line more": ("a\n", "a\nb\n", "different", "printed, line 2: only isolated steps printed 'b'"),
    "a number": ("auc 0.91\n", "auc 0.92\n", "different", "printed, line 1: 'auc 0.91' and 'auc 0.92'"),
    "the last digits": ("0.30000000000000004\n", "0.3\n", "tolerant", "line 1"),
    "an address": ("<T at 0x7f3a51c0>\n", "<T at 0x7f66d2e0>\n", "uncompared", ""),
    "a measured time": ("done in 0.31 s\n", "done in 0.29 s\n", "uncompared", ""),
    "what %time prints": ("CPU times: user 3 μs, sys: 1 μs\n", "CPU times: user 2 μs, sys: 0 ns\n", "uncompared", ""),
    "a longer time of %time": (
        "CPU times: user 3 s\nWall time: 1e+03 ns\n",
        "CPU times: user 4 s\nWall time: 1min 2s\n",
        "uncompared",
        "",
    ),
    "the time of day": ("2024-01-01 10:00:00 go\n", "2024-01-02 11:30:12 go\n", "uncompared", ""),
    "what %%writefile prints": ("Overwriting a.py\n", "Writing a.py\n", "uncompared", ""),
    "a time and a word": ("a in 0.31 s\n", "b in 0.29 s\n", "different", "line 1"),
    "no line end": ("a", "a\n", "different", "the lines end otherwise"),
}


@pytest.mark.parametrize(("one", "other", "verdict", "said"), TEXTS.values(), ids=TEXTS)
def test_printed_text_is_compared_line_by_line(one: str, other: str, verdict: str, said: str) -> None:
    found = compare_text("printed", one, other)
    assert found.verdict == verdict
    assert said in found.text
