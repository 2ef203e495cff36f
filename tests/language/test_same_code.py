"""What is the same code, and what is not."""

from __future__ import annotations

import pytest

from nb2prod.language.same_code import normalized


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x = 1", "# a comment\n\nx  =  1  # one", True),
        ("f(a,\n  b)", "f(a, b)", True),
        ("x = 'a'", 'x = "a"', True),
        ("x = 1", "x = 2", False),
        ("def f():\n    '''One.'''", "def f():\n    '''Two.'''", False),
        ("%time f(1)", "%time f(2)", False),
        ("!ls a", "!ls b", False),
        ("not python at all", "not python at  all", False),
    ],
)
def test_comments_and_formatting_do_not_count(one: str, other: str, same: bool) -> None:
    assert (normalized(one) == normalized(other)) is same
