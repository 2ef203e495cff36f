"""Six notebooks as six different people write them: sound files, understood without a false finding, same numbers."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nb2prod import api
from tests.notebooks.record import NAMES, PRINTED, as_notebook, counts, stdout

HERE = Path(__file__).parent


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sources(path: Path) -> list[str]:
    return [cell.source for cell in as_notebook(path).cells if cell.cell_type == "code"]


def test_a_notebook_is_valid_and_kept_without_outputs(name: str) -> None:
    notebook = as_notebook(HERE / name)
    nbformat.validate(notebook)
    assert [cell.outputs for cell in notebook.cells if cell.cell_type == "code" and cell.outputs] == []
    assert 12 <= len(notebook.cells) <= 30


def test_its_untagged_version_is_the_notebook_before_anybody_tagged_it(name: str) -> None:
    notebook = as_notebook(HERE / "untagged" / name)
    text = "\n".join(sources(HERE / "untagged" / name))
    assert [cell.metadata.get("tags") for cell in notebook.cells if cell.metadata.get("tags")] == []
    assert re.findall(r"nb2prod|%%(?:step|test|imports|parameters|functions|setup)\b|def test_", text) == []


@pytest.mark.parametrize("file", ["hmda.csv", "stdlib_docstrings.csv"])
def test_the_data_are_those_that_their_note_describes(file: str) -> None:
    digest = hashlib.sha256((HERE / "data" / file).read_bytes()).hexdigest()
    assert digest in (HERE / "data" / "README.md").read_text(encoding="utf-8")


def test_a_notebook_has_four_steps_a_model_an_example_a_test_and_a_parameter(name: str) -> None:
    pipeline = api.load_pipeline(HERE / name)
    assert len(pipeline.steps) >= 4
    assert pipeline.model is not None
    assert pipeline.example is not None
    assert len(pipeline.all_tests) >= 1
    assert len(pipeline.parameters) >= 3


def test_a_notebook_has_no_error(name: str) -> None:
    findings = api.check(HERE / name)
    assert [(f.code, f.cell, f.message) for f in findings if f.severity == "error"] == []


def test_a_run_prints_what_the_plain_notebook_prints(tmp_path: Path) -> None:
    """One of the six, a Kale notebook; all of them in isolated steps are compared where steps are isolated."""
    name = NAMES[0]
    out = tmp_path / "out.ipynb"
    api.run(HERE / name, trackers=(), runs=tmp_path / "runs", output=out)
    executed: Any = nbformat.read(out, as_version=4)
    expected: dict[str, str] = json.loads(PRINTED.read_text(encoding="utf-8"))[name]
    cells = {str(index): stdout(cell) for index, cell in enumerate(executed.cells) if counts(cell, kale=True)}
    assert {index: text for index, text in cells.items() if text} == expected
