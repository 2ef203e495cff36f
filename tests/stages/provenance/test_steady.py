"""What pickle adds to a model of its own is taken out, and the model is the same one afterwards."""

from __future__ import annotations

import pickle
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nb2prod.core.errors import UsageError
from nb2prod.stages.provenance import steady
from nb2prod.stages.provenance.steady_pickle import steady_pickle

ROOT = Path(__file__).parents[3]
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
HASHABLE = st.recursive(PLAIN, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=6)
VALUES = st.recursive(
    PLAIN | st.sets(HASHABLE, max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(VALUES)
def test_a_pickle_with_its_sets_in_order_is_the_same_object(value: Any) -> None:
    shared = types.SimpleNamespace(first=value, then=[value, {"again": value}])
    shared.itself = shared
    raw = pickle.dumps(shared, protocol=5)
    made = steady_pickle(raw)
    loaded = pickle.loads(made)
    assert loaded.first == value
    assert loaded.then == [value, {"again": value}]
    assert loaded.itself is loaded
    if isinstance(value, set | list | dict):
        assert loaded.then[0] is loaded.first
    assert steady_pickle(made) == made


def test_a_pickle_without_sets_stays_as_it_is() -> None:
    raw = pickle.dumps({"a": [1, 2.5, np.arange(3)]}, protocol=5)
    assert steady_pickle(raw) is raw


IN_ANY_ORDER = """
import hashlib, pickle, types
from nb2prod.stages.provenance.steady_pickle import steady_pickle
words = {"rent", "car", "debt", "tax", ("a", "b"), ("a", "c"), frozenset({"x", "y", "z"})}
held = types.SimpleNamespace(words=words, seen=frozenset({"a", "x", "rent"}), many={f"n{i}" for i in range(2500)})
held.last, held._stop_words_id = "rent", id(words)
for protocol in (4, 5):
    made = steady_pickle(pickle.dumps(held, protocol=protocol))
    assert vars(pickle.loads(made)) == {**vars(held), "_stop_words_id": 0}
    print(hashlib.sha256(made).hexdigest())
"""


def test_a_pickle_is_the_same_whatever_order_a_process_has_for_its_sets() -> None:
    """Nor does it hold the address that scikit-learn's text vectorizers keep."""
    told = {
        subprocess.run(
            [sys.executable, "-c", IN_ANY_ORDER],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1


def test_the_moment_is_the_one_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    assert steady.created() == {}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert steady.created() == {"created": "2023-11-14T22:13:20+00:00"}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH is 'yesterday', not a number of seconds"):
        steady.created()
