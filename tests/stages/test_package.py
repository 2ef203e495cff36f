"""A run becomes a package that MLflow takes as it is and that answers as the notebook did, or nothing at all."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nb2prod.core.errors import (
    FindingsError,
    NotebookFailed,
    NotProved,
    StoreError,
    TestsFailed,
    UsageError,
)
from nb2prod.core.model_package import ModelPackage
from nb2prod.core.parity import brief
from nb2prod.core.pipeline import HoistedModule
from nb2prod.core.result import Artifact, Failure, TestResult
from nb2prod.stages.package import package, register
from nb2prod.stages.verify import read_package, verify_package
from nb2prod.storage import checksums, model_formats
from nb2prod.storage.digests import digest
from tests.notebook_maker import Row
from tests.simulated import Ran, run

IMPORTS = (
    "imports",
    """
import os
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
FLOOR = 0.5
""",
)
LOANS: tuple[Row, ...] = (
    ("md", "# Small <loans>\n\nWho gets a *loan*?\n\n- a list"),
    ("parameters", "trees: int = 5\nleaves: int = trees * 2\ntoken: 'Secret' = 'hush-hush'  # secret"),
    IMPORTS,
    ("functions", "def logged(frame):\n    return np.log(frame.clip(lower=FLOOR))"),
    (
        "step:data",
        """
rng = np.random.default_rng(0)
X = pd.DataFrame({"income": rng.normal(3, 1, 60), "state": rng.choice(list("abc"), 60), "n": rng.integers(0, 9, 60)})
y = np.where(X["income"] > 3, "yes", "no")
""",
    ),
    (
        "step:train metric:accuracy metric:gap model:model example:X plot:drawn",
        """
model = make_pipeline(
    make_column_transformer((FunctionTransformer(logged), ["income"]), (OneHotEncoder(), ["state"]),
                            remainder="passthrough"),
    RandomForestClassifier(trees, random_state=0),
).fit(X, y)
accuracy = model.score(X, y)
gap = float("nan")
drawn = plt.figure()
plt.plot([1, 2])
""",
    ),
)
DATA = ("step:data", "X = pd.DataFrame({'a': [1.0, 2.0, 3.0], 'b': [0.0, 1.0, 0.0]})\ny = X['a'] * 2")


@pytest.fixture(scope="module")
def loans(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The run of a notebook in a `__main__` of its own."""
    return run(tmp_path_factory.mktemp("loans"), *LOANS, name="loans", own_process=True)


@pytest.fixture(scope="module")
def made(loans: Ran) -> ModelPackage:
    return package(loans.pipeline, loans.result, loans.folder.parent / "made")


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def small(tmp_path: Path, model: str, *before: Row, data: Row = DATA) -> Ran:
    ran = run(tmp_path, IMPORTS, *before, data, ("step:train model:model example:X", f"model = {model}"))
    assert ran.result.failure is None, ran.refusal
    return ran


def refused(tmp_path: Path, ran: Ran, kind: type[Exception], **options: Any) -> str:
    """The refusal; nothing is left of the package that was not made."""
    before = files(tmp_path)
    with pytest.raises(kind) as caught:
        package(ran.pipeline, ran.result, tmp_path / "refused", **options)
    assert files(tmp_path) == before
    return str(caught.value)


def module_of(ran: Ran) -> str:
    """What the package calls the notebook's module."""
    return model_formats.of_its_own(ran.pipeline.module).name


def test_a_package_says_what_it_is_and_where_it_comes_from(loans: Ran, made: ModelPackage) -> None:
    assert (made.name, made.version, made.run) == ("loans", "1", "run-loans")
    assert (made.notebook, made.notebook_digest) == ("loans.ipynb", loans.pipeline.notebook.digest)
    assert (made.model_type, made.format.format) == ("sklearn.pipeline.Pipeline", "skops")
    assert made.format.trusted == (f"{module_of(loans)}.logged", "sklearn.tree._tree.Tree")
    assert made.parity.verdict == "equal"
    assert (made.parity.paths[0].rows, made.parity.paths[0].exact) == (60, 60)
    assert made.parity.input_digest == loans.artifact("example", "X").details["content"]
    assert made.parity.output_digest == loans.artifact("predictions", "model").details["content"]
    names = [pin.partition("==")[0] for pin in made.requirements]
    assert names == ["mlflow-skinny", "numpy", "pandas", "scikit-learn", "skops"]
    read = read_package(Path(made.directory))
    assert dataclasses.replace(read, metrics={}) == dataclasses.replace(made, metrics={}, run="")


