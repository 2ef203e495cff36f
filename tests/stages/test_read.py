"""A notebook file is read whatever its version, or refused with the place; it is never changed."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from nb2prod.core.errors import NotANotebook, StoreError
from nb2prod.stages.read import read
from tests.notebook_maker import write_notebook


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
    (b'{"nbformat": 5, "cells": []}', "nbformat 5, and 4 is the newest known"),
    (b'{"nbformat": 3, "worksheets": 7}', "nbformat cannot upgrade it"),
    (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x\\n\\ud83d"}]}', "cell 0, line 2 holds half"),
    (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "metadata": {"tags": 3}}]}', "tags of cell 0"),
    (b'{\n "cells": [\n<<<<<<< HEAD\n', "a merge conflict at line 3"),
    (b"\n<!DOCTYPE html>\n<html>", "it is a web page"),
    (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    (b"PK\x03\x04...", "a zip archive"),
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


def old_document(**metadata: Any) -> dict[str, Any]:
    outputs = [{"output_type": "pyout", "prompt_number": 2, "text": ["3"], "metadata": {}}, {"output_type": "weird"}]
    cell = {"cell_type": "code", "language": "python", "metadata": {"tags": ["step:a"]}, "outputs": outputs,
            "collapsed": False, "prompt_number": 2, "input": "x = 1"}  # fmt: skip
    return {"nbformat": 3, "nbformat_minor": 0, "metadata": metadata, "worksheets": [{"cells": [cell]}]}


def test_nbformat_3_is_read_twice_the_same_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "old.ipynb", old_document(name=""))
    first, second = read(path), read(path)
    assert first == second
    assert (first.cells[0].source, first.cells[0].execution_count, first.cells[0].tags) == ("x = 1", 2, ("step:a",))
    assert first.cells[0].id == ""
    assert capfd.readouterr() == ("", "")


def test_an_old_notebook_of_another_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotANotebook, match="written in Julia"):
        read(write(tmp_path / "old.ipynb", old_document(name="", language="Julia")))


def test_nbformat_2_is_upgraded(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "language": "python", "outputs": [], "input": "x = 1"}]
    two = {"nbformat": 2, "metadata": {"name": ""}, "worksheets": [{"cells": cells}]}
    notebook = read(write(tmp_path / "old.ipynb", two))
    assert ([cell.source for cell in notebook.cells], notebook.format) == (["x = 1"], "2.0")


VERSIONS = [({"nbformat_minor": minor}, f"4.{minor}") for minor in range(6)] + [
    ({"nbformat_minor": None}, "4.0"),
    ({"nbformat": None}, "4.5"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "form"), VERSIONS)
def test_every_minor_version_of_nbformat_4_is_read(tmp_path: Path, changes: dict[str, Any], form: str) -> None:
    notebook = read(write(tmp_path / "a.ipynb", document(**changes)))
    assert (notebook.format, notebook.cells[0].source) == (form, "x = 1")


def test_what_a_cell_lacks_does_no_harm(tmp_path: Path) -> None:
    bare = {"cell_type": "code"}
    odd = {"cell_type": "code", "source": "x", "metadata": None, "execution_count": "7", "id": None, "outputs": None}
    text = {"cell_type": "markdown", "source": "half \ud83d", "metadata": {"tags": None}}
    cells = read(write(tmp_path / "a.ipynb", document(cells=[bare, odd, text]))).cells
    assert [(cell.source, cell.tags, cell.execution_count, cell.id) for cell in cells] == [
        ("", (), None, ""), ("x", (), None, ""), ("half ?", (), None, ""),
    ]  # fmt: skip


PYTHON_2 = [
    ({"kernelspec": {"name": "python2", "language": "python"}}, ["python-2"]),
    ({"kernelspec": {"name": "conda-root-py"}, "language_info": {"name": "python", "version": "2.7.11"}}, ["python-2"]),
    ({"kernelspec": {"name": "conda-env-x-py", "language": "python"}, "language_info": {"version": "3.8.1"}}, []),
]


@pytest.mark.parametrize(("metadata", "codes"), PYTHON_2)
def test_a_notebook_of_python_2_is_said_to_be_one(tmp_path: Path, metadata: Any, codes: list[str]) -> None:
    notebook = read(write(tmp_path / "a.ipynb", document(metadata=metadata)))
    assert [note.code for note in notebook.notes] == codes
    assert notebook.kernel == metadata["kernelspec"]["name"]


def test_the_notebooks_own_metadata_is_there_for_dialects(tmp_path: Path) -> None:
    metadata = {"kubeflow_notebook": {"pipeline_name": "p"}, "kernelspec": {"name": "python3"}}
    assert read(write(tmp_path / "a.ipynb", document(metadata=metadata))).metadata["kubeflow_notebook"] == {
        "pipeline_name": "p"
    }


def test_doubtful_files_are_read_with_a_finding(tmp_path: Path) -> None:
    cell = document()["cells"][0]
    notebook = read(write(tmp_path / "a.ipynb", document(metadata={}, cells=[cell, cell])))
    assert [(note.code, note.cell) for note in notebook.notes] == [("duplicate-cell-id", 1), ("no-kernel", None)]


@pytest.mark.parametrize("kernel", [None, "python3", 3, {}, {"name": None}, {"language": "python"}])
def test_a_kernel_that_is_not_named_is_said_and_nothing_fails(tmp_path: Path, kernel: Any) -> None:
    notebook = read(write(tmp_path / "a.ipynb", document(metadata={"kernelspec": kernel, "language_info": kernel})))
    assert (notebook.kernel, [note.code for note in notebook.notes]) == (None, ["no-kernel"])


# -- .py files ------------------------------------------------------------------------------------------------------

LIGHT = """\
# ---
# jupyter:
#   kernelspec:
#     name: python3
# ---

