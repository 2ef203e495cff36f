"""What a step's tags promise is kept, as it is after the step; what cannot be kept is refused with the reason."""

from __future__ import annotations

import hashlib
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nb2prod.core.events import MetricMeasured
from nb2prod.storage.digests import digest
from tests.simulated import Ran, run

IMPORTS = (
    "imports",
    """
import random
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
""",
)
DATA = ("step:data", "X = pd.DataFrame({'a': [1.0, 2.0, 3.0], 'b': [0.0, 1.0, 0.0]})\ny = X['a'] * 2")


def refusal(tmp_path: Path, tags: str, source: str, *before: tuple[str, str]) -> str:
    return run(tmp_path, IMPORTS, *before, DATA, (f"step:train {tags}", source)).refusal


def metric(tmp_path: Path, expression: str) -> float:
    return run(tmp_path, IMPORTS, ("step:s metric:m", f"m = {expression}")).result.metrics["m"]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("3", 3.0),
        ("np.float32(0.5)", 0.5),
        ("np.array(2)", 2.0),
        ("np.int64(-1)", -1.0),
        ("float('inf')", float("inf")),
    ],
)
def test_a_metric_is_a_number_of_python_or_numpy(tmp_path: Path, expression: str, value: float) -> None:
    assert metric(tmp_path, expression) == value


def test_a_metric_that_is_nan_is_kept_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert np.isnan(metric(tmp_path, "np.nan"))
    assert "metric m is nan" in caplog.text


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("True", "metric m is True, not a number; fix: m = float(m) if 0 and 1 are meant"),
        ("np.bool_(False)", "metric m is False, not a number; fix: m = float(m) if 0 and 1 are meant"),
        ("'0.5'", "metric m is a str, not a number; fix: tag a name bound to a number"),
        ("np.array([1.0])", "metric m is a ndarray, not a number; fix: tag a name bound to a number"),
        ("10 ** 400", "metric m is too large for a float"),
    ],
)
def test_a_metric_that_is_no_number_is_refused(tmp_path: Path, expression: str, said: str) -> None:
    assert run(tmp_path, IMPORTS, ("step:s metric:m", f"m = {expression}")).refusal == said


def test_a_tagged_name_that_is_not_there_is_refused_and_what_came_before_is_kept(tmp_path: Path) -> None:
    ran = run(tmp_path, ("step:s metric:m metric:n", "m = 1\nif m > 1:\n    n = 2"))
    assert ran.refusal == "metric n is not there after its step; fix: bind n in the step, or correct the tag"
    assert ran.result.metrics == {"m": 1.0}


@pytest.mark.parametrize(
    "expression",
    [
        "plt.figure()",
        "plt.subplots()[1]",
        "plt.subplots(2, 2)[1]",
        "plt.plot([1, 2])",
        "plt.hist([1, 2, 2])",
        "plt.bar([1, 2], [3, 4])",
        "pd.Series([1, 2]).plot()",
        "type('Grid', (), {'figure': plt.figure()})()",
        "plt.figure().subfigures(1, 2)[0].subplots()",
    ],
)
def test_whatever_knows_its_figure_is_a_plot(tmp_path: Path, expression: str) -> None:
    ran = run(tmp_path, IMPORTS, ("step:s plot:shown", f"shown = {expression}\nplt.close('all')"))
    assert ran.result.failure is None
    plot = ran.artifact("plot", "shown")
    content = (ran.folder / plot.path).read_bytes()
    assert plot.path == "steps/s/plots/shown.png"
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert min(struct.unpack(">II", content[16:24])) > 100
    assert plot.digest == hashlib.sha256(content).hexdigest()


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    cells = (IMPORTS, ("step:s plot:p", "p = plt.figure()\nplt.plot([1, 2])"))
    assert len({run(tmp_path, *cells, name=name).artifact("plot", "p").digest for name in ("one", "other")}) == 1


