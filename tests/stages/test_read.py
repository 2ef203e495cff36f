"""A notebook file is read whatever its version, or refused with the place; it is never changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nb2prod.core.errors import NotANotebook, StoreError
from nb2prod.stages.read import read


def document(**changes: Any) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": "x = 1"}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": [cell], **changes}


def write(path: Path, content: Any) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


REFUSED = [
    (b"", "the file is empty"),
    (b"  \n", "the file is empty"),
    (b"[]", "its top level is a list"),
    (b"{}", "neither `cells` nor `worksheets`"),
    (b'{"nbformat": 4}', "no list `cells`"),
    (b'{"nbformat": 4, "cells": {}}', "no list `cells`"),
    (b'{"nbformat": 4, "cells": [', "line 1, column"),
    (b"\xff\xfe", "not UTF-8"),
    (b'{"nbformat": 4, "cells": [{"cell_type": "video"}]}', "cell 0 has no known cell_type"),
    (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 3}]}', "source of cell 0"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"nbformat": 4, "cells": [], "x": ' + b"9" * 6000 + b"}", "its JSON cannot be read"),
]


@pytest.mark.parametrize(("content", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_is_no_notebook_is_refused_with_the_place(tmp_path: Path, content: bytes, reason: str) -> None:
    path = write(tmp_path / "a.ipynb", content)
    with pytest.raises(NotANotebook, match="not a notebook") as refused:
        read(path)
    assert reason in str(refused.value)
    assert str(path) in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_file_that_is_not_there_names_a_near_one(tmp_path: Path) -> None:
    write(tmp_path / "mortgage.ipynb", document())
    with pytest.raises(StoreError) as refused:
        read(tmp_path / "mortage.ipynb")
    assert "mortgage.ipynb" in refused.value.fix
    assert refused.value.exit_code == 7


def test_a_folder_and_another_language_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotANotebook, match="it is a folder"):
        read(tmp_path)
    other = document(metadata={"kernelspec": {"name": "ir", "language": "R"}})
    with pytest.raises(NotANotebook, match="written in R"):
        read(write(tmp_path / "r.ipynb", other))


def test_line_ends_and_byte_order_marks_and_lists_of_lines_make_no_difference(tmp_path: Path) -> None:
    sources = ["x = 1\ny = 2", "x = 1\r\ny = 2", ["x = 1\n", "y = 2"], ["x = 1\r\n", "y = 2"]]
    cells = [{"cell_type": "code", "metadata": {}, "source": source} for source in sources]
    text = json.dumps(document(cells=cells)).encode()
    with_mark = read(write(tmp_path / "a.ipynb", b"\xef\xbb\xbf" + text))
    assert len({cell.digest for cell in with_mark.cells}) == 1
    assert with_mark.cells == read(write(tmp_path / "b.ipynb", text)).cells


def test_nbformat_3_is_upgraded_in_memory_and_the_file_stays(tmp_path: Path) -> None:
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": ""},
        "worksheets": [
            {
                "metadata": {},
                "cells": [
                    {"cell_type": "heading", "level": 1, "metadata": {}, "source": ["Title"]},
                    {"cell_type": "code", "language": "python", "metadata": {}, "outputs": [], "collapsed": False,
                     "input": ["x = 1\n", "y = 2"]},
                ],
            }
        ],
    }  # fmt: skip
    path = write(tmp_path / "old.ipynb", old)
    before = path.read_bytes()
    notebook = read(path)
    assert [(cell.kind, cell.source) for cell in notebook.cells] == [("markdown", "# Title"), ("code", "x = 1\ny = 2")]
    assert notebook.format == "3.0"
    assert path.read_bytes() == before


def test_doubtful_files_are_read_with_a_finding(tmp_path: Path) -> None:
    cell = document()["cells"][0]
    notebook = read(write(tmp_path / "a.ipynb", document(metadata={}, cells=[cell, cell])))
    assert [(note.code, note.cell) for note in notebook.notes] == [("duplicate-cell-id", 1), ("no-kernel", None)]


@pytest.mark.parametrize("kernel", [None, "python3", 3, {}, {"name": None}, {"language": "python"}])
def test_a_kernel_that_is_not_named_is_said_and_nothing_fails(tmp_path: Path, kernel: Any) -> None:
    notebook = read(write(tmp_path / "a.ipynb", document(metadata={"kernelspec": kernel, "language_info": kernel})))
    assert (notebook.kernel, [note.code for note in notebook.notes]) == (None, ["no-kernel"])
