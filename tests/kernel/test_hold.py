"""What a failed cell changed is put back before it is tried again."""

from __future__ import annotations

import random
from typing import Any

import pytest

from nb2prod.kernel.hold import Held, is_declared


def test_values_are_what_they_were_with_what_they_share() -> None:
    rows = [1, 2]
    names: dict[str, Any] = {"rows": rows, "both": [rows, rows], "other": "kept"}
    held = Held(names, ["rows"], ["rows", "both", "other", "new"])
    rows.append(3)
    names |= {"new": 1, "other": "changed"}
    random.seed(1)
    held.put_back()
    assert names == {"rows": [1, 2], "both": [[1, 2], [1, 2]], "other": "changed"}  # `other` is not the cell's
    names["rows"].append(4)
    assert names["both"] == [[1, 2, 4], [1, 2, 4]]


def test_random_streams_go_on_from_where_they_were() -> None:
    random.seed(7)
    expected = [random.random() for _ in range(3)]
    random.seed(7)
    held = Held({}, [], [])
    assert [random.random() for _ in range(3)] == expected
    held.put_back()
    assert [random.random() for _ in range(3)] == expected


def test_what_a_function_reads_is_held_with_it() -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec("calls = []\ndef note(x):\n    calls.append(x)\n    return len(calls)", names)
    held = Held(names, ["note"], ["note", "calls"])
    assert names["note"](1) == 1
    held.put_back()
    assert names["note"](1) == 1


def test_a_generator_that_the_cell_uses_cannot_be_put_back_and_another_does_not_matter() -> None:
    names: dict[str, Any] = {"numbers": (i for i in range(3)), "x": [1]}
    kept = Held(names, ["numbers"], ["numbers", "x"]).kept
    assert kept is not None
    assert "generator" in kept.reason
    assert Held(names, ["x"], ["numbers", "x"]).kept is None


@pytest.mark.parametrize(
    ("declared", "expected"),
    [((), True), (("OSError",), True), (("builtins.ConnectionError",), True), (("ValueError", "KeyError"), False)],
)
def test_an_error_is_declared_by_its_class_or_one_above(declared: tuple[str, ...], expected: bool) -> None:
    assert is_declared(ConnectionResetError, declared) is expected
