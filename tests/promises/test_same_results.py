"""A notebook comes to the same whichever way it runs: as commands, in another pair of ways for each notebook.

`benchmarks/same_results.py` does it in every way, on every notebook.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import same_results
from tests.notebooks.record import PRINTED, as_notebook, stdout

TESTS = Path(__file__).parents[1] / "notebooks"
FIRST = "steps, processes"
OTHER = {
    "kale_titanic_style.ipynb": "steps, dask",
    "custom_transformer.ipynb": "papermill, stopped and resumed",
    "time_series.ipynb": "steps, serial, stopped and resumed",
    "loan_kaggle.ipynb": FIRST,  # beside what plain papermill printed
    "text_model.ipynb": "inprocess, stopped and resumed",
    "vorhersage_windenergie.py": "papermill",
}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, threads that wait for each other take twice as long."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def shown(folder: Path) -> dict[str, str]:
    """What each of the author's cells printed."""
    (executed,) = (path for path in (folder / "runs").glob("*/*.ipynb"))
    cells: Any = as_notebook(executed).cells
    authors = [cell for cell in cells if "injected-parameters" not in cell.metadata.get("tags", ())]
    return {str(index): stdout(cell) for index, cell in enumerate(authors) if cell.cell_type == "code"}


@pytest.mark.parametrize("name", OTHER)
def test_a_notebook_comes_to_the_same_in_two_ways_and_prints_what_it_prints_in_jupyter(
    name: str, tmp_path: Path
) -> None:
    """Metrics to the last bit, prints, outcomes of tests, artifacts by content, and what cells show."""
    if "dask" in OTHER[name]:
        pytest.importorskip("distributed")
    ways = list(dict.fromkeys((FIRST, OTHER[name])))
    found = same_results.compared(TESTS / name, tmp_path, ways)
    assert [(way, told["differs"]) for way, told in found.items()] == [(way, []) for way in ways]
    expected: dict[str, str] = json.loads(PRINTED.read_text(encoding="utf-8"))[name]
    texts = shown(same_results.folder_of(tmp_path, TESTS / name, FIRST))
    assert {index: texts[index] for index in expected} == expected