def test_a_package_is_a_folder_of_files_that_need_no_unpickling(loans: Ran, made: ModelPackage) -> None:
    assert [name for name in files(Path(made.directory)) if not name.startswith("service/")] == [
        ".dockerignore",
        "Dockerfile",
        "MLmodel",
        "checksums",
        "code/__pycache__",
        f"code/{module_of(loans)}.py",
        "conda.yaml",
        "contract.json",
        "input_example.json",
        "licences.json",
        "model.skops",
        "model_card.html",
        "model_card.md",
        "package.json",
        "parity.html",
        "parity.json",
        "parity/example.parquet",
        "parity/outcomes.json",
        "parity/predictions.npy",
        "parity/rows.parquet",
        "plots/train-drawn.png",
        "python_env.yaml",
        "requirements.lock",
        "requirements.txt",
        "sbom.json",
        "serving_input_example.json",
    ]


def test_mlflow_loads_it_in_a_process_of_its_own_and_leaves_it_as_it_was(loans: Ran, made: ModelPackage) -> None:
    """Without nb2prod, as a user would, with byte code on: the answers are the notebook's, and no file was added."""
    code = (
        "import sys, json, mlflow.pyfunc, pandas as pd\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "assert model.metadata.signature.inputs.input_names() == ['income', 'state', 'n']\n"
        "print(json.dumps(model.predict(pd.read_parquet(sys.argv[2])).tolist()))\n"
        "assert not {'nb2prod.storage', 'nb2prod.stages'} & {*sys.modules}"
    )
    example = loans.folder / loans.artifact("example", "X").path
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", code, made.directory, str(example)],
        cwd=loans.folder,
        env=environment | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == loans.value("predictions", "model").tolist()
    assert checksums.verify(Path(made.directory)) == made.digest


def test_a_secret_parameter_is_in_no_file(made: ModelPackage) -> None:
    assert made.parameters == {"trees": 5}
    folder = Path(made.directory)
    assert [name for name in files(folder) if b"hush-hush" in (folder / name).read_bytes()] == []


