"""A body becomes JSON values, or is refused with 400 or 422; nothing else comes of any bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nb2prod.serving.errors import Refusal
from nb2prod.serving.strict_json import parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _status(body: bytes, *, finite: bool = True) -> int:
    with pytest.raises(Refusal) as caught:
        parse(body, depth=32, finite=finite)
    return caught.value.status


@given(VALUES)
def test_every_json_value_comes_back_as_it_was(value: object) -> None:
    assert parse(json.dumps(value).encode(), depth=100, finite=True) == value


@given(st.binary() | st.text(alphabet='[]{}",:\\u0d1eE-.NI ').map(str.encode))
def test_any_bytes_are_a_value_or_a_refusal(body: bytes) -> None:
    try:
        outcome = json.dumps(parse(body, depth=5, finite=True), allow_nan=False) and 200
    except Refusal as refusal:
        outcome = refusal.status
    assert outcome in (200, 400, 422)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000, 400),
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 400),
        (b"[" + b"9" * 5000 + b"]", 400),
        (b'{"a": 1, "a": 2}', 400),
        (b'[{"b": {"a": 1, "a": 1}}]', 400),
        (b'"\xff"', 400),
        ('["a"]'.encode("utf-16"), 400),
        (rb'"\ud800"', 400),
        (b"", 400),
        (b"[1,]", 400),
        (b"[NaN]", 422),
        (b"[-Infinity]", 422),
        (b"[1e400]", 422),
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes, status: int) -> None:
    assert _status(body) == status


def test_depth_counts_levels_and_not_brackets_or_text() -> None:
    assert parse(b"[" * 32 + b"]" * 32, depth=32, finite=True) is not None
    assert _status(b"[" * 33 + b"]" * 33) == 400
    assert _status(b"[{}" * 11 + b"[" * 22 + b"]" * 33) == 400
    assert parse(b"[" + b",".join([b"[]"] * 500) + b"]", depth=2, finite=True) == [[]] * 500
    assert parse(json.dumps(["[" * 500 + '"\\']).encode(), depth=2, finite=True) == ["[" * 500 + '"\\']


def test_a_long_text_without_an_end_is_refused_in_linear_time() -> None:
    """With a scanner that goes back, this takes hours."""
    assert _status(b"[" * 40 + b'"' + b'\\"' * 2_000_000) == 400
