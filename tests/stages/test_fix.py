"""A corrected copy: what is certain is changed, and nothing else of the file, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nb2prod import api
from nb2prod.core.edit import Edit, Fix, Retag
from nb2prod.core.errors import UsageError
from nb2prod.core.finding import Finding
from nb2prod.stages.fix import fixed, fixes_for
from tests.notebook_maker import write_notebook

FINDING = Finding("no-seed", "warning", "", cell=0)


def notebook(source: Any, **changes: Any) -> dict[str, Any]:
    output = {"output_type": "stream", "name": "stdout", "text": ["é\n"]}
    cell = {"cell_type": "code", "id": "a", "metadata": {"tags": ["stpe:a"]}, "outputs": [output], "source": source}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "own": {"x": [1.0, 2]}}
    return {
        "cells": [{**cell, "execution_count": 3, **changes}],
        "metadata": kernel,
        "nbformat": 4,
        "nbformat_minor": 5,
    }


FORMS = [(indent, ascii_only, end) for indent in (1, 2, None) for ascii_only in (True, False) for end in ("", "\n")]


@pytest.mark.parametrize(("indent", "ascii_only", "end"), FORMS)
def test_what_no_edit_names_stays_byte_for_byte(indent: int | None, ascii_only: bool, end: str) -> None:
    text = json.dumps(notebook(["x = 'é'\n", "y = 1"]), indent=indent, ensure_ascii=ascii_only) + end
    assert fixed(text.encode(), []) == text.encode()
    edits = (Edit(0, (2, 4), (2, 5), "2"), Retag(0, "stpe:a", "step:a"))
    after = fixed(text.encode(), [Fix(FINDING, edits)])
    assert after == text.replace("y = 1", "y = 2").replace("stpe", "step").encode()


SOURCES = [
    (["a = 1\n", "b = 2\n"], Edit(0, (2, 4), (2, 5), "3"), ["a = 1\n", "b = 3\n"]),
    ("a = 1\nb = 2", Edit(0, (1, 0), (1, 1), "é"), "é = 1\nb = 2"),
    (["a = 1"], Edit(0, (1, 5), (1, 5), "\nb = 2"), ["a = 1\n", "b = 2"]),
    ("a = 1\r\nb = 2", Edit(0, (2, 5), (2, 5), "\nc = 3"), "a = 1\r\nb = 2\r\nc = 3"),
    ("f(\n  1)", Edit(0, (1, 1), (2, 4), "(2)"), "f(2)"),
]


@pytest.mark.parametrize(("source", "edit", "after"), SOURCES)
def test_an_edit_keeps_the_form_of_the_source(source: Any, edit: Edit, after: Any) -> None:
    content = json.dumps(notebook(source)).encode()
    assert json.loads(fixed(content, [Fix(FINDING, (edit,))]))["cells"][0]["source"] == after


def test_edits_of_one_cell_do_not_move_each_other() -> None:
    fixes = [Fix(FINDING, (Edit(0, (1, 0), (1, 1), "long"),)), Fix(FINDING, (Edit(0, (1, 4), (1, 5), "22"),))]
    after = json.loads(fixed(json.dumps(notebook("a = 1")).encode(), fixes))
    assert after["cells"][0]["source"] == "long = 22"


def test_fixes_that_meet_wait(tmp_path: Path) -> None:
    pipeline = api.load_pipeline(write_notebook(tmp_path / "nb.ipynb", [("", "x = 1")]))
    places = {
        "one": Edit(0, (1, 0), (1, 3), "a"),
        "two": Edit(0, (1, 2), (1, 4), "b"),
        "three": Edit(0, (1, 5), (1, 5), ""),
    }
    findings = [Finding(code, "note", "", cell=0) for code in places]
    offers = {code: (lambda _, finding: (places[finding.code],)) for code in places}
    assert [fix.finding.code for fix in fixes_for(pipeline, findings, offers)] == ["one", "three"]


def test_a_path_becomes_a_parameter(tmp_path: Path) -> None:
    rows = [
        ("parameters", "n: int = 1"),
        ("step:a", "f = open('/home/ada/loans 2.csv')\ng = open('/mnt/x/loans 2.csv')"),
    ]
    copy, difference, count = api.fix(write_notebook(tmp_path / "nb.ipynb", rows), select=["absolute-path"])
    assert (copy, count) == (tmp_path / "nb.fixed.ipynb", 2)
    cells = api.load_pipeline(tmp_path / "nb.fixed.ipynb").notebook.cells
    assert [cell.source for cell in cells] == [
        "n: int = 1\nloans_2_path: str = '/home/ada/loans 2.csv'\nloans_2_path2: str = '/mnt/x/loans 2.csv'",
        "f = open(loans_2_path)\ng = open(loans_2_path2)",
    ]
    assert "+f = open(loans_2_path)" in difference


def test_the_input_and_what_is_there_are_never_written(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", [("stpe:a", "x = 1")])
    before = path.read_bytes()
    for output in (path, write_notebook(tmp_path / "other.ipynb", [("", "mine = 1")])):
        with pytest.raises(UsageError, match="is there already"):
            api.fix(path, output)
    assert path.read_bytes() == before
    assert "mine" in (tmp_path / "other.ipynb").read_text()


def test_nothing_to_correct_writes_nothing(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "nb.ipynb", [("step:a", "x = 1")])
    assert api.fix(path) == (None, "", 0)
    assert [p.name for p in tmp_path.iterdir()] == ["nb.ipynb"]


def test_what_a_comment_silences_is_not_corrected(tmp_path: Path) -> None:
    rows = [
        ("imports", "from sklearn.cluster import KMeans"),
        ("step:a", "k = KMeans()  # nb2prod: ignore[no-seed]"),
    ]
    assert api.fix(write_notebook(tmp_path / "nb.ipynb", rows))[0] is None


def test_a_difference_shows_no_secret(tmp_path: Path) -> None:
    rows = [("stpe:a", "password = 'tr0ub4dor'")]
    _, difference, _ = api.fix(write_notebook(tmp_path / "nb.ipynb", rows))
    assert "+tags: step:a" in difference
    assert "tr0ub4dor" not in difference


def test_scripts_are_refused(tmp_path: Path) -> None:
    script = tmp_path / "nb.py"
    script.write_text("# %%\nx = 1\n")
    with pytest.raises(UsageError, match=r"corrects \.ipynb files"):
        api.fix(script)