def test_the_manifest_is_json_for_every_reader(made: ModelPackage) -> None:
    """Which has no NaN: it is there as a word, and is the number again when nb2prod reads it."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    manifest = json.loads((Path(made.directory) / "package.json").read_text(), parse_constant=refuse)
    assert manifest["schema"] == "nb2prod/package/1"
    assert "created" not in manifest, "a package says what it is, not when"
    assert manifest["metrics"]["gap"] == "NaN"
    assert str(made.metrics["gap"]) == "nan"


def test_the_card_tells_it_all_without_empty_places(loans: Ran, made: ModelPackage) -> None:
    card = (Path(made.directory) / "model_card.md").read_text()
    for line in (
        "# loans",
        "**Small &lt;loans&gt;**",
        "Who gets a *loan*?",
        "| trees | 5 |",
        r"| leaves | computed: trees \* 2 |",
        "| income | double | refused |",
        "![train-drawn](plots/train-drawn.png)",
        "The notebook has no tests.",
        f"- `{module_of(loans)}.logged`",
        "All 60 predictions are those of the notebook, to the last bit.",
        "nb2prod package loans.ipynb -o DIR",
        "Parameters that are secret are not kept: token.",
    ):
        assert line in card.splitlines()
    assert "None" not in card
    assert "\n\n\n" not in card


def test_packaging_again_replaces_the_package_and_writes_nowhere_else(
    loans: Ran, made: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run gives the same package, MLflow's own time and id included.

    There is no `mlruns` and no `mlflow.db` in the folder we are in, and a `uv.lock` there means nothing.
    """
    (tmp_path / "uv.lock").write_text("version = 1\n")
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'other'\nversion = '1'\n")
    shutil.copytree(made.directory, tmp_path / "made")
    (tmp_path / "made" / "registered_model_meta").write_text("model_name: a\n")
    monkeypatch.chdir(tmp_path)
    again = package(loans.pipeline, loans.result, Path("made"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "pyproject.toml", "uv.lock"]
    assert files(tmp_path / "made") == files(Path(made.directory))
    for name in ("checksums", "MLmodel", "package.json", "parity.json", "model_card.md", "requirements.txt"):
        assert (tmp_path / "made" / name).read_text() == (Path(made.directory) / name).read_text(), name
    assert again.parity == made.parity


def test_verify_makes_the_proof_again(made: ModelPackage) -> None:
    assert brief(verify_package(Path(made.directory))) == made.parity


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_one_bit_flipped_in_a_package_is_found(made: ModelPackage, data: st.DataObject) -> None:
    folder = Path(made.directory)
    path = folder / data.draw(st.sampled_from(files(folder)))
    before = path.read_bytes()
    place = data.draw(st.integers(0, 8 * len(before) - 1))
    changed = bytearray(before)
    changed[place // 8] ^= 1 << place % 8
    try:
        path.write_bytes(bytes(changed))
        with pytest.raises(NotProved, match="nothing of it was loaded"):
            verify_package(folder)
    finally:
        path.write_bytes(before)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_file_added_removed_or_renamed_in_a_package_is_found(made: ModelPackage, data: st.DataObject) -> None:
    folder = Path(made.directory)
    path = folder / data.draw(st.sampled_from(files(folder)))
    change = data.draw(st.sampled_from(["added", "removed", "renamed"]))
    other = path.with_name(f"{path.name}.{change}")
    try:
        if change == "added":
            other.write_bytes(path.read_bytes())
        else:
            path.rename(other if change == "renamed" else folder.parent / "aside")
        with pytest.raises(NotProved, match="nothing of it was loaded"):
            read_package(folder)
    finally:
        if change == "added":
            other.unlink()
        else:
            (other if change == "renamed" else folder.parent / "aside").rename(path)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("loader_module: mlflow.sklearn", "loader_module: loans_functions", "MLmodel asks for the loader"),
        ("code: code", "code: ../elsewhere", "MLmodel takes code from ../elsewhere"),
        ("model_path: model.skops", "model_path: /etc/passwd", "MLmodel names /etc/passwd, which is outside"),
        ("- sklearn.tree._tree.Tree", "- os.system", "MLmodel and package.json trust different types"),
        ("serialization_format: skops", "serialization_format: cloudpickle", "say different things of the format"),
    ],
)
def test_a_forged_package_whose_checksums_hold_is_refused_unloaded(
    made: ModelPackage, tmp_path: Path, before: str, after: str, said: str
) -> None:
    shutil.copytree(made.directory, tmp_path / "forged")
    forged = (tmp_path / "forged" / "MLmodel").read_text().replace(before, after)
    (tmp_path / "forged" / "MLmodel").write_text(forged)
    checksums.write(tmp_path / "forged")
    with pytest.raises(NotProved, match=said):
        verify_package(tmp_path / "forged")


def test_trust_that_is_forged_in_both_files_is_still_not_on_the_list(made: ModelPackage, tmp_path: Path) -> None:
    shutil.copytree(made.directory, tmp_path / "forged")
    for name in ("MLmodel", "package.json"):
        path = tmp_path / "forged" / name
        path.write_text(path.read_text().replace("sklearn.tree._tree.Tree", "posix.system"))
    checksums.write(tmp_path / "forged")
    with pytest.raises(NotProved, match=r"it trusts posix\.system, which none of its files has"):
        verify_package(tmp_path / "forged")


