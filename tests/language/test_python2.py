"""A cell that Python 3 cannot read is said to be Python 2 when it is, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb2prod.core.notebook import Cell, Notebook
from nb2prod.language.plain import plain
from nb2prod.stages.compile import compile

OLD = [
    "print x", "print 'a', x", "if x: print x", "for x in y:\n    print x", 'exec "x = 1"',
    "try:\n    f()\nexcept ValueError, e:\n    pass", "raise ValueError, 'no'", "x <> y", "x = 10L", "x = 0777",
    "x = ur'a'", "x = `y`", "def f(a, (b, c)):\n    pass",
]  # fmt: skip
BROKEN = ["x = (", "print(x", "def f(:\n    pass", "x = = 1", "printer x", "1 = x", "for x in y\n    pass", "class A(:"]


def said(source: str) -> list[tuple[str, int | None, bool]]:
    found = compile(Notebook(Path("a.ipynb"), (Cell(0, "code", source, ("step:a",)),), kernel="python3")).findings
    return [(finding.code, finding.line, "Python 2" in finding.message) for finding in found]


@pytest.mark.parametrize("source", OLD)
def test_python_2_is_named(source: str) -> None:
    assert plain(source).tree is None
    assert [(code, old) for code, _, old in said(source)] == [("syntax", True)]


@pytest.mark.parametrize("source", BROKEN)
def test_what_is_broken_in_any_python_is_not_taken_for_python_2(source: str) -> None:
    assert [(code, old) for code, _, old in said(source)] == [("syntax", False)]
