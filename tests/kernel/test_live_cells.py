"""What ran in a session, compared with what the saved file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb2prod.core.notebook import Cell, Notebook
from nb2prod.kernel.live_cells import (
    Differences,
    RanCell,
    as_document,
    differences,
    file_of,
    latest,
    of_this_session,
)

SAVED = Notebook(Path("n.ipynb"), (Cell(0, "code", "x = 1\n", id="a"), Cell(1, "code", "y = 2", id="b")))


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        (RanCell("x = 1", 3, at=10, id="a"), Differences()),
        (RanCell("y = 2", 3, at=10, id="vscode-cell:7"), Differences()),
        (RanCell("x = 9", 3, at=10, id="a"), Differences(unsaved=("cell 0, In[3]",))),
        (RanCell("z = 3", 3, at=10, id="new"), Differences(unsaved=("In[3]",))),
        (RanCell("x = 9", 3, at=1, id="a"), Differences(edited=("cell 0, In[3]",))),
        (RanCell("z = 3", 3, at=1, id="deleted-since"), Differences()),
    ],
)
def test_code_that_ran_is_looked_for_in_the_file_that_was_saved_at_5(cell: RanCell, found: Differences) -> None:
    """Other code than in an older file is unsaved; than in a younger file, edited since it ran."""
    assert differences([cell], SAVED, saved_at=5) == found


def test_the_last_run_of_each_cell_in_the_order_of_first_runs() -> None:
    ran = [
        RanCell("x = 1", 1, 0, "a"),
        RanCell("y = 1", 2, 0, "b"),
        RanCell("x = 2", 3, 0, "a"),
        RanCell("q", 4, 0, "gone"),
    ]
    assert [cell.source for cell in latest(ran, deleted=["gone"])] == ["x = 2", "y = 1"]


@pytest.mark.parametrize("source", ["%pipeline", "%load_ext nb2prod\n", "# look\n%pipeline check", "%%step?"])
def test_cells_about_the_notebook_are_no_part_of_it(source: str) -> None:
    assert latest([RanCell(source, 1, 0, "a")]) == []


def test_a_session_without_ids_keeps_the_last_text_of_each_step() -> None:
    """In a terminal a step that is typed again replaces itself, where it stood; what failed or was refused is gone."""
    ran = [
        RanCell("import os", 1, 0),
        RanCell("%%step a\nx = 1", 2, 0),
        RanCell("%%step b\ny = x", 3, 0),
        RanCell("%%step a\nx = 2", 4, 0),
        RanCell("oops", 5, 0, failed=True),
        RanCell("%%step c --modle m\n1", 6, 0, failed=True, refused=True),
    ]
    session = of_this_session(latest(ran), Path("/work"))
    assert [cell.source for cell in session.cells] == ["import os", "%%step a\nx = 2", "%%step b\ny = x"]
    assert [cell["source"] for cell in as_document(session)["cells"]] == [cell.source for cell in session.cells]


def test_a_session_with_ids_keeps_a_cell_that_was_refused() -> None:
    """It stands in the notebook, and leaving it out would make another pipeline without a word."""
    session = of_this_session([RanCell("%%step c --modle m\n1", 6, 0, "id", failed=True, refused=True)], Path("/work"))
    assert [cell.source for cell in session.cells] == ["%%step c --modle m\n1"]


def test_the_file_is_the_one_that_the_front_end_tells(tmp_path: Path) -> None:
    code, jupyter = tmp_path / "code.ipynb", tmp_path / "jupyter.ipynb"
    jupyter.write_text("{}")
    environment = {"JPY_SESSION_NAME": str(jupyter)}
    assert file_of({}, environment) == jupyter
    assert file_of({"__vsc_ipynb_file__": str(code)}, environment) == jupyter
    code.write_text("{}")
    assert file_of({"__vsc_ipynb_file__": str(code)}, environment) == code
    assert file_of({}, {"JPY_SESSION_NAME": "Console 1-abc"}) is None
