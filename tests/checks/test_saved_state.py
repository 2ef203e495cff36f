"""What the file says of the last time it was run: execution counts, and how much its outputs take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nb2prod import api
from tests.checks.test_what_checks_say import said
from tests.notebook_maker import write_notebook


def with_counts(path: Path, counts: list[int | None]) -> Path:
    write_notebook(path, [("", f"x{number} = 1") for number in range(len(counts))])
    document = json.loads(path.read_text())
    for cell, count in zip(document["cells"], counts, strict=True):
        cell["execution_count"] = count
    path.write_text(json.dumps(document))
    return path


COUNTS = [
    ([1, 2, 3], []),
    ([None, None], []),
    ([1, None, 2], []),  # a cell that was never run, and none after it knows
    ([2, 1], [1]),
    ([1, 5, 3, 2], [2]),  # told once
    ([4, 4], [1]),  # two kernels
    ([1, 2, 6], [None]),
    ([3], [None]),
]


@pytest.mark.parametrize(("counts", "cells"), COUNTS)
def test_counts_that_are_no_run_from_top_to_bottom_are_told_once(
    counts: list[int | None], cells: list[int | None], tmp_path: Path
) -> None:
    assert [f.cell for f in said("hidden-state", with_counts(tmp_path / "nb.ipynb", counts))] == cells


def test_lost_runs_are_counted(tmp_path: Path) -> None:
    (finding,) = said("hidden-state", with_counts(tmp_path / "nb.ipynb", [1, 2, 6]))
    assert finding.message == "the last cell is In [6] of 3: 3 runs are of cells run again or deleted"


@pytest.mark.parametrize(("size", "cells"), [(10, []), (999_000, []), (1_000_001, [0])])
def test_an_output_of_more_than_a_megabyte_is_long(size: int, cells: list[int], tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", [("", "x = 1")])
    document = json.loads(path.read_text())
    document["cells"][0]["outputs"] = [{"output_type": "stream", "name": "o", "text": ["a" * (size - 6), "b" * 6]}]
    path.write_text(json.dumps(document))
    assert [f.cell for f in said("long-output", path)] == cells
    assert api.load_pipeline(path).notebook.cells[0].output_size >= size