def test_a_registered_version_is_the_whole_package(loans: Ran, made: ModelPackage, tmp_path: Path) -> None:
    """Byte for byte: from the registry it loads, verifies, and is linked to the run."""
    import mlflow
    from mlflow import MlflowClient

    from nb2prod.storage import mlflow_store

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    mlflow_store.make_ready(uri)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("loans", artifact_location=str(tmp_path / "artifacts"))
    run_id = client.create_run(experiment).info.run_id
    with pytest.raises(StoreError, match="refuses to register a/b"):
        register(made, uri, "a/b")
    before = (mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI"))
    assert register(made, uri, "who gets a loan", run_id) == "models:/who gets a loan/1"
    assert register(made, uri, "who gets a loan", run_id) == "models:/who gets a loan/2"
    assert (mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI")) == before
    version = client.get_model_version("who gets a loan", "2")
    assert (version.run_id, version.tags["nb2prod.digest"]) == (run_id, made.digest)
    mlflow.set_tracking_uri(uri)
    try:
        copy = mlflow.artifacts.download_artifacts("models:/who gets a loan/2", dst_path=str(tmp_path / "copy"))
        model = mlflow.pyfunc.load_model("models:/who gets a loan/2")
    finally:
        mlflow.set_tracking_uri(before[0])
    assert digest(model.predict(loans.value("example", "X"))) == made.parity.output_digest
    assert "registered_model_meta" in files(Path(copy))
    assert read_package(Path(copy)).digest == made.digest


OWN = (
    "functions",
    """
class Mean:
    def fit(self, X, y):
        self.mean = float(np.mean(y))
        return self

    def predict(self, X):
        return np.full(len(X), self.mean + FLOOR)
""",
)


def test_two_packages_of_one_name_have_each_its_own_functions_in_one_process(tmp_path: Path) -> None:
    """MLflow imports a package's module by its name."""
    first = HoistedModule("loans_functions", "def rate(x):\n    return x\n", ("rate",))
    second = dataclasses.replace(first, source="def rate(x):\n    return 2 * x\n")
    names = {model_formats.of_its_own(one).name for one in (first, second, first)}
    assert len(names) == 2
    assert all(name.startswith("loans_functions_") for name in names)


LOAD = "import sys, mlflow.pyfunc; mlflow.pyfunc.load_model(sys.argv[1])"


def test_an_object_of_the_notebooks_own_class_is_packaged_with_cloudpickle(tmp_path: Path) -> None:
    """Whoever reads the package or its card is told so, and why."""
    ran = small(tmp_path, "Mean().fit(X, y)", OWN)
    made = package(ran.pipeline, ran.result, tmp_path / "made", name="mean price", version="7")
    assert (made.name, made.version, made.parity.verdict) == ("mean price", "7", "equal")
    assert made.format.reason == f"{module_of(ran)}.Mean is no scikit-learn estimator, and skops is for those"
    assert "cloudpickle==" in " ".join(made.requirements)
    card = (tmp_path / "made" / "model_card.md").read_text()
    assert f"The model is written with cloudpickle: {made.format.reason}." in card
    assert "load this package only when you know where it comes from" in card
    subprocess.run([sys.executable, "-c", LOAD, str(tmp_path / "made")], check=True)  # leaves no byte code behind
    assert verify_package(tmp_path / "made").verdict == "equal"


CATEGORIES = (
    "step:data",
    """
X = pd.DataFrame({"kind": pd.Categorical(["a", "b", "a", None]), "n": pd.array([1, None, 3, 4], dtype="Int64")})
y = [0, 1, 0, 1]
""",
)


def test_columns_that_a_signature_cannot_say_are_converted_and_said_so(tmp_path: Path) -> None:
    """And the proof is that the converted example gives what the notebook's own gave."""
    own = (
        "class IsA:\n    def predict(self, X):\n        return (X['kind'] == 'a').to_numpy() + X['n'].isna().to_numpy()"
    )
    ran = small(tmp_path, "IsA()", ("functions", own), data=CATEGORIES)
    made = package(ran.pipeline, ran.result, tmp_path / "made")
    assert made.parity.verdict == "equal"
    manifest = json.loads((tmp_path / "made" / "package.json").read_text())
    assert manifest["conversions"] == ["kind: category as str", "n: Int64 as float64"]
    assert [column["type"] for column in manifest["signature"]["inputs"]] == ["string", "double"]
    assert manifest["conversions"][0] in (tmp_path / "made" / "model_card.md").read_text()


def test_a_model_that_depends_on_the_notebooks_process_is_not_proved(tmp_path: Path) -> None:
    """Here on a variable of the environment that a cell sets: elsewhere it is not there."""
    own = (
        "class Local:\n    def predict(self, X):\n        return X['a'].to_numpy() * float(os.environ.get('RATE_X', 1))"
    )
    ran = small(tmp_path, "Local()", ("setup", "os.environ['RATE_X'] = '2'"), ("functions", own))
    del os.environ["RATE_X"]
    said = refused(tmp_path, ran, NotProved)
    assert "predicts otherwise than the notebook for 3 of 3 rows (by up to " in said
    assert "first, 'row 0' is answered 1.0, not 2.0; it is not released" in said


@pytest.mark.parametrize("example", ["pd.Series(['a', 'b', 'a'])", "['a', 'b', 'a']"])
def test_a_series_or_list_as_example_is_refused_with_what_to_do(tmp_path: Path, example: str) -> None:
    data = ("step:data", f"X = {example}\ny = [0, 1, 0]")
    source = "class Words:\n    def predict(self, texts):\n        return np.array([len(text) for text in texts])"
    said = refused(tmp_path, small(tmp_path, "Words()", ("functions", source), data=data), UsageError)
    assert "let the model take a frame" in said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return np.random.rand(len(X))", "predicts something else each time"),
        ("return np.zeros(2)", "gives 2 predictions for the 3 rows"),
        ("return np.array([1.0, np.nan, np.nan])", "2 of the model's predictions on the example are missing"),
    ],
)
def test_answers_of_which_nothing_can_be_proved_are_refused(tmp_path: Path, body: str, said: str) -> None:
    source = f"class Odd:\n    def predict(self, X):\n        {body}"
    assert said in refused(tmp_path, small(tmp_path, "Odd()", ("functions", source)), NotProved)


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("pd.array([2**53 + 1, None, 3], dtype='Int64')", "the column t has whole numbers that are too large"),
        ("pd.Series([None, float('nan'), 'a'], dtype=object)", "the column t has two kinds of missing values"),
        ("pd.Categorical(['a', 1, 'a'])", "the column t has categories of several types"),
        ("pd.Categorical(pd.to_datetime(['2020'] * 3))", "the column t has categories of the type datetime64"),
        ("pd.to_timedelta([1, 2, 3])", "the column t (timedelta64[ns]) has no type that a signature knows"),
        ("pd.Series(['a', 1, 2.0], dtype=object)", "the column t (object) has no type that a signature knows"),
        ("pd.Series([None] * 3, dtype=object)", "the column t (object) has no type that a signature knows"),
    ],
)
def test_a_column_without_a_place_in_a_signature_is_refused_by_name(tmp_path: Path, column: str, said: str) -> None:
    data = ("step:data", f"X = pd.DataFrame({{'a': [1.0, 2.0, 3.0], 't': {column}}})\ny = [1.0, 2.0, 3.0]")
    source = "class First:\n    def predict(self, X):\n        return X['a'].to_numpy()"
    ran = small(tmp_path, "First()", ("functions", source), data=data)
    assert said in refused(tmp_path, ran, UsageError)


