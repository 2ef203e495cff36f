"""Makes small notebooks for tests: rows of (tags, source)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

Row = tuple[Sequence[str] | str, str]


def write_notebook(path: Path, rows: Sequence[Row], *, kernel: str = "python3") -> Path:
    """Write a notebook of code cells; tags may be one text with spaces between them, `md` makes a markdown cell."""
    cells = []
    for index, (tags, source) in enumerate(rows):
        words = tags.split() if isinstance(tags, str) else list(tags)
        cell = {"id": f"cell-{index}", "metadata": {"tags": words}, "source": source}
        if words == ["md"]:
            cells.append({**cell, "cell_type": "markdown", "metadata": {}})
        else:
            cells.append({**cell, "cell_type": "code", "outputs": [], "execution_count": None})
    metadata = {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}}
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path
