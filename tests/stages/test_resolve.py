"""Star imports are resolved on request, by asking the module in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from nb2prod import api
from tests.notebook_maker import write_notebook

MODULE = "__all__ = ['area', 'width']\nwidth = 3\nheigth = 4\ndef area(x): ...\n"


def told(notebook: Path, *, resolve: bool) -> list[tuple[str, str, int | None]]:
    (checked,) = api.check_all([notebook], resolve=resolve, ignore=["untested-step", "missing-model"])
    return [(finding.code, finding.message, finding.cell) for finding in checked.findings]


def test_a_resolved_star_import_shows_a_misspelled_name(tmp_path: Path) -> None:
    (tmp_path / "shapes.py").write_text(MODULE)
    rows = [("imports", "from shapes import *"), ("step:a", "x = area(width)\ny = heigth")]
    notebook = write_notebook(tmp_path / "nb.ipynb", rows)
    assert told(notebook, resolve=False) == [("star-import", "what `from shapes import *` binds is not known", 0)]
    assert told(notebook, resolve=True) == [
        ("star-import", "what `from shapes import *` binds are 2 names, of which 2 are used", 0),
        ("undefined-name", "nothing before this cell binds `heigth`", 1),
    ]
    assert "shapes" not in sys.modules  # it was imported elsewhere


def test_resolved_names_are_edges_of_the_pipeline(tmp_path: Path) -> None:
    """A step's own star import binds what a later step reads."""
    notebook = write_notebook(tmp_path / "nb.ipynb", [("step:a", "from math import *"), ("step:b", "x = sqrt(pi)")])
    reads = [read for read in api.load_pipeline(notebook, resolve=True).reads if read.cell == 1]
    assert {(read.name, read.binding.cell) for read in reads if read.binding} == {("sqrt", 0), ("pi", 0)}


def test_a_module_that_cannot_be_imported_is_told(tmp_path: Path) -> None:
    rows = [("imports", "from nowhere_to_be_found import *\n\nfrom shapes import *"), ("step:a", "x = 1")]
    (tmp_path / "shapes.py").write_text("raise SystemExit('no shapes today')\n")
    notebook = write_notebook(tmp_path / "nb.ipynb", rows)
    found = [message for code, message, _ in told(notebook, resolve=True) if "cannot be resolved" in message]
    assert found == [
        "`from nowhere_to_be_found import *` cannot be resolved: "
        "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        "`from shapes import *` cannot be resolved: SystemExit: no shapes today",
    ]
