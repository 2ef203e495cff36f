"""What an exported project came from: which statement of which cell each line of its functions is, and the text itself.

It lies in the project as one file, `.notebook.json`. Nothing of the project reads it; `nb2prod sync` does, which brings
changes of the project back to the notebook, and those of the notebook to the project.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SCHEMA = "nb2prod/origin/1"
FILE = ".notebook.json"


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement in its cell, by the cell's lines from 1: comments from `above`, itself from `first` to `last`.

    One that the notebook does not have is `made`: it has a place, and no lines of its own (`last` is before `first`).
    """

    cell: int
    above: int
    first: int
    last: int
    made: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A function of the project made of statements of cells; without a `function` it is the module itself.

    The last piece is the place behind the last statement, where comments may stand.
    """

    file: str
    function: str
    pieces: tuple[Piece, ...]
    step: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """`renamed` and `passed` are what names became: a variable of a module, further arguments of a function.

    `imports` says in which cell, and below which line, another import belongs. `texts` are the files as they were
    exported; of data files `data` has the SHA-256.
    """

    notebook: str
    package: str
    places: tuple[Place, ...]
    allow_shell: bool = False
    renamed: Mapping[str, str] = field(default_factory=dict)
    passed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    imports: tuple[int, int] | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