def test_a_figure_that_writes_itself_as_html_is_kept_so(tmp_path: Path) -> None:
    source = "class Chart:\n    def write_html(self, path):\n        open(path, 'w').write('<p>drawn</p>')"
    ran = run(tmp_path, ("functions", source), ("step:s plot:p", "p = Chart()"))
    assert (ran.folder / ran.artifact("plot", "p").path).read_text() == "<p>drawn</p>"
    assert ran.artifact("plot", "p").path == "steps/s/plots/p.html"


def test_a_plot_that_is_no_figure_is_refused(tmp_path: Path) -> None:
    assert run(tmp_path, IMPORTS, ("step:s plot:p", "p = [1, 2]")).refusal.startswith("plot p is not a figure")


TRAIN = ("step:train model:model example:X", "model = LinearRegression().fit(X, y)")


def trained(tmp_path: Path, *more: tuple[str, str]) -> Ran:
    return run(tmp_path, IMPORTS, DATA, TRAIN, *more)


def test_model_example_and_predictions_are_kept(tmp_path: Path) -> None:
    ran = trained(tmp_path)
    model = ran.value("model", "model")
    assert digest(ran.value("example", "X")) == digest(ran.namespace["X"])
    assert digest(ran.value("predictions", "model")) == digest(model.predict(ran.namespace["X"]))
    details = ran.artifact("model", "model").details
    assert details["type"] == "sklearn.linear_model._base.LinearRegression"
    assert [pin.partition("==")[0] for pin in details["requirements"]] == ["numpy", "scikit-learn"]
    assert ran.artifact("predictions", "model").details["stochastic"] is False


def test_the_example_is_kept_as_it_was_after_its_step(tmp_path: Path) -> None:
    ran = trained(tmp_path, ("step:later", "X['a'] = 0.0"))
    assert ran.value("example", "X")["a"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("first", ["model", "example"])
def test_model_and_example_may_be_of_different_steps(tmp_path: Path, first: str) -> None:
    model = ("step:train model:model", "model = LinearRegression().fit(X, y)")
    example = ("step:show example:shown", "shown = X.head(2)")
    ran = run(tmp_path, IMPORTS, DATA, *((model, example) if first == "model" else (example, model)))
    assert ran.value("predictions", "model").round(9).tolist() == [2.0, 4.0]
    assert ran.artifact("predictions", "model").step == ("show" if first == "model" else "train")


def test_a_model_that_was_changed_after_it_was_kept_is_refused(tmp_path: Path) -> None:
    """Else the package would hold one model, and the proof be about another."""
    ran = run(
        tmp_path,
        IMPORTS,
        DATA,
        ("step:train model:model", "model = LinearRegression().fit(X, y)"),
        ("step:again example:X", "model.fit(X, -y)"),
    )
    assert "model model was changed after step train" in ran.refusal
    assert "tag model:model in the last step that changes it" in ran.refusal


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("LinearRegression()", "model model is not fitted; fix: call model.fit(…) in the step"),
        ("make_pipeline(StandardScaler(), LinearRegression())", "model model is not fitted"),
        ("{'a': 1}", "model model is a dict, which has no predict"),
        ("LinearRegression", "model model is the class LinearRegression, not a fitted model"),
        ("StandardScaler().fit(X)", "model model is a StandardScaler, which has no predict"),
        ("LinearRegression().fit(X[['a']], y)", "model model cannot predict on the example: ValueError"),
        (
            "make_pipeline(FunctionTransformer(lambda x: x), LinearRegression()).fit(X, y)",
            "model.steps[0][1].func is a lambda; fix: give it a name with def in a functions cell",
        ),
    ],
)
def test_a_model_that_is_of_no_use_is_refused(tmp_path: Path, expression: str, said: str) -> None:
    assert refusal(tmp_path, "model:model example:X", f"model = {expression}").startswith(said)


