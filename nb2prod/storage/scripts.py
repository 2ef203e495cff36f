"""Notebooks that are written as `.py` files: jupytext's formats (percent, light, Spyder, nbconvert's) and Databricks'.

    # %% tags=["step:train"]         a cell (VS Code, Spyder, PyCharm, jupytext percent)
    # + tags=["step:train"]          a cell (jupytext light)
    # In[3]:                         a cell (what nbconvert writes)
    # COMMAND ----------             between two cells (Databricks)
    # %%step train                   a cell whose first line is our magic

jupytext reads all but Databricks' files. Magics stand there as comments (`# %matplotlib inline`) and are code again
here. jupytext goes further: it takes the comment `# rm all the rows` for a shell command. That would be run, so only
`%NAME`, `!COMMAND` and `NAME = %…` count here.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nb2prod.core.errors import NotANotebook

# any of these makes a file of Python code a notebook
MARKER = re.compile(
    r"^(?:#\s*%%|# \+\s*(?:$|[^\n]*[={\[])|# In\[[\d ]*\]:?|# <codecell>|# COMMAND -{5,}|# Databricks notebook source)",
    re.MULTILINE,
)
HEADER = re.compile(r"^# ---\s*\n(?:#[^\n]*\n)*?#\s+(?:jupyter|jupytext|kernelspec)\s*:", re.MULTILINE)
MARIMO = re.compile(r"^(?:app = marimo\.App\(|__generated_with = )", re.MULTILINE)
CELL_OF_OURS = re.compile(r"^#\s?%%(?:parameters|imports|functions|setup|step|test)\b")
COMMENTED_MAGIC = re.compile(
    r"(?P<indent>\s*)#\s?(?P<code>%{1,2}(?:[A-Za-z_]\w+|R\b).*|![\w.~$\\/{].*|\w+\s*=\s*[%!][A-Za-z].*)"
)
UNCOMMENTED = ("percent", "light", "nomarker", "spyder", "sphinx")  # formats in which magics are comments
DATABRICKS = "# Databricks notebook source"
LANGUAGES = {"%sh": "%%bash", "%sql": "%%sql", "%scala": "%%scala", "%r": "%%R"}


def parsed(path: Path, content: bytes) -> tuple[dict[str, Any], str]:
    """A document of nbformat 4, and the format that the file has. Raises NotANotebook for other Python code."""
    text = _text(path, content)
    if MARIMO.search(text):
        fix = f"make a Jupyter notebook of it: marimo export ipynb {path.name} -o {path.stem}.ipynb"
        raise NotANotebook("it is a marimo notebook", where=str(path), fix=fix)
    if text.startswith(DATABRICKS):
        return _document([_databricks_cell(block) for block in _blocks(text)], {}), "databricks"
    if not MARKER.search(text) and not HEADER.search(text):
        raise NotANotebook(
            "it is Python code without cells, and no notebook",
            where=str(path),
            fix="write a line `# %%` above each cell, or name the notebook that uses it",
        )
    return _by_jupytext(path, text)


def _text(path: Path, content: bytes) -> str:
    """As Python reads a source file: a byte-order mark, an encoding that a comment declares, any line ends."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
    except (SyntaxError, UnicodeDecodeError) as error:
        reason = f"not a notebook: its text cannot be read: {error}"
        raise NotANotebook(reason, where=str(path), fix="save it as UTF-8") from error
    # jupytext refuses to hear of another encoding, and the text has none any more
    text = re.sub(r"\A((?:#[^\n]*\n)?#.*?coding[:=][ \t]*)[-\w.]+", r"\1utf-8", text)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _document(cells: list[dict[str, Any]], metadata: dict[str, Any]) -> dict[str, Any]:
    return {"nbformat": 4, "nbformat_minor": 4, "metadata": metadata, "cells": cells}


# -- jupytext -------------------------------------------------------------------------------------------------------