def test_only_a_finished_run_whose_tests_pass_is_packaged(loans: Ran, tmp_path: Path) -> None:
    for changes, kind, said in (
        ({"failure": Failure("cell", "ValueError: no", "train", 5, 2)}, NotebookFailed, "step train, cell 5, line 2"),
        ({"status": "running"}, NotebookFailed, "the run is running, not finished"),
        ({"tests": (TestResult("cell_3::test_x", "train", "failed", 0.1, "assert"),)}, TestsFailed, "cell_3::test_x"),
        ({"artifacts": ()}, StoreError, "the run kept no model"),
    ):
        ran = dataclasses.replace(loans, result=dataclasses.replace(loans.result, **changes))
        assert said in refused(tmp_path, ran, kind)


@pytest.mark.parametrize("missing", ["model", "example"])
def test_without_model_or_example_there_is_nothing_to_package(tmp_path: Path, missing: str) -> None:
    other = {"model": "example", "example": "model"}[missing]
    ran = run(tmp_path, IMPORTS, DATA, (f"step:train {other}:thing", "thing = LinearRegression().fit(X, y)"))
    assert f"no step is tagged {missing}:NAME" in refused(tmp_path, ran, FindingsError)


@pytest.mark.parametrize("name", ["", "a/b", "50%", "models:x", "a\nb"])
def test_a_name_that_mlflow_refuses_is_refused_first(loans: Ran, tmp_path: Path, name: str) -> None:
    assert "the package's name" in refused(tmp_path, loans, UsageError, name=name)


