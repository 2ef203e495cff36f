"""Any model that people train becomes a model folder that answers in a fresh process as the notebook's object did.

All folders are made first, each from a notebook of its own; then one process that has nothing of them loads them all.
Three of them have a module of one name in their `code/`, with other functions in it: each keeps to its own.
"""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema

from nb2prod.core.errors import NotProved, UsageError
from nb2prod.core.model_package import FormatChoice
from nb2prod.core.policy import DEFAULT
from nb2prod.serving.errors import Refusal
from nb2prod.serving.package_folder import open_folder
from nb2prod.serving.scorer import MlflowScorer, Scorer
from nb2prod.stages import columns, model_folder, trust
from nb2prod.stages.model_folder import Kept, Written
from nb2prod.stages.proof import mlflow_settings
from nb2prod.stages.signature import refuse_dropped
from nb2prod.storage import artifacts, checksums, codec, model_formats, skops_file
from nb2prod.storage.digests import digest
from tests.notebook_maker import Row
from tests.simulated import Ran, run

MOMENT = datetime(2024, 1, 31, tzinfo=UTC)
IMPORTS = (
    "imports",
    """
import datetime, decimal
import lightgbm
import numpy as np
import pandas as pd
import statsmodels.api as sm
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
""",
)
DATA = """
rng = np.random.default_rng(0)
X = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60)})
labels = np.where(X["a"] > X["b"] / 2, "yes", "no")
numbers = 3 * X["a"] + rng.normal(size=60)
texts = pd.DataFrame({"text": ["good fine day", "bad sad day", "fine bad"] * 20})
kinds = X.assign(kind=pd.Categorical(rng.choice(list("cab"), 60), categories=list("cabd")))
booster = dict(n_estimators=4, max_depth=2, n_jobs=1)
"""
TEXTS = '''
def predict(model, rows):
    """The words first, then the classifier."""
    words, classifier, limit = model
    sure = classifier.predict_proba(words.transform(rows["text"]))[:, 1]
    return np.where(sure > limit, "good", "bad")


def score(rows, bundle):
    return bundle["model"].predict(bundle["scale"].transform(rows)) + bundle["more"]["offset"]
'''


EVERYTHING = """
class AsFitted:
    def predict(self, rows):
        told = [[f"{name} {rows[name].dtype} {value!r}" for value in rows[name]] for name in rows]
        return np.array([" ".join(row) for row in zip(*told, strict=True)])
"""
COLUMNS = """
X = pd.DataFrame({
    "ordered": pd.Categorical(["low", None, "high"], categories=["low", "middle", "high"], ordered=True),
    "numbered": pd.Categorical([3, 1, None], categories=[3, 1, 7]),
    "flagged": pd.Categorical([True, False, True]),
    "whole": pd.array([1, None, 2**53], dtype="Int64"),
    "small": pd.array([1, 2, 3], dtype="UInt8"),
    "maybe": pd.array([True, None, False], dtype="boolean"),
    "real": pd.array([0.1, None, -0.0], dtype="Float64"),
    "utc": pd.to_datetime(["2024-01-31T12:30:00.123456789", None, "1999-12-31"], format="ISO8601").tz_localize("UTC"),
    "berlin": pd.to_datetime(["2024-10-27T00:30Z", "2024-10-27T01:30Z", None]).tz_convert("Europe/Berlin"),
    "price": [decimal.Decimal("1.10"), None, decimal.Decimal("1E+30")],
    "day": [datetime.date(2024, 1, 31), None, datetime.date(2024, 2, 29)],
    "word": pd.Series(["a", None, "c"], dtype=object),
    "name": pd.Series(["a", None, "c"], dtype="string"),
    "said": pd.Series([True, None, False], dtype=object),
    "plain": ["x", "y", None],
})
"""


@dataclass(frozen=True)
class Made:
    ran: Ran
    folder: Path
    kept: Kept
    written: Written

    @property
    def choice(self) -> FormatChoice:
        return self.written.format

    @property
    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "artifacts" / "model" / "model.json").read_text())
        return found