# Text

# + tags=["step:a"]
x = 1

y = 2
# -
z = 3
"""
OUR_MAGICS = """\
# %%parameters
n = 1

# %%step train
x = n

y = 2
# %% [markdown]
# end
"""
DATABRICKS = """\
# Databricks notebook source
# MAGIC %md
# MAGIC # Title

# COMMAND ----------

# DBTITLE 1,Load
# MAGIC %%step load
# MAGIC x = 1

# COMMAND ----------

# MAGIC %sh ls

# COMMAND ----------

x = 2
# MAGIC %time x
"""
# kind, tags and source of each cell that is not empty
SCRIPTS: list[tuple[str, str, list[tuple[str, tuple[str, ...], str]]]] = [
    (
        '# %% [markdown] A title\n# # Hello\n\n# %% tags=["step:train", "model:m"]\nm = 1\n',
        "py:percent",
        [("markdown", (), "# Hello"), ("code", ("step:train", "model:m"), "m = 1")],
    ),
    ("#%%\nx = 1\n#%% more\ny = 2\n", "py:percent", [("code", (), "x = 1"), ("code", (), "y = 2")]),
    ("# %%\n%matplotlib inline\nx = 1\n", "py:hydrogen", [("code", (), "%matplotlib inline\nx = 1")]),
    (LIGHT, "py:light", [("markdown", (), "Text"), ("code", ("step:a",), "x = 1\n\ny = 2"), ("code", (), "z = 3")]),
    ('# + tags=["parameters"]\nn = 1\n', "py:light", [("code", ("parameters",), "n = 1")]),
    (
        "#!/usr/bin/env python\n# coding: utf-8\n\n# In[1]:\n\n\nx = 1\n\n\n# In[ ]:\n\n\ny = 2\n",
        "py:percent",
        [("code", (), "x = 1"), ("code", (), "y = 2")],
    ),
    (
        OUR_MAGICS,
        "py:percent",
        [
            ("code", (), "%%parameters\nn = 1"),
            ("code", (), "%%step train\nx = n\n\ny = 2"),
            ("markdown", (), "end"),
        ],
    ),
    ("# %%\n# %%step train\nx = 1\n", "py:percent", [("code", (), "%%step train\nx = 1")]),
    (
        DATABRICKS,
        "databricks",
        [
            ("markdown", (), "# Title"),
            ("code", (), "%%step load\nx = 1"),
            ("code", (), "%%bash\nls"),
            ("code", (), "x = 2\n%time x"),
        ],
    ),
]
NAMES = [
    "percent",
    "VS Code",
    "hydrogen",
    "light",
    "light, no header",
    "nbconvert",
    "magics",
    "magic below",
    "Databricks",
]


@pytest.mark.parametrize(("text", "form", "cells"), SCRIPTS, ids=NAMES)
def test_a_script_with_cells_is_a_notebook(
    tmp_path: Path, text: str, form: str, cells: list[tuple[str, tuple[str, ...], str]]
) -> None:
    for name, content in [("a.py", text.encode()), ("b.py", b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())]:
        notebook = read(write(tmp_path / name, content))
        assert [(cell.kind, cell.tags, cell.source) for cell in notebook.cells if cell.source] == cells
        assert (notebook.format, notebook.digest) == (form, hashlib.sha256(content).hexdigest())
        assert notebook == read(tmp_path / name)


def test_the_kernel_of_a_script_is_in_its_header(tmp_path: Path) -> None:
    header = (
        "# ---\n# jupyter:\n#   kernelspec:\n#     display_name: P\n#     language: python\n#     name: mine\n# ---\n\n"
    )
    assert read(write(tmp_path / "a.py", f"{header}# %%\nx = 1\n".encode())).kernel == "mine"
    without = read(write(tmp_path / "b.py", b"# %%\nx = 1\n"))
    assert (without.kernel, [note.code for note in without.notes], without.name) == (None, ["no-kernel"], "b")


def test_a_script_is_read_in_the_encoding_that_it_declares(tmp_path: Path) -> None:
    text = "# -*- coding: latin-1 -*-\n# %%\nprénom = 'é'\n"
    assert "prénom" in read(write(tmp_path / "a.py", text.encode("latin-1"))).cells[-1].source


NO_NOTEBOOKS = [
    (b"", "the file is empty"),
    (b"import os\n\n# a comment\ndef f(): ...\n", "Python code without cells"),
    (b"import marimo\n\napp = marimo.App()\n\n\n@app.cell\ndef _():\n    x = 1\n", "it is a marimo notebook"),
    (b"# coding: klingon\n# %%\n", "its text cannot be read"),
    (b"# %%\nx = '\xff'\n", "its text cannot be read"),
]


@pytest.mark.parametrize(("content", "reason"), NO_NOTEBOOKS, ids=[reason for _, reason in NO_NOTEBOOKS])
def test_other_python_files_are_refused_with_what_to_do(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(NotANotebook) as refused:
        read(write(tmp_path / "a.py", content))
    assert reason in str(refused.value)
    assert refused.value.fix


def test_reading_a_notebook_that_is_no_script_loads_no_jupytext() -> None:
    code = "import sys; from pathlib import Path; from nb2prod.stages.read import read"
    check = (
        f"{code}; read(Path('notebooks/mortgage.ipynb'));"
        " print([m for m in ('jupytext', 'nbformat', 'IPython') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    told = subprocess.run([sys.executable, "-c", check], cwd=root, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_a_notebook_that_is_being_saved_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """Jupyter empties the file first: who reads in that moment must not be told that the notebook is empty."""
    whole = write_notebook(tmp_path / "nb.ipynb", [("step:a", "x = 1")]).read_bytes()
    path = tmp_path / "nb.ipynb"
    for half in (b"", whole[:40]):
        path.write_bytes(half)
        threading.Timer(0.2, path.write_bytes, [whole]).start()
        assert [cell.source for cell in read(path).cells] == ["x = 1"]
