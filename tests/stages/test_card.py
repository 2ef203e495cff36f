"""The card says what is known of a model, computes again what it can, and leaves out what nobody knows."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from nb2prod.stages import card
from nb2prod.stages.carding import judged as judging
from nb2prod.stages.carding.measures import MEASURES, Measure
from nb2prod.stages.package import package
from tests.notebook_maker import Row
from tests.simulated import Ran, run

CREDIT: tuple[Row, ...] = (
    (
        "md",
        "# Who pays <script>alert(1)</script>\n\nA *loan* [now](javascript:alert(1)) ![x](http://example.org/x.png).",
    ),
    (
        "imports",
        """
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
""",
    ),
    ("parameters", "share: float = 0.5  # of the rows that are <b>judged</b>"),
    (
        "step:data example:X_test",
        """
rng = np.random.default_rng(0)
X = pd.DataFrame({"income": rng.normal(3, 1, 200), "kind": rng.choice(["a", "<i>b"], 200)})
X["noise"] = rng.normal(size=200)
y = pd.Series(np.where(X["income"] + rng.normal(0, 0.5, 200) > 3, "yes", "no"))
cut = int(200 * share)
X_train, X_test, y_train, y_test = X.iloc[:cut], X.iloc[cut:], y.iloc[:cut], y.iloc[cut:]
""",
    ),
    (
        "step:train model:model",
        """
model = make_pipeline(
    make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough"), LogisticRegression()
).fit(X_train, y_train)
""",
    ),
    (
        "step:judge metric:accuracy metric:area metric:own plot:drawn",
        """
accuracy = accuracy_score(y_test, model.predict(X_test))
area = roc_auc_score(y_test, model.predict_proba(X_test)[:, 1])
own = accuracy * area + 0.1234
drawn = plt.figure()
plt.plot([1, 2])
""",
    ),
)


@pytest.fixture(scope="module")
def credit(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(tmp_path_factory.mktemp("credit"), *CREDIT, name="credit", own_process=True)


@pytest.fixture(scope="module")
def made(credit: Ran) -> Path:
    return Path(package(credit.pipeline, credit.result, credit.folder.parent / "made").directory)


def rows_of(text: str, heading: str) -> dict[str, list[str]]:
    """The cells of the table below a heading of Markdown, by their first cell."""
    part = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in part.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in cells[2:]}


def test_metrics_are_computed_again_and_have_intervals_about_them(made: Path, credit: Ran) -> None:
    text = (made / "model_card.md").read_text()
    table = rows_of(text, "Metrics")
    for name, words in (("accuracy", "accuracy"), ("area", "area under the ROC curve")):
        value, interval, said = table[name]
        low, high = map(float, interval.split(" to "))
        assert said == words
        assert low < float(value) < high
        assert math.isclose(float(value), credit.result.metrics[name], rel_tol=1e-3)
    assert table["own"][1:] == ["–", "–"]
    assert "own has no interval: it does not come out again" in text


def test_parts_of_the_data_have_the_metrics_of_their_rows(made: Path, credit: Ran) -> None:
    table = rows_of((made / "model_card.md").read_text(), "Parts of the data")
    assert set(table) == {"kind"}
    example, truths = credit.value("example", "X_test"), credit.value("truths", "X_test")
    predicted = credit.value("predictions", "model")
    rows = (example["kind"] == "a").to_numpy()
    lines = [line for line in (made / "model_card.md").read_text().splitlines() if line.startswith("| kind | a |")]
    accuracy = metrics.accuracy_score(truths["y_test"][rows], predicted[rows])
    assert lines[0].split(" | ")[2:4] == [str(rows.sum()), f"{accuracy:.4g}"]


def test_what_the_model_looks_at_comes_first(made: Path) -> None:
    assert next(iter(rows_of((made / "model_card.md").read_text(), "What it looks at"))) == "income"


def test_the_truth_stays_out_of_the_package(made: Path) -> None:
    assert not [path for path in made.rglob("*") if "truth" in path.name or "y_test" in path.name]


def test_the_page_runs_nothing_and_fetches_nothing(made: Path) -> None:
    page = (made / "model_card.html").read_text()
    assert re.findall(r"<(?:script|link|iframe|object|img src=\"(?!data:))", page) == []
    assert re.findall(r"src\s*=\s*[\"'](?!data:)[^\"']*", page) == []
    assert re.findall(r"<(?!a )\w+[^>]*href", page) == []
    assert 'href="javascript' not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "A <em>loan</em>" in page
    assert "&lt;i&gt;b" in page
    assert "&lt;b&gt;judged&lt;/b&gt;" in page
    assert page.count('src="data:image/png;base64,') == 1


def test_the_card_shows_how_to_call_the_model_with_a_row_of_the_example(made: Path) -> None:
    text = (made / "model_card.md").read_text()
    assert 'curl -H \'Content-Type: application/json\' -d \'{"rows": [{"income": ' in text
    assert "\n\n\n" not in text


def test_without_a_known_truth_the_card_says_why_and_has_no_parts(tmp_path: Path) -> None:
    """The metric is of other rows than the example's, so no column beside the example gives it."""
    cells = [
        *CREDIT[:4],
        ("step:train model:model metric:accuracy", CREDIT[4][1] + "accuracy = model.score(X_train, y_train)"),
    ]
    ran = run(tmp_path, *cells, name="other")
    kept = _kept(ran)
    studied = card.study(ran.result, kept)
    assert studied.judged.why_not == {"accuracy": judging.NOT_AGAIN}
    assert (studied.judged.again, studied.slices.slices, studied.importance.by) == ({}, (), "")
    assert studied.importance.columns[0][0] == "income"


def _kept(ran: Ran) -> Any:
    from nb2prod.stages.kept import artifact_of, loaded

    with loaded(ran.pipeline, ran.result, artifact_of(ran.pipeline, ran.result, "model")) as kept:
        return kept


TRUSTED = {
    "accuracy": metrics.accuracy_score,
    "balanced accuracy": metrics.balanced_accuracy_score,
    "precision": metrics.precision_score,
    "recall": metrics.recall_score,
    "F1": metrics.f1_score,
    "area under the ROC curve": metrics.roc_auc_score,
    "average precision": metrics.average_precision_score,
    "Brier score": metrics.brier_score_loss,
    "log loss": metrics.log_loss,
    "mean absolute error": metrics.mean_absolute_error,
    "mean squared error": metrics.mean_squared_error,
    "root of the mean squared error": metrics.root_mean_squared_error,
    "R²": metrics.r2_score,
    "mean absolute percentage error": metrics.mean_absolute_percentage_error,
}


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: str(measure.name))
@pytest.mark.parametrize("seed", range(5))
def test_every_measure_is_scikit_learns_with_weights(measure: Measure, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, 60).astype(float)
    truth = rng.integers(0, 2, 60).astype(float)
    scores = np.round(rng.random(60), 1)  # with ties
    answer = rng.integers(0, 2, 60).astype(float)
    if measure.needs == "numbers":
        truth, answer = rng.normal(5, 2, 60), rng.normal(5, 2, 60)
    given = scores if measure.needs == "scores" else answer
    expected = TRUSTED[measure.name](truth, given, sample_weight=weights)
    assert measure.of(truth, given, weights) == pytest.approx(expected, rel=1e-9)
