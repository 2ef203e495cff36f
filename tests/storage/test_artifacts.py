"""A value comes back from its file as it was, and a file that is not the one that was written is not read."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nb2prod.core.errors import StoreError
from nb2prod.storage import artifacts
from nb2prod.storage.digests import digest

BERLIN = pd.to_datetime(["2020-03-29 01:30"]).tz_localize("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "suffix"),
    [
        (pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [0.1, np.nan]}), ".parquet"),
        (pd.DataFrame({"a": [1, 2]}, index=pd.Index([7, 3], name="key")), ".parquet"),
        (pd.DataFrame({"c": pd.Categorical(["x"], ["x", "y"], ordered=True), "t": BERLIN}), ".parquet"),
        (pd.DataFrame({"n": pd.array([1, None], dtype="Int64")}), ".parquet"),
        (pd.DataFrame(np.eye(2)), ".parquet"),
        (pd.DataFrame({"mixed": pd.Series(["a", 1], dtype=object)}), ".pkl"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), ".pkl"),
        (pd.Series([1.5, 2.5], name="price"), ".series.parquet"),
        (pd.Series(["a", "b"]), ".series.parquet"),
        (np.array([[1.0, np.nan]]), ".npy"),
        (np.array(["2020-01-01"], dtype="M8[D]"), ".npy"),
        (np.array(["yes", None, 1], dtype=object), ".json"),
        (["a", 1.5, None, (1, 2), {"k": [True]}, {1: 2}], ".json"),
        ([float("nan"), float("inf"), 1e-320, 0.1 + 0.2], ".json"),
        ({1, 2}, ".pkl"),
    ],
)
def test_every_kind_of_value_comes_back_as_it_was(tmp_path: Path, value: object, suffix: str) -> None:
    """In a format that needs no unpickling wherever such a one gives the very same value back."""
    stored = artifacts.write(value, tmp_path / "value")
    assert stored.path == tmp_path / f"value{suffix}"
    assert digest(artifacts.read(stored.path, stored.digest)) == stored.content == digest(value)


def test_a_value_that_replaces_one_of_another_format_leaves_one_file(tmp_path: Path) -> None:
    artifacts.write([1, 2], tmp_path / "value")
    artifacts.write({1, 2}, tmp_path / "value")
    assert [path.name for path in tmp_path.iterdir()] == ["value.pkl"]


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('the pickle was loaded')",)


def test_a_changed_pickle_is_not_loaded(tmp_path: Path) -> None:
    stored = artifacts.write({1, 2}, tmp_path / "value")
    stored.path.write_bytes(pickle.dumps(_Bomb()))
    with pytest.raises(StoreError, match="nothing of it was loaded"):
        artifacts.read(stored.path, stored.digest)


@pytest.mark.parametrize("name", ["value.parquet", "value.npy", "value.json", "value.pkl", "value.txt"])
def test_a_file_of_garbage_is_a_store_error(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00garbage")
    with pytest.raises(StoreError, match=name):
        artifacts.read(tmp_path / name)


def test_a_numpy_file_may_not_smuggle_a_pickle(tmp_path: Path) -> None:
    np.save(tmp_path / "value.npy", np.array([_Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(StoreError):
        artifacts.read(tmp_path / "value.npy")
