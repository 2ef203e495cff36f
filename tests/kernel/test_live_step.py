"""The line below a step's cell: made of source and values, whatever the values are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from nb2prod.core.pipeline import Role
from nb2prod.kernel.live_step import StepReport, described, duration, report
from nb2prod.language.names import names_of
from nb2prod.language.plain import parse


class Hostile:
    """Refuses whatever it is asked."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    __repr__ = __len__ = __float__ = __bool__ = lambda self: 1 / 0  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (pd.DataFrame({"a": range(2380), "b": 1}), "2,380 × 2"),
        (np.zeros((3, 4, 5)), "3 × 4 × 5"),
        (np.float64(0.81432), "0.8143"),
        ([1, 2, 3], "list of 3"),
        ("forest", "'forest'"),
        ("x" * 99, "str of 99"),
        (None, "None"),
        (7, "7"),
        (10**4000, "int"),
    ],
)
def test_a_value_is_described_by_its_kind_and_size(value: Any, words: str) -> None:
    assert described(value) == words


def test_an_object_that_refuses_everything_is_described_by_its_class() -> None:
    assert described(Hostile()) == "Hostile"


def test_a_step_says_what_it_read_wrote_and_may_have_changed() -> None:
    body = "model = fit(df, n)\ndf['z'] = 1\nauc = 0.81432\ndef helper(): pass\n_hidden = 1"
    names = {"df": [1], "n": 3, "model": Hostile(), "auc": 0.81432, "helper": lambda: 1, "fit": len, "_hidden": 1}
    role = Role("step", "train", body, models=("model",), metrics=("auc", "f1"))
    assert report(role, {}, names, 1.234, failed=False) == StepReport(
        step="train",
        seconds=1.234,
        read=("df", "n"),
        wrote=(("model", "Hostile"),),
        changed=("df",),
        defined=("helper",),
        metrics=(("auc", "0.8143"),),
        missing=(("metric", "f1"),),
    )


def test_what_a_function_reads_its_caller_reads() -> None:
    functions = names_of(parse("def scale(v): return v * factor")).functions
    said = report(Role("step", "s", "y = scale(x)"), functions, {"x": 1, "factor": 2, "y": 2}, 0.1, failed=False)
    assert said.read == ("factor", "x") or said.read == ("x", "factor")


def test_a_failed_step_says_so_and_claims_no_result() -> None:
    said = report(
        Role("step", "s", "y = 1 / x", metrics=("y",)), {}, {"x": 0, "y": "of an earlier run"}, 0.25, failed=True
    )
    assert repr(said) == "step s · failed after 250 ms · read x"


def test_a_metric_that_is_no_number_is_named() -> None:
    said = report(Role("step", "s", "auc = object()", metrics=("auc",)), {}, {"auc": Hostile()}, 1.0, failed=False)
    assert said.metrics == (("auc", "is no number but Hostile"),)


def test_the_line_as_text_and_as_html() -> None:
    said = StepReport("a<b", 1.2, read=("x",), wrote=(("y", "2 × 3"),), metrics=(("auc", "0.81"),))
    assert repr(said) == "step a<b · 1.2 s · read x · wrote y 2 × 3 · auc 0.81"
    assert "a&lt;b" in said._repr_html_()


def test_a_long_list_is_counted() -> None:
    said = StepReport("s", 1.0, read=tuple(f"n{i}" for i in range(11)))
    assert repr(said) == "step s · 1.0 s · read n0, n1, n2, n3, n4, n5, n6, n7 and 3 more"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0004, "0 ms"),
        (0.0123, "12 ms"),
        (0.9999, "1.0 s"),
        (59.94, "59.9 s"),
        (59.99, "1 min 00 s"),
        (125.0, "2 min 05 s"),
    ],
)
def test_a_duration_is_said_in_the_unit_that_fits(seconds: float, words: str) -> None:
    assert duration(seconds) == words
