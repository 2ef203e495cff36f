"""A translation answers as the model does, also rows that it was not compared with; else there is none, and why."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("skl2onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier

from nb2prod.serving.scorer import Outside
from nb2prod.stages import translate
from tests.stages.translating.tried import tried

ROWS = 240
NUMBERS = ["age", "income", "debt"]


def people(seed: int, count: int = ROWS) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": draw.integers(18, 90, count),
            "income": draw.lognormal(3, 1, count),
            "debt": draw.normal(0, 3, count),
            "member": draw.random(count) < 0.5,
            "city": draw.choice(["Rome", "Köln", "Oslo"], count),
        }
    )


PEOPLE, OTHERS = people(0), people(1, 400)
CLASSES = np.where(PEOPLE["age"] + PEOPLE["debt"] > 50, "yes", "no")
LEVELS = np.array(["low", "mid", "high"])[np.asarray(PEOPLE["age"] // 30).clip(0, 2)]
AMOUNTS = np.asarray(PEOPLE["income"] + PEOPLE["debt"] ** 2)


def columns(numbers: Any = None, cities: Any = None) -> Any:
    cities = cities or OneHotEncoder(handle_unknown="ignore")
    return make_column_transformer((numbers or StandardScaler(), NUMBERS), (cities, ["city"]), remainder="passthrough")


CLASSIFIERS = {
    "logistic": LogisticRegression(),
    "search": GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2),
    "tree": DecisionTreeClassifier(),
    "forest": RandomForestClassifier(15, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=6),
    "histogram": HistGradientBoostingClassifier(max_iter=4),
    "adaboost": AdaBoostClassifier(n_estimators=4),
    "bagging": BaggingClassifier(n_estimators=4, max_features=0.7, random_state=0),
    "voting": VotingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier())], voting="soft"),
    "stacking": StackingClassifier([("a", GaussianNB()), ("b", DecisionTreeClassifier(max_depth=3))], cv=2),
    "bayes": GaussianNB(),
}


BOTH = ("logistic", "forest", "boosting", "histogram", "adaboost", "stacking")  # compute otherwise for two classes


@pytest.mark.parametrize(
    ("name", "labels"), [*((name, LEVELS) for name in CLASSIFIERS), *((name, CLASSES) for name in BOTH)]
)
def test_probabilities_of_other_rows_are_the_models(name: str, labels: Any, tmp_path: Path) -> None:
    model = make_pipeline(columns(), CLASSIFIERS[name]).fit(PEOPLE, labels)
    found = tried(tmp_path, model, PEOPLE, method="predict_proba")
    assert (found.translation.kept, found.translation.precision) == (True, "float64"), found.translation.reason
    np.testing.assert_allclose(found.scorer.predict_table(OTHERS), model.predict_proba(OTHERS), rtol=1e-9, atol=1e-15)


REGRESSORS = {
    "linear": LinearRegression(),
    "forest": ExtraTreesRegressor(6, random_state=0),
    "boosting": GradientBoostingRegressor(n_estimators=6),
    "histogram": HistGradientBoostingRegressor(max_iter=4),
    "logarithm": TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_amounts_of_other_rows_are_the_models(name: str, tmp_path: Path) -> None:
    model = make_pipeline(columns(), REGRESSORS[name]).fit(PEOPLE, AMOUNTS)
    found = tried(tmp_path, model, PEOPLE)
    assert found.translation.kept, found.translation.reason
    np.testing.assert_allclose(found.scorer.predict_table(OTHERS), model.predict(OTHERS), rtol=1e-9)


TRANSFORMERS = {
    "imputed": make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
    "range": MinMaxScaler(clip=True),
    "logarithm": make_pipeline(FunctionTransformer(np.abs), FunctionTransformer(np.log1p), StandardScaler()),
    "products": make_pipeline(StandardScaler(), PolynomialFeatures(3)),
    "signs": Binarizer(threshold=0.1),
    "components": make_pipeline(StandardScaler(), PCA(2)),
    "function": make_pipeline(FunctionTransformer(lambda d: d.assign(r=d["debt"] / d["age"])), StandardScaler()),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_columns_are_transformed_as_by_the_model(name: str, tmp_path: Path) -> None:
    known = PEOPLE.assign(debt=PEOPLE["debt"].where(PEOPLE["age"] % 7 > 0)) if name == "imputed" else PEOPLE
    model = make_pipeline(columns(TRANSFORMERS[name]), LogisticRegression()).fit(known, CLASSES)
    found = tried(tmp_path, model, known)
    assert found.translation.kept, found.translation.reason
    assert (found.scorer.predict_table(OTHERS) == model.predict(OTHERS)).all()


def test_a_forest_takes_the_models_branch_at_every_threshold_and_beside_it(tmp_path: Path) -> None:
    """Where translations in single or in double precision throughout take another one."""
    known = PEOPLE[["income", "debt"]]
    model = RandomForestClassifier(20, random_state=0).fit(known, CLASSES)
    trees = [one.tree_ for one in model.estimators_]
    splits = {f: np.concatenate([tree.threshold[tree.feature == f] for tree in trees]) for f in (0, 1)}
    size = min(map(len, splits.values()))
    near = [np.nextafter(splits[f][:size], side) for side in (-np.inf, np.inf) for f in (0, 1)]
    rows = np.concatenate([np.c_[splits[0][:size], splits[1][:size]], np.c_[near[0], near[1]], np.c_[near[2], near[3]]])
    asked = pd.DataFrame(np.concatenate([rows, rows.astype("float32")]), columns=known.columns)
    found = tried(tmp_path, model, known, method="predict_proba")
    assert (found.scorer.predict_table(asked) == model.predict_proba(asked)).all()


def test_missing_numbers_go_where_the_models_trees_send_them(tmp_path: Path) -> None:
    known, asked = (table[NUMBERS].where(table[NUMBERS] % 3 > 0.5) for table in (PEOPLE, OTHERS))
    for model in (RandomForestClassifier(10, random_state=0), HistGradientBoostingClassifier(max_iter=5)):
        found = tried(tmp_path, model.fit(known, CLASSES), known, method="predict_proba")
        assert found.translation.kept, found.translation.reason
        assert np.isnan(asked.to_numpy()).any()
        np.testing.assert_allclose(found.scorer.predict_table(asked), model.predict_proba(asked), rtol=1e-12)


@pytest.mark.parametrize(
    "cities",
    [
        OneHotEncoder(drop="first"),
        make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    ],
    ids=["a category", "filled", "a number"],
)
def test_missing_text_is_what_it_is_to_the_model(cities: Any, tmp_path: Path) -> None:
    known, asked = (table.assign(city=table["city"].where(table["age"] % 3 > 0)) for table in (PEOPLE, OTHERS))
    model = make_pipeline(columns(cities=cities), DecisionTreeClassifier(max_depth=6, random_state=0))
    found = tried(tmp_path, model.fit(known, known["city"].fillna("?")), known)
    assert found.translation.kept, found.translation.reason
    assert (found.scorer.predict_table(asked) == model.predict(asked)).all()
    rows = asked.astype(object).where(asked.notna(), None).to_dict("records")
    assert (found.scorer.predict(rows, fill=True) == model.predict(asked)).all()


WORDS = ["#", "the", "cat", "sat", "on", "a", "mat", "Good", "film", "don't", "x1", "film!", ""]
VECTORIZERS = {
    "tfidf": TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
    "counts": CountVectorizer(binary=True, stop_words="english"),
    "case": TfidfVectorizer(lowercase=False, norm="l1"),
    "letters": CountVectorizer(token_pattern=r"(?u)\b\w+\b", strip_accents="unicode"),
    "signs": TfidfVectorizer(token_pattern=r"\S+"),
}


def texts(seed: int, count: int = 150) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame({"text": ["", "a", *(" ".join(draw.choice(WORDS, 6)) for _ in range(count - 2))]})


@pytest.mark.parametrize("name", VECTORIZERS)
def test_words_count_as_in_the_model(name: str, tmp_path: Path) -> None:
    known, asked = texts(0), texts(1)
    last = MultinomialNB() if name == "counts" else LogisticRegression()
    model = make_pipeline(make_column_transformer((VECTORIZERS[name], "text")), last)
    model.fit(known, known["text"].str.contains("film"))
    found = tried(tmp_path, model, known, method="predict_proba")
    assert found.translation.kept, found.translation.reason
    np.testing.assert_allclose(found.scorer.predict_table(asked), model.predict_proba(asked), rtol=1e-9)
    with pytest.raises(Outside, match="422") as caught:
        found.scorer.predict([{"text": "Good film"}, {"text": "schöner Film"}], fill=True)
    assert [(p.row, p.reason) for p in caught.value.fields] == [(1, "text with letters beyond ASCII")]


def test_what_the_model_refuses_is_outside_of_the_translation(tmp_path: Path) -> None:
    model = make_pipeline(columns("passthrough", OrdinalEncoder()), RandomForestClassifier(5)).fit(PEOPLE, CLASSES)
    found = tried(tmp_path, model, PEOPLE)
    good = PEOPLE.head(1).to_dict("records")[0]
    rows = [good, {**good, "city": "Lima"}, {**good, "income": 1e39}, good]
    for row in rows[1:3]:
        with pytest.raises(ValueError, match=r"unknown categories|too large"):
            model.predict(pd.DataFrame([row]))
    with pytest.raises(Outside) as caught:
        found.scorer.predict(rows, fill=True)
    reasons = ["a category that the model does not know", "a number that is too large for the model, or missing"]
    assert [(p.row, p.reason) for p in caught.value.fields] == [(1, reasons[0]), (2, reasons[1])]
    assert caught.value.inside.tolist() == [True, False, False, True]


@pytest.mark.parametrize("model", [SVC(), SVR()], ids=["labels", "numbers"])
def test_single_precision_answers_within_the_example_and_off_the_border_only(model: Any, tmp_path: Path) -> None:
    target = CLASSES if isinstance(model, SVC) else AMOUNTS
    fitted = make_pipeline(StandardScaler(), model).fit(PEOPLE[NUMBERS], target)
    scores = fitted.decision_function(PEOPLE[NUMBERS]) if isinstance(model, SVC) else np.ones(ROWS)
    clear = PEOPLE.loc[np.abs(scores) > 0.01, NUMBERS]
    found = tried(tmp_path, fitted, clear)
    assert (found.translation.kept, found.translation.precision) == (True, "float32"), found.translation.reason
    good = clear.head(1).to_dict("records")[0]
    assert found.scorer.predict([good], fill=True)[0] == pytest.approx(fitted.predict(clear.head(1))[0], rel=1e-5)
    with pytest.raises(Outside, match="422"):
        found.scorer.predict([{**good, "income": float(clear["income"].max()) * 1.001}], fill=True)


def test_a_row_close_to_the_border_is_left_to_the_model(tmp_path: Path) -> None:
    """Of two rows with different labels, a row between them has a score as small as wanted."""
    known = PEOPLE[["income", "debt"]].clip(-3, 60)
    fitted = make_pipeline(StandardScaler(), SVC()).fit(known, CLASSES)
    score = fitted.decision_function(known)
    found = tried(tmp_path, fitted, known[np.abs(score) > 0.01])
    assert found.translation.kept, found.translation.reason
    low, high = known.iloc[int(score.argmin())], known.iloc[int(score.argmax())]
    for _ in range(60):
        middle = (low + high) / 2
        is_low = fitted.decision_function(middle.to_frame().T)[0] < 0
        low, high = (middle, high) if is_low else (low, middle)
    with pytest.raises(Outside) as caught:
        found.scorer.predict([middle.to_dict()], fill=True)
    assert "border" in caught.value.why


@pytest.mark.parametrize(
    ("numbers", "last", "reason"),
    [
        (KNNImputer(), LogisticRegression(), "KNNImputer"),
        (StandardScaler(), SVC(probability=True), "labels"),
        (FunctionTransformer(lambda d: d.rank()), SGDClassifier(), "rank"),
    ],
    ids=["no rule", "nothing that tells how clear a label is", "a function of all rows"],
)
def test_without_a_translation_the_reason_is_said(numbers: Any, last: Any, reason: str, tmp_path: Path) -> None:
    found = tried(tmp_path, make_pipeline(columns(numbers), last).fit(PEOPLE, CLASSES), PEOPLE)
    assert not found.translation.kept
    assert reason in found.translation.reason
    assert not (tmp_path / "onnx").exists()


def test_labels_are_not_kept_when_the_probabilities_behind_them_are_others(tmp_path: Path) -> None:
    """skl2onnx rounds what this model learnt: no label of the example is another, and one of other rows may be."""
    found = tried(tmp_path, make_pipeline(columns(), BernoulliNB()).fit(PEOPLE, LEVELS), PEOPLE)
    assert found.translation.reason.startswith("in float64 its probabilities: ")
    assert not (tmp_path / "onnx").exists()


def test_words_of_a_pattern_that_onnx_may_read_otherwise_have_no_translation(tmp_path: Path) -> None:
    known = texts(0)
    words = CountVectorizer(token_pattern=r"(?<=\s)\w+")
    model = make_pipeline(make_column_transformer((words, "text")), LogisticRegression())
    found = tried(tmp_path, model.fit(known, known["text"].str.len() > 9), known)
    assert found.translation.reason == "a CountVectorizer with words of its own (analyzer, token_pattern)"


def test_text_without_a_rule_has_no_translation(tmp_path: Path) -> None:
    known = texts(0)
    model = make_pipeline(make_column_transformer((HashingVectorizer(n_features=16), "text")), LogisticRegression())
    found = tried(tmp_path, model.fit(known, known["text"].str.len() > 9), known)
    assert found.translation.reason == "there is no rule for a HashingVectorizer of text"


def test_a_translation_that_differs_from_the_example_is_taken_out_again(tmp_path: Path) -> None:
    """A model that does not answer as its class says: followed by its class, found by the comparison."""

    class Contrary(LogisticRegression):
        def predict_proba(self, X: Any) -> Any:
            return super().predict_proba(X)[:, ::-1]

    Contrary.__module__ = "sklearn.linear_model._logistic"
    model = make_pipeline(columns(), Contrary(max_iter=2000)).fit(PEOPLE, CLASSES)
    model.steps[-1][1].__class__.__name__ = "LogisticRegression"
    found = tried(tmp_path, model, PEOPLE, method="predict_proba")
    assert found.translation.reason.startswith(f"in float64 {ROWS} of {ROWS} answers differ")
    assert not (tmp_path / "onnx").exists()


@pytest.mark.parametrize("kind", ["float64", "float32", "int64"])
def test_an_array_is_answered_as_by_the_model(kind: str, tmp_path: Path) -> None:
    known, asked = (table[NUMBERS].to_numpy().astype(kind) for table in (PEOPLE, OTHERS))
    model = RandomForestClassifier(5, random_state=0).fit(known, CLASSES)
    found = tried(tmp_path, model, known)
    assert found.translation.kept, found.translation.reason
    assert (found.scorer.predict_table(asked) == model.predict(asked)).all()


def test_whole_numbers_beyond_what_a_float_holds_reach_the_model(tmp_path: Path) -> None:
    known = pd.DataFrame({"key": [2**53, 2**53 + 1, 2**53 + 2, 2**53 + 3] * 10})
    odd = FunctionTransformer(lambda d: d.assign(is_one=(d["key"] == 2**53 + 1).astype(float)).drop(columns="key"))
    model = make_pipeline(odd, DecisionTreeClassifier()).fit(known, known["key"] == 2**53 + 1)
    found = tried(tmp_path, model, known)
    assert found.translation.kept, found.translation.reason
    assert found.scorer.predict(known.head(4).to_dict("records"), fill=True).tolist() == [False, True, False, False]


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    model = make_pipeline(columns(), RandomForestClassifier(5, random_state=0)).fit(PEOPLE, CLASSES)
    contents = []
    for folder in (tmp_path / "one", tmp_path / "another"):
        folder.mkdir()
        tried(folder, model, PEOPLE)
        contents.append([(folder / "onnx" / name).read_bytes() for name in ("model.onnx", "serving.json")])
    assert contents[0] == contents[1]
    assert json.loads(contents[0][1])["inputs"]["integers"] == ["age", "member"]


def test_without_the_libraries_the_reason_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnx" else find(name, *rest))
    found = tried(tmp_path, LinearRegression().fit(PEOPLE[NUMBERS], AMOUNTS), PEOPLE[NUMBERS])
    assert found.translation == translate.Translation(
        False, reason="onnx is not installed (pip install 'nb2prod[onnx]')"
    )
