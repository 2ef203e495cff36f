"""A notebook as it was read: its cells in order, nothing executed, nothing interpreted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nb2prod.core.finding import Finding

CellKind = Literal["code", "markdown", "raw"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. `source` has LF line ends whatever the file had; `index` counts from 0 over all cells.

    `output_size` is how many characters of text the saved outputs hold, images as they are encoded in the file.
    """

    index: int
    kind: CellKind
    source: str
    tags: tuple[str, ...] = ()
    id: str = ""
    execution_count: int | None = None
    output_size: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the source, the same whatever the line ends of the file."""
        return hashlib.sha256(self.source.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Notebook:
    """`digest` is the SHA-256 of the file's bytes; `notes` are findings about the file itself.

    `format` is the file's own: nbformat's number, or `py:percent` and its like for a script; `metadata` is what the
    notebook as a whole carries, for the dialects of other tools.
    """

    path: Path
    cells: tuple[Cell, ...]
    kernel: str | None = None
    language: str = "python"
    format: str = "4.5"
    digest: str = ""
    notes: tuple[Finding, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(".ipynb").removesuffix(".py")

    @property
    def folder(self) -> Path:
        return self.path.absolute().parent
