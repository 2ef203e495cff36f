"""A notebook in memory while it runs, and its text as nbformat writes it, without importing nbformat.

    node = from_dict({"cells": [...], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    node.cells[0].source                     attributes and keys are the same, as in nbformat
    NotebookText(node).text()                what `nbformat.writes(node)` gives

To import nbformat takes a second where jsonschema has all of its optional parts. And a notebook that is saved again and
again is mostly the same: `NotebookText` writes out only the cells that were said to have changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring
from typing import Any

SPLIT = ("application/javascript", "image/svg+xml")  # kinds of data, beside text, whose lines are written one by one
NOT_KEPT = ("orig_nbformat", "orig_nbformat_minor", "signature")


class Node(dict[str, Any]):
    """A part of a notebook: `node.cells` is `node["cells"]`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


def from_dict(value: Any) -> Any:
    """The same value with every dict in it a Node."""
    if isinstance(value, Mapping):
        return Node({key: from_dict(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return [from_dict(item) for item in value]
    return value


class NotebookText:
    """The text of a notebook that changes cell by cell."""

    def __init__(self, node: Any) -> None:
        self._node = node
        self._cells: dict[int, str] = {}

    def changed(self, positions: Iterable[int]) -> None:
        """What was written of these cells is no longer so."""
        for position in positions:
            self._cells.pop(position, None)

    def text(self) -> str:
        parts = {name: _indented(value, 1) for name, value in self._node.items() if name not in ("cells", "metadata")}
        kept = {name: value for name, value in self._node["metadata"].items() if name not in NOT_KEPT}
        parts["metadata"] = _indented(kept, 1)
        cells = [self._cell(position) for position in range(len(self._node["cells"]))]
        parts["cells"] = "[\n  " + ",\n  ".join(cells) + "\n ]" if cells else "[]"
        return "{\n " + ",\n ".join(f"{json.dumps(name)}: {parts[name]}" for name in sorted(parts)) + "\n}"

    def _cell(self, position: int) -> str:
        if position not in self._cells:
            self._cells[position] = _indented(_in_lines(self._node["cells"][position]), 2)
        return self._cells[position]


def _indented(value: Any, depth: int) -> str:
    """What `json.dumps(…, indent=1, sort_keys=True)` writes, at that depth; that goes through many small steps."""
    inner = "\n" + " " * (depth + 1)
    if type(value) is str:
        return encode_basestring(value)
    if isinstance(value, Mapping) and value and all(type(name) is str for name in value):
        parts = [f"{encode_basestring(name)}: {_indented(value[name], depth + 1)}" for name in sorted(value)]
        return "{" + inner + f",{inner}".join(parts) + inner[:-1] + "}"
    if isinstance(value, list) and value:
        parts = [_indented(item, depth + 1) for item in value]
        return "[" + inner + f",{inner}".join(parts) + inner[:-1] + "]"
    text = json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, separators=(",", ": "))
    return text.replace("\n", "\n" + " " * depth)


def _in_lines(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The cell with its texts as lists of lines, for the sake of those who compare files."""
    made = {**cell, "metadata": {name: value for name, value in cell["metadata"].items() if name != "trusted"}}
    if isinstance(made.get("source"), str):
        made["source"] = made["source"].splitlines(keepends=True)
    if "attachments" in made:
        made["attachments"] = {name: _split(bundle) for name, bundle in made["attachments"].items()}
    if made["cell_type"] == "code":
        made["outputs"] = [_output(output) for output in made["outputs"]]
    return made


def _output(output: Mapping[str, Any]) -> Mapping[str, Any]:
    if output["output_type"] in ("execute_result", "display_data"):
        return {**output, "data": _split(output.get("data", {}))}
    if output["output_type"] == "stream" and isinstance(output["text"], str):
        return {**output, "text": output["text"].splitlines(keepends=True)}
    return output


def _split(bundle: Mapping[str, Any]) -> dict[str, Any]:
    return {
        kind: value.splitlines(keepends=True)
        if isinstance(value, str) and (kind.startswith("text/") or kind in SPLIT)
        else value
        for kind, value in bundle.items()
    }