OWN = (
    "functions",
    """
class Mean(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.mean = float(np.mean(y))
        self.calls = 0
        return self

    def predict(self, X):
        self.calls += 1
        print("predicting")
        X["a"] = 0.0
        return np.full(len(X), self.mean)
""",
)


def test_keeping_leaves_no_trace_in_the_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that counts its calls, changes its input and prints, and steps that draw random numbers."""
    draws = "drawn = [random.random(), np.random.rand()]"
    cells = (
        IMPORTS,
        OWN,
        DATA,
        ("step:seed", "random.seed(1)\nnp.random.seed(1)"),
        ("step:train model:model example:X plot:p metric:m", "model = Mean().fit(X, y)\np = plt.figure()\nm = 1"),
        ("step:draw", draws),
    )
    ran = run(tmp_path, *cells)
    assert ran.result.failure is None
    random.seed(1)
    np.random.seed(1)
    assert ran.namespace["drawn"] == [random.random(), np.random.rand()]
    assert ran.namespace["model"].calls == 0
    assert ran.namespace["X"]["a"].tolist() == [1.0, 2.0, 3.0]
    assert ran.value("predictions", "model").tolist() == [4.0, 4.0, 4.0]
    assert ran.namespace["Mean"].__module__ == "__main__"
    assert capsys.readouterr().out == ""


def test_a_model_that_predicts_at_random_is_found_out(tmp_path: Path) -> None:
    source = "class Dice:\n    def predict(self, data):\n        return np.random.rand(len(data))"
    ran = run(tmp_path, IMPORTS, ("functions", source), DATA, ("step:t model:m example:X", "m = Dice()"))
    assert ran.artifact("predictions", "m").details["stochastic"] is True


def test_a_model_of_the_notebooks_class_has_the_notebooks_module_beside_it(tmp_path: Path) -> None:
    """In a process where `__main__` is the notebook's; the pickle names the module and not `__main__`."""
    train = ("step:train model:model example:X", "model = Mean().fit(X, y)\nprint(Mean.__module__)")
    ran = run(tmp_path, IMPORTS, OWN, DATA, train, own_process=True)
    model = ran.artifact("model", "model")
    folder = (ran.folder / model.path).parent
    assert (folder / "small_functions.py").read_text() == ran.pipeline.module.source
    assert (model.details["type"], model.details["uses"]) == ("small_functions.Mean", ["Mean"])
    assert b"__main__" not in (ran.folder / model.path).read_bytes()
    assert ran.printed == "__main__\n"


def test_tables_that_a_step_reads_are_datasets(tmp_path: Path) -> None:
    """With a digest of all that is in them when the step begins, and not of what the step makes of them."""
    ran = run(
        tmp_path,
        IMPORTS,
        ("step:data", "X = pd.DataFrame({'a': [1, 2]})\nA = X.to_numpy()\nn = 3"),
        ("step:use", "X['b'] = n + A.sum()"),
    )
    found = {dataset.name: dataset for dataset in ran.result.datasets}
    assert sorted(found) == ["A", "X"]
    assert found["X"].digest == digest(pd.DataFrame({"a": [1, 2]}))
    assert (found["X"].step, found["X"].rows, found["X"].columns) == ("use", 2, (("a", "int64"),))


def test_a_step_that_runs_again_replaces_what_it_kept(tmp_path: Path) -> None:
    ran = trained(tmp_path)
    from nb2prod.kernel.keep import Keeper

    keeper = Keeper(ran.pipeline, ran.folder)
    first = keeper.after("train", ran.namespace)
    ran.namespace["model"].fit(ran.namespace["X"], -ran.namespace["y"])
    second = keeper.after("train", ran.namespace)
    names: Any = [[e.artifact.name for e in events if not isinstance(e, MetricMeasured)] for events in (first, second)]
    assert names == [["X", "X", "model", "model", "rows", "outcomes"]] * 2  # the frame of fit, and the example
    assert first[-1] != second[-1]
