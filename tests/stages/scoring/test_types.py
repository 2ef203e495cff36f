"""Columns as Parquet has them: what the notebook's own table has is scored as `mlflow.pyfunc` scores it, or refused."""

from __future__ import annotations

import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nb2prod.core.errors import UsageError
from nb2prod.serving.contract import Contract
from nb2prod.serving.package_folder import PackageFolder, open_folder
from nb2prod.serving.signature import Column, Kind, Signature
from nb2prod.stages.scoring import answering, asking, one_file, reading
from nb2prod.stages.scoring.checking import Checked, Checker
from nb2prod.stages.scoring.typed import INEXACT, NOT_IN_YEARS
from tests.stages.test_package_models import COLUMNS, EVERYTHING, Made, made

TIME = {"column": "x", "as": "time", "zone": "Europe/Berlin", "unit": "us"}
QUICK = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)  # to explain, it traces every line
DECIMAL = {"column": "x", "as": "decimal", "missing": "none"}


@pytest.fixture(scope="module")
def every_type(tmp_path_factory: pytest.TempPathFactory) -> Made:
    home = tmp_path_factory.mktemp("types")
    source = f"{COLUMNS}\nmodel = AsFitted()"
    return made(home, "model:model example:X", source, ("functions", EVERYTHING))


def checked_file(known: PackageFolder, path: Path) -> Checked:
    (source,) = reading.sources([path])
    checker = one_file.checker_of(known, source, reading.columns(source))
    (block,) = reading.blocks(source, 100, checker.inputs)
    return checker.check(block, is_text=False)


def test_the_notebooks_own_table_is_answered_as_the_one_that_pyfunc_takes(every_type: Made, tmp_path: Path) -> None:
    import mlflow.pyfunc

    known = open_folder(every_type.folder)
    # 1E+30 has another number of digits in Parquet, and the model tells them all
    every_type.ran.namespace["X"].assign(price=None).to_parquet(tmp_path / "rows.parquet")
    plain = every_type.written.described.example.assign(price=pd.Series([None] * 3, dtype="str"))
    checked = checked_file(known, tmp_path / "rows.parquet")
    found, refused = asking.answers(answering.Itself(every_type.folder), checked.table, where="here")
    expected = mlflow.pyfunc.load_model(str(every_type.folder)).predict(plain)
    assert (found["prediction"].to_pylist(), checked.problems, refused) == (expected.tolist(), (), {})


def test_what_has_no_place_in_the_notebooks_type_is_told_by_row_and_column(every_type: Made, tmp_path: Path) -> None:
    rows = every_type.written.described.example.assign(ordered=["low", "huge", None], numbered=[2.0, 1.0, None])
    rows.to_parquet(tmp_path / "rows.parquet")
    checked = checked_file(open_folder(every_type.folder), tmp_path / "rows.parquet")
    found, refused = asking.answers(answering.Itself(every_type.folder), checked.table, where="here")
    unknown = "not one of the categories that the model was fitted on"
    assert {row: (why.column, why.reason) for row, why in refused.items()} == {
        0: ("numbered", unknown),
        1: ("ordered", unknown),
    }
    assert len(found["prediction"]) == 1


# -- one column at a time ---------------------------------------------------------------------------------------------


def checked(kind: str, column: Any, recipe: dict[str, Any] | None = None) -> tuple[list[Any], dict[int, str]]:
    signature = Signature(columns=(Column("x", Kind(kind), required=False),))
    checker = Checker(signature, Contract({}), ["x"], where="here", restored={"x": recipe} if recipe else {})
    table = pa.table({"x": column})
    found = checker.check(reading.Block(0, table, np.arange(len(table))), is_text=False)
    return found.table.column("x").to_pylist(), {problem.row: problem.reason for problem in found.problems}


@settings(max_examples=20, deadline=None, phases=QUICK)
@given(st.lists(st.none() | st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2200-01-01")), min_size=1))
def test_a_time_in_a_zone_becomes_a_text_that_names_the_same_instant(times: list[Any]) -> None:
    column = pa.array([None if t is None else pd.Timestamp(t, tz="UTC") for t in times], pa.timestamp("us", "UTC"))
    made, told = checked("string", column.cast(pa.timestamp("us", "Asia/Tokyo")), TIME)
    again = [None if text is None else pd.Timestamp(text).tz_convert(None) for text in made]
    assert (again, told) == ([None if t is None else pd.Timestamp(t) for t in times], {})


@settings(max_examples=20, deadline=None, phases=QUICK)
@given(st.lists(st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=4), min_size=1))
def test_a_decimal_becomes_a_text_of_all_its_digits(numbers: list[Any]) -> None:
    kept = [n if n is None or abs(n) < 10**20 else decimal.Decimal("1.0000") for n in numbers]
    made, told = checked("string", pa.array(kept, pa.decimal128(38, 4)), DECIMAL)
    assert ([None if text is None else decimal.Decimal(text) for text in made], told) == (kept, {})


def test_instants_that_the_notebooks_type_does_not_hold_are_told() -> None:
    finer = pa.array([1001, 1000], pa.timestamp("ns", "UTC"))
    assert checked("string", finer, TIME) == (["1970-01-01 00:00:00.000001000+00:00"], {0: INEXACT})
    assert checked("string", pa.array([10**12], pa.timestamp("s", "UTC")), TIME) == ([], {0: NOT_IN_YEARS})


@pytest.mark.parametrize(
    ("kind", "given", "recipe", "said"),
    [
        ("datetime", pa.array([0], pa.timestamp("us", "UTC")), None, "drop the time zone"),
        ("string", pa.array([0], pa.timestamp("us", "UTC")), None, "nothing is guessed"),
        ("string", pa.array([0], pa.timestamp("us")), TIME, "give the times the time zone"),
        ("double", pa.array([decimal.Decimal("0.1")]), None, "convert the column to floats"),
        ("string", pa.array([decimal.Decimal("0.1")]), None, "nothing is guessed"),
        ("string", pa.array([0.1]), DECIMAL, "string, which is a decimal number"),
        ("double", pa.array([1], pa.duration("s")), None, "the column x is duration"),
        ("datetime", pa.array([1], pa.time32("s")), None, "the column x is time32"),
        ("long", pa.array([[1]]), None, "the column x is list"),
        ("long", pa.array([1]).cast(pa.bool_()), None, "the column x is bool"),
        ("binary", pa.array([b"0" * 16], pa.uuid()), None, "the column x is extension"),
    ],
)
def test_types_that_are_another_altogether_are_refused(kind: str, given: Any, recipe: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        checked(kind, given, recipe)


@pytest.mark.parametrize(
    ("frame", "kind", "expected"),
    [
        (pd.Series(["b", None, "a"], dtype="category"), "string", ["b", None, "a"]),
        (pd.Series([3, None, 1], dtype="category"), "double", [3.0, None, 1.0]),
        (pd.Series([3, None, 1], dtype="Int16"), "double", [3.0, None, 1.0]),
        (pd.Series([True, None], dtype="boolean"), "boolean", [True, None]),
        (pd.Series(["x", None], dtype=pd.ArrowDtype(pa.large_string())), "string", ["x", None]),
        (pd.Series(["x", None], dtype="string[python]"), "string", ["x", None]),
    ],
)
def test_types_of_pandas_come_through_parquet(frame: Any, kind: str, expected: list[Any], tmp_path: Path) -> None:
    frame.to_frame("x").to_parquet(tmp_path / "rows.parquet")
    assert checked(kind, pq.read_table(tmp_path / "rows.parquet").column("x")) == (expected, {})
