"""A function that is called with a table which writes down what is done to it: the graph then does the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

from nb2prod.stages.translating.blocks import FUNCTIONS, Block  # noqa: E402
from nb2prod.stages.translating.graph import Graph, Untranslatable, value_info  # noqa: E402
from nb2prod.stages.translating.tables import Table, followed  # noqa: E402

EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 5e-324, -1e-10, 1e-17, 2.5, -2.5, 700.0, 1e16, np.inf, -np.inf, np.nan]
TWO = ("add", "subtract", "multiply", "divide", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal")


def graph_of(function: Callable[[Any], Any], frame: pd.DataFrame) -> Any:
    """What the graph answers to the frame, after the function was called with a table in its place."""
    graph = Graph()
    kinds = {"f": "float64", "i": "int64", "b": "bool"}
    columns = {name: Block(graph, f"in {name}", kinds.get(frame[name].dtype.kind, "text"), 1) for name in frame}
    found = followed(function, Table(columns), {})
    made = {"it": found} if isinstance(found, Block) else {name: found[name] for name in found.columns}
    infos = [value_info(block.name, block.dtype, 1) for block in columns.values()]
    outputs = list({block.name: value_info(block.name, block.dtype, 1) for block in made.values()}.values())
    session = onnxruntime.InferenceSession(graph.model(infos, outputs, [], "test"))
    feeds = {f"in {name}": frame[[name]].to_numpy() for name in frame}
    answers = {block.name: session.run([block.name], feeds)[0][:, 0] for block in made.values()}
    return pd.DataFrame({name: answers[block.name] for name, block in made.items()})


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name in TWO])
def test_a_function_of_two_numbers_answers_as_numpy(name: str) -> None:
    one, other = (grid.ravel() for grid in np.meshgrid(EDGES, EDGES))
    frame, function = pd.DataFrame({"x": one, "y": other}), getattr(np, name)
    with np.errstate(all="ignore"):
        assert_same(graph_of(lambda f: function(f["x"], f["y"]), frame)["it"], function(one, other))


@pytest.mark.parametrize(
    "name", ["negative", "absolute", "isnan", "isfinite", "sign", "square", "reciprocal", "sqrt", "exp", "log", "log1p",
             "expm1", "floor", "ceil", "rint", "tanh", "log2", "log10", "fabs", "sin", "cos"]
)  # fmt: skip
def test_a_function_of_one_number_answers_as_numpy(name: str) -> None:
    function, values = getattr(np, name), np.array(EDGES)
    with np.errstate(all="ignore"):
        assert_same(graph_of(lambda f: function(f["x"]), pd.DataFrame({"x": values}))["it"], function(values))


def assert_same(given: Any, expected: Any) -> None:
    """To the last bits, a hundredth of what a translation may differ by."""
    np.testing.assert_allclose(np.asarray(given).astype(float), np.asarray(expected).astype(float), rtol=1e-11, atol=0)


@given(rows=st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(-(2**40), 2**40), st.sampled_from("abc")), min_size=1))
@settings(max_examples=20, deadline=None)
def test_a_notebooks_function_gives_the_same_columns(rows: list[tuple[float, int, str]]) -> None:
    frame = pd.DataFrame(rows, columns=["real", "whole", "word"])

    def features(data: Any) -> Any:
        data = data.copy()
        data["share"] = data["real"] / (data["whole"].abs() + 1)
        data["half"] = data["whole"] / 2
        data["is_a"] = (data["word"] == "a").astype(int)
        return data.assign(
            either=((data["real"] > 0.5) | (data["whole"] >= 3)).astype(float),
            capped=data["real"].clip(-10, 10),
            tested=lambda d: np.where(d["real"] < 0, -1.0, d["real"]),
            three=3.0,
        ).drop(columns="word")

    given, expected = graph_of(features, frame), features(frame)
    assert list(given) == list(expected)
    assert [str(kind) for kind in given.dtypes] == [str(kind) for kind in expected.dtypes]
    pd.testing.assert_frame_equal(given, expected, check_exact=True)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda f: f.assign(y=f["x"] - f["x"].mean()), "mean"),
        (lambda f: f.assign(y=1 if f["x"] else 0), "decides by the values"),
        (lambda f: f[f["x"] > 0], "chooses rows"),
        (lambda f: f.assign(y=[v + 1 for v in f["x"]]), "rows one by one"),
        (lambda f: f.assign(y=f["x"].astype(int)), "converts to int64"),
        (lambda f: f.assign(y=len(f)), "how many rows"),
        (lambda f: f.assign(y=f["x"].rolling(2).sum()), "rolling"),
        (lambda f: 3, "gives a int"),
        (lambda f: f["nothing"], "not there"),
        (lambda f: f.assign(y=f["x"] + "text"), "mixes text"),
    ],
)
def test_what_cannot_be_followed_is_said(function: Callable[[Any], Any], reason: str) -> None:
    with pytest.raises(Untranslatable, match=reason):
        graph_of(function, pd.DataFrame({"x": [1.5, 2.5]}))