CASES: dict[str, tuple[str, str]] = {
    "search": (
        "model:model example:X",
        "model = GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()),"
        " {'logisticregression__C': [0.1, 1]}, cv=2).fit(X, labels)",
    ),
    "tuple": (
        "model:model example:texts",
        "words = TfidfVectorizer().fit(texts['text'])\n"
        "good = texts['text'].str.contains('good')\n"
        "model = words, LogisticRegression().fit(words.transform(texts['text']), good), 0.4",
    ),
    "dictionary": (
        "model:model example:X predict:score",
        "scale = StandardScaler().fit(X)\n"
        "model = {'scale': scale, 'model': LinearRegression().fit(scale.transform(X), numbers),"
        " 'more': {'offset': 0.5}, 'medians': X.median()}",
    ),
    "xgboost": (
        "model:model example:X",
        "model = xgboost.XGBClassifier(**booster).fit(X, labels == 'yes')",
    ),
    "xgboost booster": (
        "model:model example:X",
        "model = xgboost.train({'max_depth': 2, 'nthread': 1}, xgboost.DMatrix(X, label=numbers), 4)",
    ),
    "xgboost category": (
        "model:model example:kinds predict:predict_proba",
        "model = xgboost.XGBClassifier(enable_categorical=True, **booster).fit(kinds, labels == 'yes')",
    ),
    "lightgbm": (
        "model:model example:X",
        "model = lightgbm.LGBMClassifier(verbose=-1, **booster).fit(X, labels)",
    ),
    "lightgbm booster": (
        "model:model example:X",
        "model = lightgbm.LGBMRegressor(verbose=-1, **booster).fit(X, numbers).booster_",
    ),
    "lightgbm category": (
        "model:model example:kinds",
        "model = lightgbm.LGBMClassifier(verbose=-1, min_child_samples=2, **booster).fit(kinds, kinds['kind'])",
    ),
    "pipeline with lightgbm": (
        "model:model example:kinds predict:predict predict:predict_proba",
        "encode = make_column_transformer((OneHotEncoder(), ['kind']), remainder='passthrough')\n"
        "model = make_pipeline(encode, lightgbm.LGBMClassifier(verbose=-1, **booster)).fit(kinds, labels)",
    ),
    "pipeline with xgboost": (
        "model:model example:X",
        "model = make_pipeline(StandardScaler(), xgboost.XGBRegressor(**booster)).fit(X, numbers)",
    ),
    "statsmodels": (
        "model:model example:design",
        "design = sm.add_constant(X)\nmodel = sm.OLS(numbers, design).fit()",
    ),
    "probabilities": (
        "model:model example:X predict:predict_proba",
        "model = LogisticRegression().fit(X, labels)",
    ),
    "labels and probabilities": (
        "model:model example:X predict:predict predict:predict_proba",
        "model = LogisticRegression().fit(X, labels)",
    ),
    "frame that grew": (
        "model:model example:X",
        "model = make_pipeline(make_column_transformer((StandardScaler(), ['a', 'b'])), LogisticRegression())\n"
        "model.fit(X, labels)\nX['said'] = model.predict(X)",
    ),
    "category": (
        "model:model example:kinds",
        "model = HistGradientBoostingClassifier(categorical_features='from_dtype', max_iter=3, min_samples_leaf=2)"
        ".fit(kinds, kinds['kind'].astype(str))",
    ),
}


def made(folder: Path, tags: str, source: str, *more: Row) -> Made:
    rows = (IMPORTS, *more, ("step:data", DATA), (f"step:train {tags}", source))
    ran = run(folder, *rows)
    assert ran.result.failure is None, ran.refusal
    return write(ran, folder / "model")


def write(ran: Ran, folder: Path) -> Made:
    tagged, example = ran.pipeline.model, ran.pipeline.example
    assert tagged is not None
    assert example is not None
    artifact = ran.artifact("model", tagged[1])
    module = ran.pipeline.module
    folder.mkdir()
    with model_formats.importable(module), mlflow_settings():
        names = ("model", tagged[1]), ("example", example[1]), ("predictions", tagged[1])
        model, *values = (ran.value(kind, name) for kind, name in names)
        kept = Kept(model, artifact, *values, module if artifact.details["uses"] else None)
        written = model_folder.write(folder, kept, moment=MOMENT, seed="run")
    return Made(ran, folder, kept, written)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    home = tmp_path_factory.mktemp("models")
    found = {}
    for name, (tags, source) in CASES.items():
        (home / name).mkdir()
        functions: tuple[Row, ...] = (("functions", TEXTS),) if name in ("tuple", "dictionary") else ()
        found[name] = made(home / name, tags, source, *functions)
    (home / "every type").mkdir()
    found["every type"] = made(
        home / "every type", "model:model example:X", f"{COLUMNS}\nmodel = AsFitted()", ("functions", EVERYTHING)
    )
    return found


ANSWER = """
import json, pathlib, sys
import mlflow.pyfunc
from nb2prod.storage import artifacts
for folder, example in json.loads(sys.argv[1]):
    rows = artifacts.read(pathlib.Path(example))
    answer = mlflow.pyfunc.load_model(folder).predict(rows)
    artifacts.write(answer, pathlib.Path(folder, "answer"))
"""


