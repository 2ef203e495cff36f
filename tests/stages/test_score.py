"""Tables are scored as `mlflow.pyfunc` scores one frame, block by block; what does not fit is told and left out."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nb2prod.api import score as api_score
from nb2prod.core.errors import FindingsError, NotebookFailed, NotProved, StoreError, UsageError
from nb2prod.core.scored import Advance
from nb2prod.serving.contract import Contract, Facts
from nb2prod.serving.signature import Column, Kind, Signature
from nb2prod.stages.package import package
from nb2prod.stages.score import score
from nb2prod.stages.scoring import reading
from nb2prod.stages.scoring.checking import Checker
from nb2prod.stages.scoring.parts import Parts, Request
from nb2prod.stages.scoring.typed import INEXACT, NOT_FINITE, NULL, TOO_LARGE
from tests.notebook_maker import Row
from tests.simulated import run

LOANS: tuple[Row, ...] = (
    (
        "imports",
        """
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
""",
    ),
    (
        "functions",
        """
def believed(frame):
    if (frame["income"] > 100).any():
        raise ValueError("nobody earns that much")
    return frame
""",
    ),
    (
        "step:data",
        """
rng = np.random.default_rng(0)
X = pd.DataFrame({"income": rng.normal(3, 1, 60), "n": rng.integers(0, 9, 60), "state": rng.choice(list("abc"), 60),
                  "rate": np.where(rng.random(60) < 0.2, np.nan, rng.random(60)), "old": rng.random(60) < 0.5})
y = X["income"] * 2 + X["n"]
""",
    ),
    (
        "step:train model:model example:X",
        """
