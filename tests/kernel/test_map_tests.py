"""Tests that only compare values run without pytest; whatever could do more, or does not hold, runs with it."""

from __future__ import annotations

import pytest

from nb2prod.kernel.map_job import JobCell
from nb2prod.kernel.map_tests import _compiled


@pytest.mark.parametrize(
    "source",
    [
        "assert 0 <= r2 <= 1, f'{r2} is no share'",
        "def test_it():\n    '''It fits.'''\n    assert len(model.coef_) == 2\n    assert frame['a'].notna().all()",
        "assert abs(x - 1.5) < 1e-9 and not isinstance(x, str)",
    ],
)
def test_a_cell_that_only_compares_is_quick(source: str) -> None:
    assert _compiled(JobCell(0, "test", source)) is not None


@pytest.mark.parametrize(
    "source",
    [
        "values.append(1)\nassert values",
        "assert values.pop() == 1",
        "assert sorted(values, key=print)",
        "assert frame.dropna(inplace=True) is None",
        "def test_it(tmp_path):\n    assert x",
        "import pytest\n\n@pytest.mark.parametrize('n', [1])\ndef test_it(n):\n    assert n",
        "assert (y := 3)",
        "assert [print(x) for x in values]",
        "def test_it():\n    assert x\n\ndef test_it():\n    assert y",
        "x = 1\nassert x",
        "assert frame.apply(changed).all()",
    ],
)
def test_a_cell_that_could_do_more_is_for_pytest(source: str) -> None:
    assert _compiled(JobCell(0, "test", source)) is None
