"""What the checks say of tags that are not ours, and of those that nearly are."""

from __future__ import annotations

from pathlib import Path

import pytest

from nb2prod import plugins
from nb2prod.core.finding import Finding
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.stages.compile import compile

CODES = ("dialect", "expected-failure", "included-notebook", "misspelled-tag", "unknown-tag")


def found(*cells: Cell) -> list[Finding]:
    pipeline = compile(Notebook(Path("nb.py"), cells, kernel="python3"))
    return [finding for code in CODES for finding in plugins.find("checks", code).check(pipeline)]


SPEAKING = [
    (Cell(0, "code", "x = 1", ("step:a", "raises-exception")), "expected-failure", "stopping step a", True),
    (Cell(0, "code", "x = 1", ("setup", "raises-exception")), "expected-failure", "a cell `setup`", True),
    (Cell(0, "code", "# NBVAL_RAISES_EXCEPTION\n1 / 0"), "expected-failure", "a run stops there", False),
    (
        Cell(0, "code", "", ("notebook:b",), metadata={"notebook_path": "b.ipynb"}),
        "included-notebook",
        "b.ipynb",
        False,
    ),
    (Cell(0, "code", "x = 1", metadata={"title": "step:train"}), "misspelled-tag", "has the title", False),
    (
        Cell(0, "code", "x = 1", metadata={"incorrectly_encoded_metadata": "tags=[step:a]"}),
        "misspelled-tag",
        "cannot be read",
        False,
    ),
    (Cell(0, "code", "x = 1", ("model",)), "unknown-tag", "means nothing here", False),
    (Cell(0, "markdown", "# Train", ("step:train",)), "unknown-tag", "holds no code", False),
]


@pytest.mark.parametrize(("cell", "code", "said", "isolated"), SPEAKING)
def test_what_would_be_lost_is_said(cell: Cell, code: str, said: str, isolated: bool) -> None:
    (finding,) = found(cell)
    assert (finding.code, finding.isolated) == (code, isolated)
    assert said in finding.message
    assert finding.fix


SILENT = [
    Cell(0, "code", "1 / 0", ("raises-exception",)),
    Cell(0, "code", "1 / 0", ("skip", "step:a", "raises-exception")),
    Cell(0, "code", "1 / 0  # NBVAL_RAISES_EXCEPTION", ("raises-exception",)),
    Cell(0, "code", "", ("notebook:b", "skip")),
    Cell(0, "code", "x = 1", metadata={"title": "Train: a model"}),
    Cell(0, "code", "x = 1", metadata={"title": "test: compare the model:s"}),
    Cell(0, "code", "x = 1", metadata={"title": "imports"}),
    Cell(0, "code", "x = 1", ("step:a",), metadata={"title": "train", "name": "x"}),
    Cell(0, "markdown", "# Train", ("remove-cell", "intro", "skip")),
    Cell(0, "code", "x = 1", ("hide-input", "outputPrepend", "image:python:3.11", "step:a")),
]


@pytest.mark.parametrize("cell", SILENT)
def test_what_does_no_harm_is_not_spoken_of(cell: Cell) -> None:
    assert found(cell) == []
