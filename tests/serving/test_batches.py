"""Requests that wait are answered together, each with its own answer; and only where rows have answers of their own."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nb2prod.serving.app import create_app
from nb2prod.serving.limits import Limits
from nb2prod.serving.package_folder import PackageFolder, open_folder
from nb2prod.serving.scorer import MlflowScorer

Serving = Callable[[Any], Any]


class Counted:
    """The customers' scorer, which keeps how many rows each call had, and waits before it answers `held` ones."""

    def __init__(self, scorer: MlflowScorer) -> None:
        self.runtime, self.small, self.together = scorer.runtime, scorer.small, scorer.together
        self.calls: list[int] = []
        self.go = threading.Event()
        self._scorer = scorer

    def predict(self, rows: Any, *, fill: bool, parameters: Any = None) -> Any:
        self.calls.append(len(rows))
        self.go.wait(30)
        if any(row["city"] == "bad" for row in rows):
            raise ValueError("the secret 4711")
        return self._scorer.predict(rows, fill=fill, parameters=parameters)

    def predict_unchecked(self, data: Any) -> Any:
        return self._scorer.predict_unchecked(data)


def _asked_at_once(client: Any, scorer: Counted, rows: list[dict[str, Any]]) -> list[Any]:
    """The answers to requests that came while the first of them was being answered."""
    with ThreadPoolExecutor(len(rows)) as pool:
        first = pool.submit(client.post, "/predict", json={"rows": rows[:1]})
        while not scorer.calls:
            pass
        others = [pool.submit(client.post, "/predict", json={"rows": [row]}) for row in rows[1:]]
        while f"nb2prod_predicting {len(rows)}.0" not in client.get("/metrics").text:
            pass
        scorer.go.set()
        return [one.result() for one in (first, *others)]


def _scorer(folder: Path) -> tuple[Counted, Callable[..., Any]]:
    scorer = Counted(MlflowScorer(folder, open_folder(folder)))
    return scorer, lambda _folder, _known: scorer


def test_requests_that_wait_are_answered_by_one_call_each_with_its_own_answer(
    customer_model: Path, serving: Serving, customer: dict[str, Any]
) -> None:
    scorer, loader = _scorer(customer_model)
    rows = [{**customer, "age": 20 + 5 * n} for n in range(8)]
    with serving(create_app(customer_model, loader=loader)) as client:
        answers = [one.json()["predictions"][0] for one in _asked_at_once(client, scorer, rows)]
        together = client.post("/predict", json={"rows": rows}).json()["predictions"]
    assert scorer.calls == [1, 7, 8]
    assert answers == [pytest.approx(prediction, rel=1e-9) for prediction in together]


def test_one_that_fails_does_not_fail_those_beside_it(
    customer_model: Path, serving: Serving, customer: dict[str, Any]
) -> None:
    scorer, loader = _scorer(customer_model)
    rows = [customer, customer, {**customer, "city": "bad"}, customer]
    with serving(create_app(customer_model, loader=loader)) as client:
        answers = _asked_at_once(client, scorer, rows)
    assert [one.status_code for one in answers] == [200, 200, 500, 200]
    assert not any("4711" in one.text for one in answers)


def test_those_who_wait_for_a_call_that_hangs_are_told_and_the_next_is_answered(
    customer_model: Path, serving: Serving, customer: dict[str, Any]
) -> None:
    scorer, loader = _scorer(customer_model)
    with serving(create_app(customer_model, loader=loader, limits=Limits(seconds=0.3))) as client:
        assert client.post("/predict", json={"rows": [customer]}).status_code == 504
        scorer.go.set()
        # on a machine that is busy with other things the limit may be too short for an honest answer too
        assert 200 in (client.post("/predict", json={"rows": [customer]}).status_code for _ in range(10))


def _known(model: Any, table: Any, folder: Path, **options: Any) -> PackageFolder:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    mlflow.sklearn.save_model(
        model,
        folder,
        signature=infer_signature(table, model.predict(table)),
        input_example=table.head(3),
        pip_requirements=["mlflow-skinny", "scikit-learn"],
        serialization_format="cloudpickle",
        **options,
    )
    return open_folder(folder)


def less_their_mean(table: Any) -> Any:
    return table - table.mean()


def test_a_model_that_looks_at_all_rows_of_a_request_never_gets_those_of_another(tmp_path: Path) -> None:
    import numpy
    import pandas
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    table = pandas.DataFrame({"a": [1.0, 2.0, 4.0, 8.0], "b": [3.0, 1.0, 4.0, 1.5]})
    for name, first, together in (
        ("own", StandardScaler(), True),
        ("mean", FunctionTransformer(less_their_mean), False),
        ("log", FunctionTransformer(numpy.log1p), True),
        ("what is left", FunctionTransformer(), True),
    ):
        model = make_pipeline(first, LinearRegression()).fit(table, [1.0, 2.0, 3.0, 4.0])
        known = _known(model, table, tmp_path / name)
        assert (name, MlflowScorer(known.path, known).together) == (name, together)


def test_a_function_of_the_notebook_is_asked_directly_and_for_many_when_a_translation_shows_what_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.pyfunc
    import pandas
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "own.py").write_text("def ratios(t):\n    return t.assign(ratio=t['a'] / t['b'])\n")
    monkeypatch.syspath_prepend(tmp_path / "code")
    ratios = importlib.import_module("own").ratios
    table = pandas.DataFrame({"a": [1.0, 2.0, 4.0, 8.0], "b": [3.0, 1.0, 4.0, 1.5]})
    model = make_pipeline(FunctionTransformer(ratios), RandomForestRegressor(5, random_state=0))
    model.fit(table, [1.0, 2.0, 3.0, 4.0])
    known = _known(model, table, tmp_path / "model", code_paths=[str(tmp_path / "code" / "own.py")])
    scorer = MlflowScorer(known.path, known, translated=True)
    assert (MlflowScorer(known.path, known).together, scorer.together) == (False, True)
    rows = table.to_dict("records")
    scorer.predict(rows, fill=True)
    assert scorer._direct != set()
    expected = mlflow.pyfunc.load_model(str(known.path)).predict(table).tolist()
    assert scorer.predict(rows, fill=True).tolist() == expected
    assert [scorer.predict([row], fill=True)[0] for row in rows] == expected


def test_a_table_that_mlflow_takes_as_it_is_gets_the_same_answer_without_mlflow(
    customer_model: Path, customer: dict[str, Any]
) -> None:
    known = open_folder(customer_model)
    scorer, rows = MlflowScorer(customer_model, known), [customer, {**customer, "score": None}]
    direct = scorer.predict(rows, fill=True)
    assert scorer._direct != set()
    scorer._estimator = None
    assert scorer.predict(rows, fill=True).tolist() == direct.tolist()
