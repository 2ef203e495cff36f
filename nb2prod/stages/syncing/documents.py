"""What `nb2prod sync --json` prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb2prod.storage import codec

if TYPE_CHECKING:
    from nb2prod.stages.sync import Back, Forward

SCHEMA = "nb2prod/sync/1"


def back(found: Back, output: Path | None) -> dict[str, Any]:
    """The changes of a project's functions as changes of cells, and what stays in the project."""
    changed = [
        {"cell": cell.index, "id": cell.id, "before": old.source, "after": cell.source}
        for old, cell in zip(found.before.cells, found.after.cells, strict=True)
        if old.source != cell.source
    ]
    return {
        "schema": SCHEMA,
        "direction": "back",
        "project": str(found.project),
        "notebook": str(found.before.path),
        "copy": None if output is None else str(output),
        "functions": codec.plain(found.returned),
        "cells": changed,
        "refused": codec.plain(found.refused),
        "own": list(found.own),
    }


def forward(merge: Forward, *, written: bool) -> dict[str, Any]:
    """The files that a merge changes, and its conflicts."""
    return {
        "schema": SCHEMA,
        "direction": "forward",
        "project": str(merge.project),
        "written": written or not merge.conflicts,
        "files": [
            {"file": name, "change": "removed" if text is None else "merged" if name in merge.kept else "replaced"}
            for name, text in merge.texts.items()
        ],
        "data": list(merge.data),
        "conflicts": codec.plain(merge.conflicts),
    }
