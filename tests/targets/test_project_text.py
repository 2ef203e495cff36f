"""The author's text is changed as little as can be, and means what the changed tree means."""

from __future__ import annotations

import pytest

from nb2prod.language.layout import indented
from nb2prod.targets._project.text import CannotRename, Changes, changed

CASES = [
    ("S |= {1}  # more", Changes({"S": "f.S"}), "f.S |= {1}  # more"),
    ("print(f'{S} S {x:{S}}')", Changes({"S": "f.S"}), "print(f'{f.S} S {x:{f.S}}')"),
    ("g = lambda S: S + T", Changes({"S": "f.S", "T": "f.T"}), "g = lambda S: S + f.T"),
    ("y = [S for S in T]", Changes({"S": "f.S", "T": "f.T"}), "y = [S for S in f.T]"),
    ("y = a.S + S", Changes({"S": "f.S"}), "y = a.S + f.S"),
    ("é = g('ü', S)", Changes({"S": "f.S"}), "é = g('ü', f.S)"),
    ("y = g(x)  # why", Changes({}, {"g": ("k",)}), "y = g(x, k=k)  # why"),
    ("y = g(x)", Changes({}, {"g": ("k",)}, {"g": 1}), "y = g(x, k)"),
    ("y = g()", Changes({}, {"g": ("k", "l")}), "y = g(k=k, l=l)"),
    ("y = g(g(x,),)", Changes({}, {"g": ("k",)}), "y = g(g(x, k=k,), k=k,)"),
    ("def g(x):  # a\n    return x * k", Changes({}, {"g": ("k",)}), "def g(x, k):  # a\n    return x * k"),
    ("def g():\n    return k", Changes({}, {"g": ("k",)}), "def g(k):\n    return k"),
    ("def g(x=1):\n    return k", Changes({}, {"g": ("k",)}), "def g(x=1, *, k):\n    return k"),
    ("def g(*x):\n    return k", Changes({}, {"g": ("k",)}), "def g(*x, k):\n    return k"),
    ("def g(**x):\n    return k", Changes({}, {"g": ("k",)}), "def g(k, **x):\n    return k"),
]


@pytest.mark.parametrize(("text", "changes", "expected"), CASES)
def test_an_edit_touches_what_changes_and_nothing_else(text: str, changes: Changes, expected: str) -> None:
    assert changed(text, changes) == expected


def test_a_name_that_only_a_plain_name_can_be_is_refused() -> None:
    with pytest.raises(CannotRename):
        changed("if (S := 5): pass", Changes({"S": "f.S"}))


def test_lines_within_a_text_are_not_moved() -> None:
    assert indented('x = """a\n  b\n"""\ny = 1') == '    x = """a\n  b\n"""\n    y = 1'
