"""A notebook's text is what nbformat writes, and only cells that changed are written anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nb2prod.storage.notebook_node import NotebookText, _indented, from_dict

NOTEBOOKS = sorted(Path("tests/notebooks").glob("*.ipynb")) + sorted(Path("notebooks").glob("*.ipynb"))
MADE = {
    "cells": [
        {
            "cell_type": "markdown",
            "id": "a",
            "metadata": {},
            "source": "# ü\nx",
            "attachments": {"p": {"text/x": "1\n2"}},
        },
        {
            "cell_type": "code",
            "id": "b",
            "metadata": {"trusted": True, "tags": ["step:a"]},
            "execution_count": 3,
            "source": "x\r\ny\u2028z",
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": 'a\n\tb"c\n'},
                {
                    "output_type": "display_data",
                    "metadata": {},
                    "data": {"image/png": "aGk=\n", "text/plain": "<F>\n1", "application/json": {"k": ["a\nb"]}},
                },
                {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["\x1b[31mx\n"]},
            ],
        },
        {"cell_type": "raw", "id": "c", "metadata": {}, "source": ""},
    ],
    "metadata": {"signature": "s", "kernelspec": {"name": "python3"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_reads_as_nbformat_writes_it(path: Path) -> None:
    theirs = nbformat.read(path, 4)
    assert NotebookText(from_dict(theirs)).text() == nbformat.writes(theirs)


def test_every_kind_of_cell_and_output_reads_as_nbformat_writes_it() -> None:
    node = from_dict(MADE)
    assert NotebookText(node).text() == nbformat.writes(nbformat.from_dict(MADE))
    empty = {**MADE, "cells": []}
    assert NotebookText(from_dict(empty)).text() == nbformat.writes(nbformat.from_dict(empty))
    assert node.cells[1].outputs[0].name == "stdout"
    with pytest.raises(AttributeError, match="nowhere"):
        node.cells[0].nowhere  # noqa: B018


def test_a_changed_cell_is_written_anew_and_the_others_are_kept() -> None:
    node = from_dict(MADE)
    text = NotebookText(node)
    before = text.text()
    node.cells[1].source = "new"
    assert text.text() == before
    text.changed([1])
    assert json.loads(text.text())["cells"][1]["source"] == ["new"]


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
names = st.text() | st.integers() | st.booleans()
value = st.recursive(
    plain, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.dictionaries(names, inner)
)


@given(value, st.integers(0, 3))
def test_a_value_is_written_as_json_writes_it(value: Any, depth: int) -> None:
    try:
        expected = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, separators=(",", ": "))
    except TypeError:
        with pytest.raises(TypeError):
            _indented(value, depth)
        return
    assert _indented(value, depth) == expected.replace("\n", "\n" + " " * depth)
