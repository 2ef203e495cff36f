"""The parity certificate: every path to a package's answers is the notebook's object, or path and row are named."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nb2prod.core.errors import NotProved, UsageError
from nb2prod.core.model_package import ModelPackage
from nb2prod.core.outcome import Outcome
from nb2prod.core.parity import (
    BATCH,
    CLEAN,
    FRESH,
    INVOCATIONS,
    ISOLATED,
    ONNX,
    PREDICT,
    SERVICE,
    V2,
    LeftOut,
    Parity,
    PathParity,
    RowFound,
)
from nb2prod.stages import proof
from nb2prod.stages.certificate import client, elsewhere, paths, probe
from nb2prod.stages.certificate.certify import with_further
from nb2prod.stages.certificate.examine import Problem, versions_of, wanted_of
from nb2prod.stages.certificate.own_client import client_named
from nb2prod.stages.package import package
from nb2prod.stages.verify import examine_package, verify_package
from nb2prod.storage import artifacts, checksums, codec
from tests.simulated import run

RENT = (
    (
        "imports",
        "import numpy as np\nimport pandas as pd\nfrom sklearn.compose import make_column_transformer\n"
        "from sklearn.linear_model import LinearRegression\nfrom sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import OneHotEncoder",
    ),
    (
        "step:data",
        "rng = np.random.default_rng(0)\n"
        "X = pd.DataFrame({'size': rng.normal(70, 20, 90), 'rooms': rng.integers(1, 7, 90),\n"
        "                  'quarter': rng.choice(['Süd', 'Nord', 'West'], 90)})\n"
        "y = 9.3 * X['size'] + 31.7 * X['rooms'] + np.where(X['quarter'] == 'West', 111.1, 0.1)",
    ),
    (
        "step:train model:model example:X",
        "model = make_pipeline(\n"
        "    make_column_transformer((OneHotEncoder(), ['quarter']), remainder='passthrough'), LinearRegression()\n"
        ").fit(X, y)",
    ),
)


STRICT = "import os; os.umask(0o077); from nb2prod.cli import main; main()"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """Of a model whose answers are floats, and that raises for a text that it has not seen."""
    folder = tmp_path_factory.mktemp("rent")
    ran = run(folder, *RENT, name="rent")
    return package(ran.pipeline, ran.result, folder / "made")


@pytest.fixture(scope="module")
def prover() -> Iterator[proof.Prover]:
    with proof.mlflow_settings(), proof.Prover(["scikit-learn==0"]) as started:
        yield started


def certificate(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "parity.json").read_text()))


def evidence(folder: Path) -> paths.Evidence:
    example = artifacts.found(folder / "parity" / "example.parquet")
    return paths.Evidence(folder, example, np.load(folder / "parity" / "predictions.npy"), probe.read(folder))


def copied(made: ModelPackage, target: Path) -> Path:
    return Path(shutil.copytree(made.directory, target))


def test_every_path_that_a_process_can_try_is_in_the_certificate(made: ModelPackage) -> None:
    names = [path.path for path in made.parity.paths]
    assert names in ([FRESH, *SERVICE], [FRESH, ONNX, *SERVICE])
    assert all(path.holds for path in made.parity.paths)
    fresh = made.parity.path(FRESH)
    assert fresh is not None
    assert (fresh.rows, fresh.exact, fresh.boundary, fresh.alike) == (90, 90, len(fresh.marks) - 40, fresh.boundary)
    assert {left.path for left in made.parity.left_out} >= {"clean environment", "isolated pipeline"}
    assert all(len(path.outputs) == 64 and len(path.inputs) == 64 for path in made.parity.paths)
    assert all(path.versions["numpy"] == np.__version__ for path in made.parity.paths)


def test_a_row_that_raises_in_the_notebook_raises_or_is_refused_on_every_path(made: ModelPackage) -> None:
    found = probe.read(Path(made.directory))
    assert found is not None
    row = found.rows.what.index("quarter: a text never seen")
    assert found.rows.expected[row] == Outcome("raises", reason="ValueError")
    assert {path.marks[row] for path in made.parity.paths} <= {"e", "r"}


def test_what_the_service_does_not_take_is_refused_and_listed_with_its_reason(made: ModelPackage) -> None:
    path = next(one for one in certificate(Path(made.directory))["paths"] if one["path"] == PREDICT)
    told = {row["what"]: row["found"] for row in path["found"] if row["mark"] == "r"}
    assert told["size: missing"] == "refused: size: null, but a value is required"
    assert told["size: infinite"] == "refused: JSON has no word for it"
    assert path["refused"] == len(told) == path["marks"].count("r")


def test_the_page_shows_every_row_on_every_path_and_needs_nothing_else(made: ModelPackage) -> None:
    page = (Path(made.directory) / "parity.html").read_text()
    found = probe.read(Path(made.directory))
    assert found is not None
    assert all(f"<td>{name}</td>" in page for name in found.rows.what)
    assert page.count('class="turned"') == len(made.parity.paths)
    assert "http" not in page.replace("http-equiv", "")


def test_a_copy_verifies_in_another_folder_for_another_user(made: ModelPackage, tmp_path: Path) -> None:
    copy = copied(made, tmp_path / "Kopie von müller" / "rent")
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "TZ": "Pacific/Kiritimati",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "77",
    }
    done = subprocess.run(
        [sys.executable, "-c", STRICT, "verify", str(copy), "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    document = json.loads(done.stdout)
    assert (document["status"], document["problems"]) == (made.parity.verdict, [])
    verified = {path["path"]: path["outputs"] for path in document["parity"]["paths"]}
    assert verified == {path.path: path.outputs for path in made.parity.paths}


def test_one_rounding_step_in_the_service_is_found_with_path_and_row(made: ModelPackage, tmp_path: Path) -> None:
    """Fifteen digits instead of all of them: too little for any tolerance, and still not what the model said."""
    forged = copied(made, tmp_path / "forged")
    answers = forged / "service" / "answers.py"
    source = answers.read_text()
    rounded = source.replace("return raw.tolist()", "return [float(f'{one:.15g}') for one in raw.tolist()]")
    assert rounded != source
    answers.write_text(rounded)
    checksums.write(forged)
    examined = examine_package(forged, only=[PREDICT])
    (problem,) = examined.problems
    assert problem.path == PREDICT
    assert isinstance(problem.row, int)
    assert "'row " in problem.what
    assert "digits or rows were changed" in problem.what


def test_a_client_that_sends_to_json_is_found_with_row_and_column(
    made: ModelPackage, prover: proof.Prover, tmp_path: Path
) -> None:
    file = tmp_path / "careless.py"
    file.write_text(
        "def body(rows):\n    return '{\"dataframe_split\": ' + rows.to_json(orient='split', index=False) + '}'\n"
    )
    careless = client_named(f"{file}:body")

    def careful(rows: Any) -> str:
        split = rows.to_dict("split")
        return json.dumps({"dataframe_split": {"columns": split["columns"], "data": split["data"]}})

    about = evidence(Path(made.directory))
    red = client.check_client(prover, about, "mlflow", careless)
    assert (red.verdict, red.found[0].what) == ("different", "row 0")
    assert red.found[0].expected.startswith("size: ")
    assert client.differs(red).startswith("the client does not send the rows that it has: for 'row 0' it sends size: ")
    green = client.check_client(prover, about, "mlflow", careful)
    assert green.holds, green.found[:5]
    with pytest.raises(UsageError, match="writes a dict"):
        client.check_client(prover, about, "mlflow", lambda rows: {})  # type: ignore[arg-type, return-value]
    with pytest.raises(NotProved, match="refuses every row that the client sends: the body must have exactly one of"):
        client.check_client(prover, about, "mlflow", lambda rows: "{}")


def test_a_client_may_be_a_command_that_reads_a_row_and_writes_the_body() -> None:
    rows = pd.DataFrame({"size": [0.1 + 0.2], "many": [2**53 + 1], "name": ["Ä"]})
    assert client_named("cat")(rows) == '{"size": 0.30000000000000004, "many": 9007199254740993, "name": "Ä"}'.encode()
    assert client_named("cat")(pd.DataFrame({"size": [float("inf")]})) == b"null"
    with pytest.raises(RuntimeError, match="exit code 3, no idea"):
        client_named("sh -c 'echo no idea >&2; exit 3'")(rows)


@pytest.mark.parametrize(
    ("named", "refused"),
    [
        ("gone.py:body", "there is no such file"),
        ("there.py:body", "it has no function body"),
        ("broken.py:body", "the client cannot be imported: ZeroDivisionError"),
        ("no-such-program --fast", "there is no such program"),
        ("sh -c 'open", "the command cannot be read"),
        ("", "there is no such program"),
    ],
)
def test_a_client_that_is_not_there_is_refused(
    named: str, refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.py").write_text("def other(rows): ...\n")
    Path("broken.py").write_text("1 / 0\n")
    with pytest.raises(UsageError, match=refused):
        client_named(named)


def test_another_model_in_the_package_is_found_on_the_path_of_the_fresh_process(
    made: ModelPackage, prover: proof.Prover
) -> None:
    about = evidence(Path(made.directory))
    other = dataclasses.replace(about, predictions=about.predictions * (1 + 1e-9))
    paths.begin_fresh(prover, other)
    path, _ = paths.fresh(prover, other)
    assert path.verdict == "different"
    assert 0.9e-9 < path.relative < 1.1e-9
    assert path.ulps > 1000


def test_other_library_versions_are_named_with_the_paths_that_have_them() -> None:
    stated = parity({FRESH: {"scikit-learn": "1.9.1", "numpy": "2.4.6"}, PREDICT: {"numpy": "2.4.6"}})
    here = parity({FRESH: {"scikit-learn": "1.9.0", "numpy": "2.4.6"}, PREDICT: {"numpy": "2.4.6"}})
    problems = list(versions_of(stated, here.paths, ["scikit-learn==1.9.1", "numpy==2.4.6"]))
    said = "on the path fresh process: the numbers are equal, but proved with scikit-learn 1.9.1, here is 1.9.0"
    assert problems == [Problem(FRESH, said)]
    assert list(versions_of(stated, stated.paths, ["scikit-learn==1.9.1", "numpy==2.4.6"])) == []


def parity(versions: dict[str, dict[str, str]]) -> Parity:
    tried = tuple(PathParity(name, 1, 1, 0.0, 0, "equal", versions=known) for name, known in versions.items())
    return Parity("equal", "", "", tried)


def test_a_path_that_is_not_certified_cannot_be_asked_for(made: ModelPackage) -> None:
    with pytest.raises(UsageError, match="there is no path 'servce'"):
        wanted_of(made.parity, ["servce"])
    with pytest.raises(UsageError, match="the certificate has no path clean environment: not asked for"):
        wanted_of(made.parity, ["clean environment"])
    assert wanted_of(made.parity, [V2, INVOCATIONS]) == (INVOCATIONS, V2)


def test_a_certificate_about_another_probe_set_is_refused(made: ModelPackage, tmp_path: Path) -> None:
    forged = copied(made, tmp_path / "forged")
    outcomes = forged / "parity" / "outcomes.json"
    content = json.loads(outcomes.read_text())
    content["outcomes"][0]["answer"][0] += 1.0
    outcomes.write_text(json.dumps(content))
    checksums.write(forged)
    with pytest.raises(NotProved, match="another probe set"):
        verify_package(forged, only=[V2])


def test_the_certificate_survives_json(made: ModelPackage) -> None:
    content = certificate(Path(made.directory))
    content.pop("schema")
    assert codec.plain(codec.build(Parity, content)) == content


def test_further_paths_join_the_certificate_in_its_order_or_refuse_the_package(made: ModelPackage) -> None:
    about = evidence(Path(made.directory))
    equal = PathParity(BATCH, 40, 40, 0.0, 0, "equal")
    joined = with_further(made.parity, about, [lambda _: equal, lambda _: LeftOut(CLEAN, "no network")])
    assert [path.path for path in joined.paths] == [*(path.path for path in made.parity.paths), BATCH]
    assert [left.path for left in joined.left_out] == [ISOLATED, CLEAN, "exported project"]
    assert joined.path(BATCH) == equal
    row = RowFound(3, "row 3", "x", "1", "2")
    other = dataclasses.replace(equal, verdict="different", marks="===x", found=(row,))
    with pytest.raises(NotProved, match=r"on the path batch scoring .* first, 'row 3' is answered 2, not 1"):
        with_further(made.parity, about, [lambda _: other])


def test_rows_that_batch_scoring_rejects_stand_in_their_places(tmp_path: Path) -> None:
    pd.DataFrame({"prediction": [1.5, 2.5]}).to_parquet(tmp_path / "out.parquet")
    told = {
        "row": [0, 0, 3],
        "column": ["a", "b", "(the row)"],
        "reason": ["null", "null", "the model raises KeyError"],
    }
    pd.DataFrame(told).to_parquet(tmp_path / "rejected.parquet")
    found = list(elsewhere.scored(tmp_path / "out.parquet", str(tmp_path / "rejected.parquet"), 4))
    assert [one.kind for one in found] == ["refused", "answer", "answer", "raises"]
    assert [one.values for one in found] == [(), (1.5,), (2.5,), ()]


def test_another_runs_outcomes_are_compared_by_the_names_of_the_rows(made: ModelPackage) -> None:
    about = evidence(Path(made.directory))
    assert about.probe is not None
    names = about.probe.rows.what
    turned = dataclasses.replace(about.probe, rows=dataclasses.replace(about.probe.rows, what=names[::-1]))
    outcomes = elsewhere.by_name(about, turned, about.probe.rows.expected[::-1])
    assert tuple(outcomes) == tuple(about.probe.rows.expected)


def test_text_for_a_clean_environment_needs_no_pyarrow() -> None:
    frame = pd.DataFrame({"a": ["x", None], "n": [1, 2]})
    plain = elsewhere.plain_text(frame)
    assert (plain["a"].dtype.storage, plain.columns.dtype.storage) == ("python", "python")
    assert plain["a"].dtype == frame["a"].dtype or str(plain["a"].dtype) == str(frame["a"].dtype)
    assert plain["a"].isna().tolist() == [False, True]


FOREST = (
    (
        "imports",
        "import numpy as np\nimport pandas as pd\nfrom sklearn.ensemble import RandomForestClassifier",
    ),
    (
        "step:train model:model example:X",
        "# between two neighbours of single precision lie three numbers of double precision\n"
        "X = pd.DataFrame({'a': 1 + np.arange(200) * 2.0**-25, 'b': np.arange(200) % 3 / 10})\n"
        "y = np.round((X['a'].astype('float32').astype(float) - 1) * 2**23).astype(int) % 2\n"
        "model = RandomForestClassifier(5, random_state=0, max_features=None).fit(X, y)",
    ),
)


def test_a_double_typed_forest_in_place_of_the_proved_translation_is_found_with_path_and_row(tmp_path: Path) -> None:
    """scikit-learn's trees see numbers in single precision; a translation that keeps them double flips labels."""
    pytest.importorskip("skl2onnx")
    ran = run(tmp_path, *FOREST, name="forest")
    made = package(ran.pipeline, ran.result, tmp_path / "made")
    proved = made.parity.path(ONNX)
    assert proved is not None
    assert (proved.verdict, proved.exact) == ("equal", 200)
    forged = copied(made, tmp_path / "forged")
    translate_in_double(ran.namespace["model"], forged / "onnx")
    checksums.write(forged)
    examined = examine_package(forged, only=[ONNX])
    (problem,) = examined.problems
    (path,) = examined.found.paths
    assert 0 < path.flips < 100
    assert problem == Problem(ONNX, problem.what, path.found[0].row)
    assert "on the path onnx the package predicts otherwise than the notebook" in problem.what
    assert "'row " in problem.what


def translate_in_double(forest: Any, folder: Path) -> None:
    """As skl2onnx does it when it is told that the columns are double."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType

    kinds = [("X", DoubleTensorType([None, 2]))]
    made = to_onnx(forest, initial_types=kinds, options={"zipmap": False}, target_opset={"": 21, "ai.onnx.ml": 3})
    (folder / "model.onnx").write_bytes(made.SerializeToString())
    inputs = {"X": ["a", "b"]}
    settings = {"schema": "nb2prod/onnx/2", "inputs": inputs, "output": "label", "precision": "float64"}
    (folder / "serving.json").write_text(json.dumps(settings))
