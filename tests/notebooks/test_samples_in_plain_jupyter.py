"""The sample notebooks are ordinary notebooks: clean on disk, and the tagged one needs nothing of nb2prod to run."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SAMPLES = ("mortgage", "flight_delays")
LAST_WORD = "import sys; print('nb2prod' in sys.modules, len(df), auc > 0.75, brier < 0.1)"


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest) -> Path:
    return NOTEBOOKS / f"{request.param}.ipynb"


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_a_sample_is_valid_in_the_format_that_jupyter_writes_today(sample: Path) -> None:
    notebook = json.loads(sample.read_text(encoding="utf-8"))
    nbformat.validate(notebook)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


def test_a_sample_is_kept_without_outputs_and_counts(sample: Path) -> None:
    """Outputs on disk would be those of an older run, and every run would change the file."""
    kept = [(cell.outputs, cell.execution_count) for cell in code_cells(sample)]
    assert kept == [([], None)] * len(kept)


def test_a_sample_has_the_bytes_that_jupyter_would_save(sample: Path) -> None:
    """So that opening and saving it shows no difference in version control."""
    text = sample.read_text(encoding="utf-8")
    assert text == nbformat.writes(nbformat.reads(text, as_version=4)) + "\n"


def test_cells_of_a_sample_have_names_that_a_person_can_read(sample: Path) -> None:
    ids = [cell.id for cell in nbformat.read(sample, as_version=4).cells]
    assert len(set(ids)) == len(ids)
    assert [name for name in ids if not re.fullmatch(r"[a-z]+(-[a-z]+)*", name)] == []


def test_the_data_are_those_that_their_note_describes() -> None:
    digest = hashlib.sha256((NOTEBOOKS / "data" / "hmda.csv").read_bytes()).hexdigest()
    assert digest in (NOTEBOOKS / "data" / "README.md").read_text(encoding="utf-8")


def test_the_flights_notebook_loads_its_magics_before_it_uses_one() -> None:
    first, *others = [cell.source for cell in code_cells(NOTEBOOKS / "flight_delays.ipynb")]
    assert first == "%load_ext nb2prod"
    assert {source.split()[0] for source in others if source.startswith("%")} == {
        *("%%imports", "%%parameters", "%%functions", "%%setup", "%%step", "%%test", "%pipeline")
    }


def test_the_mortgage_notebook_speaks_in_tags_alone() -> None:
    cells = code_cells(NOTEBOOKS / "mortgage.ipynb")
    assert [cell.id for cell in cells if "nb2prod" in cell.source or re.search(r"^\s*[%!]", cell.source, re.M)] == []


def test_the_mortgage_notebook_runs_from_top_to_bottom_without_nb2prod() -> None:
    """In a real kernel, started in the notebook's folder as Jupyter does; its files are afterwards what they were."""
    path = NOTEBOOKS / "mortgage.ipynb"
    before = [file.read_bytes() for file in (path, NOTEBOOKS / "data" / "hmda.csv")]
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(LAST_WORD))

    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOKS)}}
    ).execute()

    assert notebook.cells[-1].outputs[0].text == "False 2377 True True\n"
    assert [file.read_bytes() for file in (path, NOTEBOOKS / "data" / "hmda.csv")] == before