@pytest.fixture(scope="module")
def answers(models: dict[str, Made], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each model says in one process that has nothing of the notebooks."""
    asked = [[str(made.folder), str(made.written.example.path)] for made in models.values()]
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", ANSWER, json.dumps(asked)],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {name: next(made.folder.glob("answer.*")) for name, made in models.items()}
    return {name: artifacts.read(path) for name, path in found.items()}


@pytest.mark.parametrize("name", [*CASES, "every type"])
def test_a_fresh_process_answers_as_the_notebook_did(
    models: dict[str, Made], answers: dict[str, Any], name: str
) -> None:
    assert digest(answers[name]) == digest(models[name].kept.predictions)


def test_each_object_is_written_in_the_format_that_suits_it_and_the_reason_is_kept(models: dict[str, Made]) -> None:
    assert {name: made.choice.format for name, made in models.items()} == {
        **dict.fromkeys(CASES, "skops"),
        **dict.fromkeys(("xgboost", "xgboost booster", "xgboost category"), "xgboost"),
        "lightgbm booster": "lightgbm",
        "statsmodels": "statsmodels",
        "dictionary": "cloudpickle",
        "every type": "cloudpickle",
    }
    parts = {part.name: (part.format, part.file) for part in models["dictionary"].choice.parts}
    assert parts == {
        "scale": ("skops", "part-scale.skops"),
        "model": ("skops", "part-model.skops"),
        "more": ("json", ""),
        "medians": ("cloudpickle", "part-medians.pkl"),
    }
    reason = "pandas.Series is no scikit-learn estimator, and skops is for those"
    assert models["dictionary"].choice.reason.endswith(f"; medians: {reason}")
    assert "lightgbm.sklearn.LGBMClassifier" in models["lightgbm"].choice.trusted


def test_the_file_is_the_one_that_was_read_again_and_mlflow_counts_it(models: dict[str, Made]) -> None:
    """MLflow writes the rest of the folder, around another model."""
    made = models["search"]
    content = (made.folder / "model.skops").read_bytes()
    assert content == skops_file.dumps(made.kept.model)
    flavor = model_folder.mlflow_model(made.folder).flavors["sklearn"]
    assert flavor["skops_trusted_types"] == list(made.choice.trusted)
    counted = ("model.skops", "input_example.json", "serving_input_example.json")
    sizes = [(made.folder / name).stat().st_size for name in counted]
    assert model_folder.mlflow_model(made.folder).model_size_bytes == sum(sizes)


def test_no_pickle_is_in_a_folder_whose_format_is_none(models: dict[str, Made]) -> None:
    pickled = {name for name, made in models.items() for path in made.folder.rglob("*") if path.suffix == ".pkl"}
    assert pickled == {"dictionary", "every type"}


def test_what_each_kind_of_model_folder_says_is_what_a_package_may_say(models: dict[str, Made]) -> None:
    """And every name in its files is on the list: a package that is made is never refused when it is read."""
    for name, one in models.items():
        module = one.kept.module
        manifest = {
            "schema": "nb2prod/package/1",
            "format": codec.plain(one.written.format),
            "module": module.name if module is not None else "",
        }
        folder = Path(shutil.copytree(one.folder, one.folder.parent / "looked-at"))
        for left in (*folder.glob("answer*"), *folder.rglob("*.pyc")):
            left.unlink()
        (folder / "package.json").write_text(json.dumps(manifest))
        checksums.write(folder)
        seen = trust.look(folder)
        assert (name, seen.problems, trust.judged(seen, DEFAULT)) == (name, (), ())


def test_a_model_of_statsmodels_does_not_carry_what_it_was_fitted_on(models: dict[str, Made]) -> None:
    made = models["statsmodels"]
    assert made.kept.model.model.exog.shape == (60, 3)
    with (made.folder / "model.statsmodels").open("rb") as file:
        assert pickle.load(file).model.exog is None
    assert made.choice.reason.endswith("what it was fitted on is left out")


def test_a_column_that_fit_did_not_see_is_no_input(models: dict[str, Made]) -> None:
    described = models["frame that grew"].written.described
    assert described.signature.inputs.input_names() == ["a", "b"]
    assert described.conversions == ("said: left out, as the model was not fitted on it",)


def test_what_the_model_answers_is_in_the_stored_signature(models: dict[str, Made]) -> None:
    outputs = {name: model_folder.mlflow_model(made.folder).signature.outputs for name, made in models.items()}
    named = [(column.name, column.type.name) for column in outputs["labels and probabilities"]]
    assert named == [("prediction", "string"), ("probability_no", "double"), ("probability_yes", "double")]
    assert str(outputs["probabilities"]) == "[Tensor('float64', (-1, 2))]"
    assert models["probabilities"].kept.artifact.details["classes"] == ["no", "yes"]
    assert all(outputs.values())


def test_columns_are_made_again_only_for_a_model_that_needs_it(models: dict[str, Made]) -> None:
    restored = {name: len(made.written.described.restored) for name, made in models.items()}
    needed = {"xgboost category": 1, "lightgbm category": 1, "every type": 14}
    assert restored == dict.fromkeys(restored, 0) | needed
    assert models["pipeline with lightgbm"].written.described.conversions == ("kind: category as str",)


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"ordered": "huge"}, "ordered", "not one of the categories that the model was fitted on"),
        ({"numbered": 2.0}, "numbered", "not one of the categories that the model was fitted on"),
        ({"whole": 1.5}, "whole", "not a whole number of 64 bits"),
        ({"whole": 1e300}, "whole", "not a whole number of 64 bits"),
        ({"berlin": "2024-10-27T02:30:00"}, "berlin", "not a time with an offset, such as 2024-01-31T12:30:00+01:00"),
        ({"utc": "soon+01:00"}, "utc", "not a time with an offset, such as 2024-01-31T12:30:00+01:00"),
        ({"price": "1,10"}, "price", "not a decimal number as text, such as 12.50"),
    ],
)
def test_the_service_refuses_a_value_that_has_no_place_in_the_notebooks_column(
    scorer: tuple[Scorer, dict[str, Any]], changes: dict[str, Any], field: str, reason: str
) -> None:
    scorer_, row = scorer
    with pytest.raises(Refusal) as caught:
        scorer_.predict([row, row | changes], fill=True)
    problem = caught.value.fields[0]
    assert (caught.value.status, problem.field, problem.reason) == (422, field, reason)
    assert problem.row in (1, None)


def test_the_service_says_the_columns_as_json_has_them(
    models: dict[str, Made], scorer: tuple[Scorer, dict[str, Any]]
) -> None:
    """An hour that is there twice in Berlin, a price to the last digit: the row of JSON is the row of the notebook."""
    scorer_, row = scorer
    assert row["berlin"] == "2024-10-27T02:30:00+02:00"
    assert row["price"] == "1.10"
    rows = models["every type"].kept.example.iloc[:1]
    with model_formats.importable(models["every type"].ran.pipeline.module):
        expected = models["every type"].kept.asked.predict(rows)
    assert scorer_.predict([row], fill=True).tolist() == expected.tolist()


@pytest.fixture(scope="module")
def scorer(models: dict[str, Made]) -> tuple[Scorer, dict[str, Any]]:
    """The service's way to the model with columns of every type, and a row as a caller sends it."""
    folder = models["every type"].folder
    known = open_folder(folder)
    assert known.signature is not None
    row = json.loads(models["every type"].written.described.example.iloc[:1].to_json(orient="records"))[0]
    # pandas' own JSON writes a date as a number of milliseconds
    return MlflowScorer(folder, known), row | {"day": "2024-01-31"}


def test_a_signature_that_mlflow_drops_is_noticed() -> None:
    with pytest.raises(NotProved, match="did not store the model's signature"):
        refuse_dropped(ModelSignature(Schema([ColSpec("double", "a")])), None)


VALUES = st.one_of(
    st.lists(st.one_of(st.none(), st.sampled_from(["a", "", "NA", "né", "1"])), min_size=1).map(
        lambda values: pd.Series(values, dtype="category")
    ),
    st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1).map(
        lambda values: pd.Series(values, dtype="Int64")
    ),
    st.lists(st.one_of(st.none(), st.booleans()), min_size=1).map(lambda values: pd.Series(values, dtype="boolean")),
    st.lists(st.one_of(st.none(), st.decimals(allow_nan=False)), min_size=1).map(
        lambda values: pd.Series(values, dtype=object)
    ),
    st.lists(st.one_of(st.none(), st.dates(date(1700, 1, 1), date(2250, 1, 1))), min_size=1).map(
        lambda values: pd.Series(values, dtype=object)
    ),
    st.tuples(
        st.lists(st.one_of(st.none(), st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))), min_size=1),
        st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"]),
    ).map(lambda told: pd.Series(pd.to_datetime(told[0]).tz_localize("UTC").tz_convert(told[1]))),
    st.lists(st.one_of(st.none(), st.text("ab ", max_size=3)), min_size=1).map(
        lambda values: pd.Series(values, dtype=object)
    ),
)


@settings(max_examples=30, deadline=None)
@given(VALUES)
def test_any_column_comes_back_as_it_was_or_is_refused(values: pd.Series) -> None:
    """Through JSON as well, which is how a package keeps the way back."""
    frame = values.to_frame("x")
    try:
        found = list(columns.changes(frame))
    except UsageError:
        return
    if found:
        recipe = json.loads(json.dumps(found[0].recipe))
        again = columns.restored(found[0].plain.to_frame("x"), (recipe,))
        assert digest(again) == digest(frame)
