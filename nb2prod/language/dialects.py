"""Other tools' vocabularies, translated to ours before a cell's role is read.

Each row of TRANSLATIONS is (pattern of the tag, what it is here); `\\1` stands for the rest of the tag. What a tag of
another tool means that has no place here (`image:`, `limit:`) stays on the cell, unread.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nb2prod.core.notebook import Cell
from nb2prod.language.tags import MAGIC_LINE, MAGICS, is_ours

TRANSLATIONS: tuple[tuple[str, str, str], ...] = (
    # tool, tag, here
    ("kale", r"pipeline-parameters$", "parameters"),
    ("kale", r"block:(.+)$", r"step:\1"),
    ("kale", r"prev:(.+)$", r"after:\1"),
    ("kale", r"cache:enabled$", "cache:on"),
    ("kale", r"cache:disabled$", "cache:off"),
    ("papermill", r"injected-parameters$", "skip"),
    ("nbclient", r"skip-execution$", "skip"),
)
NBDEV = re.compile(r"^#\s*\|\s*(?P<name>[\w-]+)\s*:?\s*(?P<value>[^\n]*)$", re.MULTILINE)


def translate(tags: Sequence[str], source: str) -> tuple[str, ...]:
    """A cell's tags in our words, with what its nbdev directives say added."""
    said = [_translated(tag) for tag in tags]
    directives = {match["name"]: match["value"].strip() for match in NBDEV.finditer(_head(source))}
    if directives.get("eval", "").lower() == "false":
        said.append("skip")
    if {"export", "exports", "exporti"} & directives.keys() and not any(is_ours(tag) for tag in said):
        said.append("functions")
    return tuple(dict.fromkeys(said))


def is_kale(metadata: Mapping[str, Any], cells: Sequence[Cell]) -> bool:
    """Whether Kale wrote the tags: then an untagged code cell joins the role before it."""
    tags = {tag.partition(":")[0] for cell in cells for tag in cell.tags}
    return "kubeflow_notebook" in metadata or bool(tags & {"prev", "block", "pipeline-parameters", "pipeline-metrics"})


def joins_previous(cell: Cell) -> bool:
    """Whether a cell of a Kale notebook says nothing itself."""
    magic = MAGIC_LINE.match(cell.source)
    return not any(is_ours(tag) for tag in translate(cell.tags, cell.source)) and not (
        magic and magic["name"] in MAGICS
    )


def _translated(tag: str) -> str:
    for _, pattern, here in TRANSLATIONS:
        if re.match(pattern, tag):
            return re.sub(pattern, here, tag)
    return tag


def _head(source: str) -> str:
    """The comment lines at the top of a cell, where directives stand."""
    head: list[str] = []
    for line in source.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            break
        head.append(line.strip())
    return "\n".join(head)
