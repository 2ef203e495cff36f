"""In a `.py` notebook magics are comments; which comments are magics, and which are remarks that must never run."""

from __future__ import annotations

import pytest

from nb2prod.storage.scripts import uncommented

MAGICS = [
    ("# %matplotlib inline", "%matplotlib inline"),
    ("#%matplotlib inline", "%matplotlib inline"),
    ("# %%time\nx = 1", "%%time\nx = 1"),
    ("if x:\n    # %time f()\n    pass", "if x:\n    %time f()\n    pass"),
    ("# !ls -l", "!ls -l"),
    ("# !{sys.executable} -m pip list", "!{sys.executable} -m pip list"),
    ("# files = !ls", "files = !ls"),
    ("# out = %time f()", "out = %time f()"),
    ("# !wget x \\\n#   -O y\nz = 1", "!wget x \\\n  -O y\nz = 1"),
    ("# %R x", "%R x"),
]
REMARKS = [
    "# rm all the rows without a name",
    "# cp is the complexity parameter",
    "# ls -l",
    "# %d of them",
    "# %s",
    "# 50 %",
    "# x != y",
    "# ! careful",
    "# # %matplotlib inline",
    "# is it there?",
    's = """\n# %matplotlib inline\n"""',
    "x = 1  # %time",
    "%matplotlib inline",
]


@pytest.mark.parametrize(("written", "code"), MAGICS)
def test_a_magic_in_a_comment_is_code_again(written: str, code: str) -> None:
    assert uncommented(written) == code


@pytest.mark.parametrize("remark", REMARKS)
def test_a_remark_stays_a_remark(remark: str) -> None:
    assert uncommented(remark) == remark