model = make_pipeline(
    FunctionTransformer(believed),
    make_column_transformer((OneHotEncoder(), ["state"]), remainder="passthrough"),
    RandomForestRegressor(5, random_state=0),
).fit(X, y)
""",
    ),
)
QUICK = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)  # to explain, it traces every line


@pytest.fixture(scope="module")
def loans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ran = run(tmp_path_factory.mktemp("loans"), *LOANS, name="loans")
    return Path(package(ran.pipeline, ran.result, ran.folder.parent / "made").directory)


@pytest.fixture(scope="module")
def rows(loans: Path) -> pd.DataFrame:
    """300 rows, and what `mlflow.pyfunc` predicts of them as one frame."""
    import mlflow.pyfunc

    example = pd.read_parquet(loans / "parity" / "example.parquet")
    rng = np.random.default_rng(1)
    frame = example.iloc[rng.integers(0, len(example), 300)].reset_index(drop=True)
    frame["income"] += rng.normal(0, 0.1, 300)
    expected = mlflow.pyfunc.load_model(str(loans)).predict(frame)
    return frame.assign(id=np.arange(300) + 1000, expected=expected)


@pytest.fixture
def data(rows: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    rows.drop(columns="expected").to_parquet(path)
    return path


def broken(rows: pd.DataFrame, path: Path) -> Path:
    """As CSV, with four rows that do not fit and one that the model does not know."""
    texts = rows.drop(columns="expected").head(20).astype(object)
    texts.loc[2, "n"] = "1.5"
    texts.loc[5, "income"] = "inf"
    texts.loc[5, "state"] = None
    texts.loc[9, "old"] = "1"
    texts.loc[11, "income"] = "1000"
    texts.to_csv(path, index=False)
    lines = path.read_text().splitlines()
    lines.insert(15, "1.0,2,a")  # row 14
    path.write_text("\n".join(lines) + "\n")
    return path


# -- the same answers -------------------------------------------------------------------------------------------------


@settings(max_examples=5, deadline=None, phases=QUICK, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(block=st.integers(17, 400))
def test_predictions_are_those_of_one_frame_whatever_the_block(
    loans: Path, rows: pd.DataFrame, data: Path, block: int
) -> None:
    out = data.with_name("out.parquet")
    scored = score(loans, [data], out, keep=["id"], block=block)
    made = pd.read_parquet(out)
    assert made["prediction"].tolist() == rows["expected"].tolist()
    assert made["id"].tolist() == rows["id"].tolist()
    assert (scored.rows, scored.rejected, scored.exit_code) == (300, 0, 0)


def test_a_csv_file_gives_what_the_parquet_file_gives(loans: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.drop(columns="expected").to_csv(tmp_path / "rows.csv", index=False)
    score(loans, [tmp_path / "rows.csv"], tmp_path / "out.csv", keep=["id"], block=64)
    score(loans, [tmp_path / "rows.csv"], tmp_path / "out.parquet", block=64)
    assert pd.read_csv(tmp_path / "out.csv")["prediction"].tolist() == rows["expected"].tolist()
    typed = pd.read_parquet(tmp_path / "out.parquet")
    assert typed["income"].tolist() == rows["income"].tolist()
    assert typed["prediction"].tolist() == rows["expected"].tolist()


def test_the_output_says_whose_predictions_it_has(loans: Path, data: Path, tmp_path: Path) -> None:
    scored = score(loans, [data], tmp_path / "out.parquet", keep=())
    metadata = pq.read_schema(tmp_path / "out.parquet").metadata
    assert metadata[b"nb2prod.digest"].decode() == f"sha256:{scored.digest}"
    assert pq.read_schema(tmp_path / "out.parquet").names == ["prediction"]
    score(loans, [data], tmp_path / "out.csv", keep=())
    assert json.loads((tmp_path / "out.scored.json").read_text())["digest"] == f"sha256:{scored.digest}"


def test_many_files_in_processes_give_the_same_bytes_as_one_after_the_other(
    loans: Path, rows: pd.DataFrame, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for number in range(3):
        rows.drop(columns="expected").iloc[number * 100 : number * 100 + 100].to_csv(
            folder / f"{number}.csv", index=False
        )
    api_score(loans, folder, tmp_path / "one.parquet")
    apart = api_score(loans, str(folder / "*.csv"), tmp_path / "other.parquet", executor="processes", workers=1)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()
    assert pd.read_parquet(tmp_path / "one.parquet")["prediction"].tolist() == rows["expected"].tolist()
    assert apart.inputs == tuple(str(folder / f"{number}.csv") for number in range(3))


def test_a_file_without_rows_gives_an_output_without_rows(loans: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    rows.head(0).to_parquet(tmp_path / "none.parquet")
    scored = score(loans, [tmp_path / "none.parquet"], tmp_path / "out.parquet", keep=["id"])
    made = pq.read_table(tmp_path / "out.parquet")
    assert (scored.rows, made.num_rows, made.column_names) == (0, 0, ["id", "prediction"])
    assert made.schema.field("prediction").type == pa.float64()


LINEAR: tuple[Row, ...] = (
    (
        "imports",
        """
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
""",
    ),
    (
        "step:train model:model example:X",
        """