def test_a_model_file_that_was_changed_is_not_loaded(loans: Ran, tmp_path: Path) -> None:
    shutil.copytree(loans.folder, tmp_path / "run")
    (tmp_path / "run" / loans.artifact("model", "model").path).write_bytes(b"cos\nsystem\n(S'touch x'\ntR.")
    ran = dataclasses.replace(loans, result=dataclasses.replace(loans.result, directory=str(tmp_path / "run")))
    assert "its SHA-256 differs; nothing of it was loaded" in refused(tmp_path, ran, StoreError)


def test_another_environment_than_the_notebooks_is_refused(loans: Ran, tmp_path: Path) -> None:
    def with_details(**details: Any) -> Ran:
        changed: list[Artifact] = []
        for artifact in loans.result.artifacts:
            more = details if artifact.kind == "model" else {}
            changed.append(dataclasses.replace(artifact, details={**artifact.details, **more}))
        return dataclasses.replace(loans, result=dataclasses.replace(loans.result, artifacts=tuple(changed)))

    old = with_details(requirements=["scikit-learn==1.0.2"])
    assert "the notebook ran with scikit-learn==1.0.2, and here is scikit-learn==" in refused(tmp_path, old, UsageError)
    assert "Python 3.6" in refused(tmp_path, with_details(python="3.6.1"), UsageError)
    assert "needs the module my_code" in refused(tmp_path, with_details(local=["my_code"]), UsageError)


def test_only_a_package_is_replaced(loans: Ran, tmp_path: Path) -> None:
    """A folder of something else, a file, a link, and a package that holds a file of someone's are left alone."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "package.json").write_text('{"name": "left-pad"}')
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "project")
    shutil.copytree(loans.folder.parent / "made", tmp_path / "notes")
    (tmp_path / "notes" / "mine.txt").write_text("")
    before = files(tmp_path)
    for name, said in (
        ("project", "is not a package"),
        ("file", "is a file"),
        ("link", "is a link"),
        ("notes", r"holds mine\.txt, which is not of it"),
    ):
        with pytest.raises(UsageError, match=said):
            package(loans.pipeline, loans.result, tmp_path / name)
    assert files(tmp_path) == before


def test_an_array_as_example_is_described_as_one(tmp_path: Path) -> None:
    data = ("step:data", "X = np.arange(6.0).reshape(3, 2)\ny = X[:, 0]")
    own = "class First:\n    def predict(self, X):\n        return X[:, 0]"
    ran = small(tmp_path, "First()", ("functions", own), data=data)
    made = package(ran.pipeline, ran.result, tmp_path / "made")
    assert made.parity.verdict == "equal"
    assert "An array of float64, of shape (-1, 2)" in (tmp_path / "made" / "model_card.md").read_text()
    assert pd.isna(made.parity.paths[0].difference) is False
