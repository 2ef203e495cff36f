"""The table of removed calls against the libraries that are installed: what it calls gone is gone."""

from __future__ import annotations

import functools
import importlib
import inspect
import warnings
from typing import Any

import pandas as pd
import pytest

from nb2prod.checks import removed_call
from nb2prod.checks.removed_call import FRAME, FRAME_KEYWORDS, KEYWORDS, NAMES, ON_SERIES, Removed

ABSENT = object()


def there(dotted: str) -> Any:
    """What a dotted name means, or ABSENT."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except Exception:  # noqa: BLE001  # a module that cannot be imported is not there
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return functools.reduce(getattr, parts[end:], found)
            except (AttributeError, ImportError):  # load_boston raises the second, to say why it went
                return ABSENT
    return ABSENT


GONE = {name: removed for name, removed in NAMES.items() if removed_call._is_gone(removed)}


@pytest.mark.parametrize("name", GONE)
def test_a_name_that_is_gone_is_not_there_and_what_replaces_it_is(name: str) -> None:
    assert there(name) is ABSENT
    same = GONE[name].same
    assert not same or "." not in same or there(same) is not ABSENT


def test_most_of_the_table_speaks_of_what_is_installed() -> None:
    assert len(GONE) > 40


@pytest.mark.parametrize(("name", "word"), [key for key in KEYWORDS if removed_call._is_gone(KEYWORDS[key])])
def test_an_argument_that_is_gone_is_in_no_signature(name: str, word: str) -> None:
    callable_ = there(name)
    assert callable_ is not ABSENT
    assert word not in inspect.signature(callable_).parameters


FRAMES = [(name, removed) for name, removed in FRAME.items() if removed_call._is_gone(removed)]


@pytest.mark.parametrize(("name", "removed"), FRAMES)
def test_a_method_that_is_gone_is_on_no_frame(name: str, removed: Removed) -> None:
    assert not hasattr(pd.DataFrame({"a": [1]}), name)
    assert name not in ON_SERIES or not hasattr(pd.Series([1]), name)


@pytest.mark.parametrize(("method", "word"), FRAME_KEYWORDS)
def test_an_argument_of_a_method_that_is_gone_is_in_no_signature(method: str, word: str) -> None:
    assert word not in inspect.signature(getattr(pd.DataFrame, method)).parameters


@pytest.mark.parametrize(
    ("version", "numbers"), [("2.4.6", (2, 4)), ("3.0.0rc1", (3, 0)), ("1.26.4", (1, 26)), ("2", (2,))]
)
def test_versions_compare_by_their_first_two_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert removed_call._numbers(version) == numbers
