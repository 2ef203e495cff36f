"""Loops of scikit-learn that run as plain ones give the same numbers, and only where they are asked to."""

from __future__ import annotations

import threading
import traceback
from typing import Any

import numpy
import pytest

from nb2prod.serving import in_turn


@pytest.fixture(scope="module")
def table() -> Any:
    return numpy.random.default_rng(0).normal(size=(60, 4))


def _models() -> list[Any]:
    from sklearn.ensemble import (
        BaggingClassifier,
        ExtraTreesRegressor,
        IsolationForest,
        RandomForestClassifier,
        RandomForestRegressor,
        VotingClassifier,
    )
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    forest = RandomForestClassifier(6, random_state=0)
    return [
        forest,
        RandomForestRegressor(6, random_state=0),
        ExtraTreesRegressor(6, random_state=0),
        IsolationForest(n_estimators=6, random_state=0),
        BaggingClassifier(LogisticRegression(), 5, random_state=0),
        VotingClassifier([("a", forest), ("b", LogisticRegression())], voting="soft"),
        OneVsRestClassifier(LogisticRegression()),
        MultiOutputRegressor(RandomForestRegressor(3, random_state=0)),
        make_pipeline(make_union(StandardScaler(), MinMaxScaler()), LogisticRegression()),
    ]


def test_every_number_stays_what_it_was(table: Any) -> None:
    in_turn.install()
    target = (table.sum(axis=1) > 0).astype(int)
    for model in _models():
        wanted = numpy.stack([target, -target], axis=1) if "MultiOutput" in type(model).__name__ else target
        model.fit(table, wanted)
        name = "predict_proba" if hasattr(model, "predict_proba") else "predict"
        expected = getattr(model, name)(table)
        with in_turn.in_turn():
            assert (getattr(model, name)(table) == expected).all(), model


def test_only_loops_with_one_job_within_it_on_its_thread_are_plain(table: Any) -> None:
    from sklearn.utils.parallel import Parallel, delayed

    in_turn.install()
    threads = []

    def where() -> bool:
        """Whether the loop is joblib's, which is then among those who called."""
        return any("joblib" in frame.f_code.co_filename for frame, _ in traceback.walk_stack(None))

    def asked(**options: Any) -> list[bool]:
        return list(Parallel(**options)(delayed(where)() for _ in range(2)))

    assert asked() == [True, True]
    with in_turn.in_turn():
        assert asked() == asked(n_jobs=1) == [False, False]
        with in_turn.in_turn():
            pass
        assert asked() == [False, False]
        other = threading.Thread(target=lambda: threads.append(asked()))
        other.start()
        other.join()
        assert len(asked(n_jobs=2, backend="threading")) == 2
    assert (threads, asked()) == ([[True, True]], [True, True])