def _by_jupytext(path: Path, text: str) -> tuple[dict[str, Any], str]:
    import jupytext

    written = _with_kernels_display_name(_with_cells_of_ours(text))
    try:
        read = jupytext.reads(written, fmt={"extension": ".py", "comment_magics": False})
    except Exception as error:
        reason = f"not a notebook: jupytext cannot read it: {str(error).partition(chr(10))[0]}"
        raise NotANotebook(reason, where=str(path), fix="check its header and the lines that begin cells") from error
    about = read.metadata.get("jupytext", {})
    form = str(about.get("text_representation", {}).get("format_name", "light"))
    as_they_are = HEADER.search(text) is not None and "comment_magics: false" in text
    magics = form in UNCOMMENTED and not as_they_are
    cells = [_jupytext_cell(cell, magics) for cell in read.cells]
    metadata = {name: value for name, value in read.metadata.items() if name != "jupytext"}
    return _document(cells, metadata), f"py:{form}"


def _with_cells_of_ours(text: str) -> str:
    """`# %%step train` begins a cell, as it does in VS Code: jupytext takes it for a line of the cell above."""
    lines: list[str] = []
    for line in text.split("\n"):
        above = next((there for there in reversed(lines) if there.strip()), "")
        if CELL_OF_OURS.match(line) and not MARKER.match(above) and not HEADER.search(text):
            lines.append("# %%")
        lines.append(line)
    return "\n".join(lines)


def _with_kernels_display_name(text: str) -> str:
    """A header that a person wrote may name a kernel and no more; jupytext wants what Jupyter shows for it too."""
    header = re.match(r"(?:#[^\n]*\n)*", text)
    if header is None or "kernelspec:" not in header[0] or "display_name:" in header[0]:
        return text
    return re.sub(r"^(#\s+)name:(.*)$", r"\1name:\2\n\1display_name:\2", text, count=1, flags=re.MULTILINE)


def _jupytext_cell(cell: Any, magics: bool) -> dict[str, Any]:
    metadata = {name: value for name, value in cell.metadata.items() if name != "lines_to_next_cell"}
    source = uncommented(cell.source) if magics and cell.cell_type == "code" else cell.source
    return _cell(cell.cell_type, source.strip("\n"), metadata)


def uncommented(source: str) -> str:
    """The magics among a cell's comments as code. What stands in a text of several lines stays as it is."""
    from jupytext.stringparser import StringParser

    quotes, continued, lines = StringParser("python"), False, []
    for line in source.split("\n"):
        found = None if quotes.is_quoted() else COMMENTED_MAGIC.fullmatch(line)
        code = found["indent"] + found["code"] if found else re.sub(r"^# ?", "", line) if continued else line
        continued = (found is not None or continued) and code.rstrip().endswith("\\")
        quotes.read_line(line)
        lines.append(code)
    return "\n".join(lines)


# -- Databricks -----------------------------------------------------------------------------------------------------


def _blocks(text: str) -> Iterator[str]:
    body = text.removeprefix(DATABRICKS)
    return (block.strip("\n") for block in re.split(r"^# COMMAND -+\s*$", body, flags=re.MULTILINE))


def _databricks_cell(block: str) -> dict[str, Any]:
    title = re.match(r"# DBTITLE \d+,(.*)\n?", block)
    source = block[title.end() :] if title else block
    metadata = {"title": title[1]} if title else {}
    lines = source.split("\n")
    if not all(re.match(r"# MAGIC( |$)", line) for line in lines if line.strip()) or not source.strip():
        # a line magic among code; every other line is as it is
        return _cell("code", re.sub(r"^# MAGIC ?", "", source, flags=re.MULTILINE), metadata)
    plain = "\n".join(re.sub(r"^# MAGIC ?", "", line) for line in lines)
    word, _, rest = plain.partition("\n") if re.match(r"%\w+\s*\n", plain) else plain.partition(" ")
    if word.strip() in ("%md", "%md-sandbox"):
        return _cell("markdown", rest.strip("\n"), metadata)
    if word.strip() == "%python":
        return _cell("code", rest.strip("\n"), metadata)
    return _cell("code", f"{LANGUAGES[word.strip()]}\n{rest}" if word.strip() in LANGUAGES else plain, metadata)


def _cell(kind: str, source: str, metadata: dict[str, Any]) -> dict[str, Any]:
    outputs: dict[str, Any] = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "source": source, "metadata": metadata, **outputs}