rng = np.random.default_rng(0)
X = pd.DataFrame({"income": rng.normal(3, 1, 80), "state": rng.choice(list("ab"), 80)})
model = make_pipeline(
    make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["state"]), remainder="passthrough"),
    LogisticRegression(),
).fit(X, (X["income"] > 3) * 1)
""",
    ),
)


def test_the_translation_the_model_and_the_faster_of_both_give_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    ran = run(tmp_path, *LINEAR, name="linear")
    made = Path(package(ran.pipeline, ran.result, tmp_path / "made").directory)
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"income": rng.normal(3, 2, 20_000), "state": rng.choice(["a", "b", "never seen"], 20_000)})
    frame.to_parquet(tmp_path / "rows.parquet")
    runtimes = {}
    for runtime in ("model", "onnx", "auto"):
        out = tmp_path / f"{runtime}.parquet"
        runtimes[runtime] = score(made, [tmp_path / "rows.parquet"], out, runtime=runtime).runtime  # type: ignore[arg-type]
        assert out.read_bytes() == (tmp_path / "model.parquet").read_bytes()
    assert (runtimes["model"], runtimes["onnx"]) == ("model", "onnx")


# -- rows that do not fit ---------------------------------------------------------------------------------------------


def test_rows_that_do_not_fit_are_told_and_the_others_scored(loans: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    data = broken(rows, tmp_path / "broken.csv")
    scored = score(loans, [data], tmp_path / "out.csv", block=8)
    told = pd.read_csv(tmp_path / "out.rejected.csv")
    assert told.values.tolist() == [
        [2, "n", "not an integer"],
        [5, "income", "not a number"],
        [5, "state", "null, but a value is required"],
        [9, "old", "not true or false"],
        [11, "(the row)", "the model raises ValueError"],
        [14, "(the row)", "3 values, and the header names 6 columns"],
    ]
    made = pd.read_csv(tmp_path / "out.csv")
    good = [row for row in range(20) if row not in (2, 5, 9, 11)]
    assert made["id"].tolist() == rows["id"].iloc[good].tolist()
    assert made["prediction"].tolist() == rows["expected"].iloc[good].tolist()
    assert (scored.rows, scored.rejected, scored.exit_code) == (21, 5, 3)
    assert scored.reasons["n: not an integer"] == 1


def test_refused_rows_leave_nothing_behind(loans: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    data = broken(rows, tmp_path / "broken.csv")
    with pytest.raises(FindingsError, match="row 2, n: not an integer"):
        score(loans, [data], tmp_path / "out.csv", on_bad_rows="refuse")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.csv"]


def test_rejected_rows_of_an_earlier_call_do_not_stay(
    loans: Path, rows: pd.DataFrame, data: Path, tmp_path: Path
) -> None:
    score(loans, [broken(rows, tmp_path / "broken.csv")], tmp_path / "out.csv", keep=())
    score(loans, [data], tmp_path / "out.csv", keep=())
    assert not (tmp_path / "out.rejected.csv").exists()


def test_a_model_that_raises_for_nearly_all_rows_is_no_matter_of_rows(
    loans: Path, rows: pd.DataFrame, tmp_path: Path
) -> None:
    rows.assign(income=1000.0).to_parquet(tmp_path / "all.parquet")
    with pytest.raises(NotebookFailed, match="raises for more than 100 rows"):
        score(loans, [tmp_path / "all.parquet"], tmp_path / "out.parquet", keep=())
    assert [path.name for path in tmp_path.iterdir()] == ["all.parquet"]


# -- stopped, and begun again -----------------------------------------------------------------------------------------


class Stopped(Exception):
    """As if the process had been killed between two blocks."""


def stop_after(rows: int) -> Any:
    def tell(advance: Advance) -> None:
        if advance.rows >= rows:
            raise Stopped

    return tell


def test_a_call_that_was_stopped_goes_on_at_the_last_whole_block(loans: Path, data: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out.parquet", tmp_path / "whole.parquet"
    with pytest.raises(Stopped):
        score(loans, [data], out, block=50, tell=stop_after(150))
    assert not out.exists()
    scored = score(loans, [data], out, block=50)
    score(loans, [data], whole, block=50)
    assert (scored.resumed, scored.rows) == (150, 300)
    assert out.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob(".*.parts*"))


def test_a_stopped_csv_goes_on_with_its_broken_rows(loans: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    data = broken(rows, tmp_path / "broken.csv")
    with pytest.raises(Stopped):
        score(loans, [data], tmp_path / "out.csv", block=8, tell=stop_after(8))
    scored = score(loans, [data], tmp_path / "out.csv", block=8)
    score(loans, [data], tmp_path / "whole.csv", block=8)
    assert (scored.resumed, scored.rejected) == (8, 5)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "out.rejected.csv").read_bytes() == (tmp_path / "whole.rejected.csv").read_bytes()


def test_a_killed_process_leaves_nothing_half_written_and_its_call_goes_on(
    loans: Path, rows: pd.DataFrame, tmp_path: Path
) -> None:
    data, out, whole = tmp_path / "rows.parquet", tmp_path / "killed" / "out.parquet", tmp_path / "whole.parquet"
    pd.concat([rows.drop(columns="expected")] * 700, ignore_index=True).to_parquet(data)
    out.parent.mkdir()
    process = subprocess.Popen([sys.executable, "-m", "nb2prod", "score", str(loans), str(data), "-o", str(out)])
    while process.poll() is None and not list(out.parent.glob(".*.parts/*/*-000000000000.arrow")):
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert [path.name for path in out.parent.iterdir() if not path.name.startswith(".")] == []
    scored = score(loans, [data], out)
    score(loans, [data], whole)
    assert scored.resumed >= 65536
    assert out.read_bytes() == whole.read_bytes()
    assert [path.name for path in out.parent.iterdir()] == ["out.parquet"]


def test_what_answers_is_settled_once_for_an_output(loans: Path, data: Path, tmp_path: Path) -> None:
    (source,) = reading.sources([data])
    request = Request("p", "d", (source,), str(tmp_path / "out.parquet"), (), "reject", "auto", (), 50)
    parts = Parts(request)
    parts.begin(fresh=False)
    assert parts.runtime() is None
    assert [parts.settle("model"), parts.settle("onnx"), parts.runtime()] == ["model", "model", "model"]


def test_a_process_of_an_earlier_call_does_not_write_into_a_later_one(data: Path, tmp_path: Path) -> None:
    (source,) = reading.sources([data])
    earlier = Request("p", "d", (source,), str(tmp_path / "out.parquet"), (), "reject", "auto", (), 50)
    later = replace(earlier, keep=("id",))
    outlived = Parts(earlier)
    outlived.begin(fresh=False)
    Parts(later).begin(fresh=True)
    with pytest.raises(StoreError, match="another call for this output has begun"):
        outlived.keep(0, 0, 1, pa.table({"prediction": [1.0]}), ())
    assert Parts(later).done(0).rows == 0


@pytest.mark.parametrize(("what", "said"), [("data", "the data"), ("options", "the columns to keep")])
def test_other_data_or_options_do_not_go_on_with_what_was_done(
    loans: Path, rows: pd.DataFrame, data: Path, tmp_path: Path, what: str, said: str
) -> None:
    with pytest.raises(Stopped):
        score(loans, [data], tmp_path / "out.parquet", block=50, tell=stop_after(50))
    if what == "data":
        rows.drop(columns="expected").head(299).to_parquet(data)
    keep = ["id"] if what == "options" else None
    with pytest.raises(UsageError, match=f"since then {said} changed"):
        score(loans, [data], tmp_path / "out.parquet", block=50, keep=keep)
    assert score(loans, [data], tmp_path / "out.parquet", block=50, keep=keep, fresh=True).resumed == 0


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_a_package_that_is_not_whole_is_not_loaded(loans: Path, data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(loans, copy)
    (copy / "MLmodel").write_text((copy / "MLmodel").read_text() + "\n")
    with pytest.raises(NotProved, match="MLmodel was changed"):
        score(copy, [data], tmp_path / "out.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "rows.parquet"]


@pytest.mark.parametrize(
    ("change", "options", "kind", "said"),
    [
        (lambda frame: frame.drop(columns="n"), {}, UsageError, "the model requires the column n"),
        (lambda frame: frame.assign(n=1.0), {}, UsageError, "the column n is double, and .* says long"),
        (lambda frame: frame.assign(prediction=1), {}, UsageError, "the data has a column prediction"),
        (lambda frame: frame, {"keep": ["who"]}, UsageError, "there is no column who to keep"),
    ],
)
def test_data_that_can_never_fit_is_refused(
    loans: Path, rows: pd.DataFrame, tmp_path: Path, change: Any, options: Any, kind: type[Exception], said: str
) -> None:
    change(rows).to_parquet(tmp_path / "data.parquet")
    with pytest.raises(kind, match=said):
        score(loans, [tmp_path / "data.parquet"], tmp_path / "out.parquet", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["data.parquet"]


def test_an_output_is_no_file_of_the_data(loans: Path, data: Path) -> None:
    with pytest.raises(UsageError, match="would overwrite the data"):
        score(loans, [data], data)
    with pytest.raises(UsageError, match=r"is a \.parquet or a \.csv file, not \.json"):
        score(loans, [data], data.with_name("out.json"))
    with pytest.raises(UsageError, match="no proved ONNX translation"):
        score(loans, [data], data.with_name("out.parquet"), runtime="onnx")


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "no header"), ("a,a\n1,2\n", "two columns are named 'a'"), ("\xff\xfe".encode("latin-1"), "no CSV")],
)
def test_files_that_are_no_tables_are_named(loans: Path, tmp_path: Path, content: str | bytes, said: str) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StoreError, match=said):
        score(loans, [path], tmp_path / "out.csv")


def test_the_command_says_how_many_rows_were_rejected(loans: Path, rows: pd.DataFrame, tmp_path: Path) -> None:
    from nb2prod.cli import main

    data = broken(rows, tmp_path / "broken.csv")
    done = CliRunner().invoke(main, ["score", str(loans), str(data), "-o", str(tmp_path / "out.csv"), "--json"])
    document = json.loads(done.stdout)
    assert done.exit_code == 3
    assert (document["schema"], document["rows"], document["rejected"]) == ("nb2prod/score/1", 21, 5)


# -- one column at a time ---------------------------------------------------------------------------------------------


def checked(kind: str, values: list[Any], *, text: bool, required: bool = True, facts: Facts | None = None) -> Any:
    """(what the column becomes, {row: reason}) of a column of this type of the signature."""
    signature = Signature(columns=(Column("x", Kind(kind), required),))
    checker = Checker(signature, Contract({"x": facts} if facts else {}), ["x"], where="here")
    column = values if isinstance(values, pa.Array) else pa.array(values, pa.string() if text else None)
    table = pa.table({"x": column})
    found = checker.check(reading.Block(0, table, np.arange(len(table))), is_text=text)
    return found.table.column("x").to_pylist(), {one.row: one.reason for one in found.problems}


@pytest.mark.parametrize(
    ("kind", "given", "good", "bad"),
    [
        ("long", ["1", "-2", "+3", "007"], [1, -2, 3, 7], {}),
        (
            "long",
            ["1", "0x10", "1e3", "2.0", " 4", "9223372036854775808"],
            [1],
            dict.fromkeys(range(1, 5), "not an integer"),
        ),
        ("integer", ["2147483647", "2147483648"], [2147483647], {1: "too large for its type"}),
        ("double", ["1.5", ".5", "2e-3", "7", "-0.0"], [1.5, 0.5, 0.002, 7.0, -0.0], {}),
        ("double", ["1", "nan", "inf", "1,5", "0x1p3", "one"], [1.0], dict.fromkeys(range(1, 6), "not a number")),
        ("double", ["1e308", "1e309"], [1e308], {1: "too large for its type"}),
        ("boolean", ["true", "False", "1", "yes"], [True, False], {2: "not true or false", 3: "not true or false"}),
        ("string", ["NA", "", "null"], ["NA", "", "null"], {}),
        ("binary", ["YQ==", "a"], [b"a"], {1: "not base64"}),
    ],
)
def test_texts_are_what_they_are_spelled_as(kind: str, given: list[str], good: list[Any], bad: dict[int, str]) -> None:
    made, told = checked(kind, given, text=True)
    assert made == good
    assert (
        told | {5: "too large for its type"} == bad | {5: "too large for its type"} if kind == "long" else told == bad
    )


def test_dates_of_texts_have_no_time_zone_and_are_in_the_calendar() -> None:
    given = ["2024-02-29", "2024-02-29T10:11:12.5", "2023-02-29", "2024-01-01T00:00:00Z", "1500-01-01"]
    made, told = checked("datetime", given, text=True)
    assert made == [pd.Timestamp("2024-02-29"), pd.Timestamp("2024-02-29T10:11:12.5")]
    assert set(told) == {2, 3, 4}


@settings(max_examples=60, deadline=None, phases=QUICK)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_a_float_written_as_text_comes_back_as_it_was(values: list[float]) -> None:
    made, told = checked("double", [repr(value) for value in values], text=True)
    assert ([value.hex() for value in made], told) == ([value.hex() for value in values], {})


@pytest.mark.parametrize(
    ("kind", "given", "good", "bad"),
    [
        ("double", pa.array([1, 2**53, 2**53 + 1]), [1.0, 2.0**53], {2: INEXACT}),
        ("double", pa.array([1.0, float("nan"), float("inf")]), [1.0], {1: NULL, 2: NOT_FINITE}),
        ("float", pa.array([0.5, 0.1, 1e300]), [0.5], {1: INEXACT, 2: TOO_LARGE}),
        ("integer", pa.array([1, 2**31]), [1], {1: TOO_LARGE}),
        ("long", pa.array([1, 2**63], pa.uint64()), [1], {1: TOO_LARGE}),
        ("string", pa.array(["a", None, "a"]).dictionary_encode(), ["a", "a"], {1: NULL}),
        ("datetime", pa.array([0, 1], pa.date32()), [pd.Timestamp(0), pd.Timestamp(86400, unit="s")], {}),
    ],
)
def test_values_become_what_the_signature_says_where_that_is_the_same_value(
    kind: str, given: Any, good: list[Any], bad: dict[int, str]
) -> None:
    assert checked(kind, given, text=False) == (good, bad)


@pytest.mark.parametrize("given", [pa.array(["1"]), pa.array([True]), pa.array([1.0])])
def test_a_column_of_another_type_is_refused_as_a_whole(given: Any) -> None:
    with pytest.raises(UsageError, match="the model's signature says long"):
        checked("long", given, text=False)


def test_the_contract_holds_where_it_is_enforced() -> None:
    ages, cities = Facts(minimum=18, maximum=90, enforced=True), Facts(values=("Köln", "Rom"), enforced=True)
    assert checked("long", [17, 18, 91], text=False, facts=ages)[1] == dict.fromkeys(
        (0, 2), "not in the range that the model knows"
    )
    assert checked("string", ["Rom", "Ulm"], text=True, facts=cities)[1] == {
        1: "not one of the values that the model knows"
    }
    assert checked("long", [17], text=False, facts=Facts(minimum=18)) == ([17], {})
    assert checked("double", [None, 20.0], text=False, required=False, facts=ages)[1] == {}


@settings(max_examples=40, deadline=None, phases=QUICK)
@given(lines=st.lists(st.sampled_from(["1,a", "2", "3,b,c", '4,"x\ny"', ""]), max_size=30), size=st.integers(1, 7))
def test_rows_keep_their_numbers_among_broken_and_blank_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], size: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_text("\n".join(["a,b", *lines]) + "\n")
    (source,) = reading.sources([path])
    found = list(reading.blocks(source, size, ["a", "b"]))
    there = [line for line in lines if line]
    good = {
        int(row): value
        for block in found
        for row, value in zip(block.numbers, block.table["a"].to_pylist(), strict=True)
    }
    assert good == {row: line[0] for row, line in enumerate(there) if line[0] in "14"}
    assert sorted(row for block in found for row, _ in block.broken) == [
        r for r, line in enumerate(there) if line[0] in "23"
    ]
    assert [block.start for block in found] == list(range(0, len(there), size))
