"""What a dialect is: a table of another tool's tags, and what that tool says in other ways than by tags."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nb2prod.core.finding import Severity
from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.pipeline import Role
from nb2prod.language.tags import Spoken

KEPT = ""  # a tag that means nothing here: it stays on the cell and in `Role.options`, and no finding speaks of it
ALL_CODE = re.compile(r"\s*(#.*)?\Z")


@dataclass(frozen=True, slots=True)
class Remark:
    """What a reader should know about how a cell was read; it becomes a finding `dialect`."""

    cell: int
    message: str
    fix: str
    severity: Severity = "note"
    line: int | None = None


Said = Sequence[Spoken | None]  # one entry per cell, None for a cell that is not code


def _as_they_are(notebook: Notebook, cell: Cell, tags: tuple[str, ...]) -> tuple[str, ...]:
    return tags


def _as_said(notebook: Notebook, said: Said) -> Said:
    return said


def _nothing(notebook: Notebook, said: Said) -> Iterator[Remark]:
    return iter(())


@dataclass(frozen=True, slots=True)
class Dialect:
    """`tags` has rows of (pattern of the whole tag, what it is here), with `\\1` for a group, or KEPT.

    `magics` names cell magics that stand for one of our tags. `hear` gives a cell's tags as that tool understands
    them, with what it reads from source or metadata; `arrange` is for a tool whose cells depend on the cells above
    them, after every cell has a role of its own; `remark` says what of all this should not go unsaid.
    """

    tags: tuple[tuple[str, str], ...] = ()
    magics: Mapping[str, str] = field(default_factory=dict)
    hear: Callable[[Notebook, Cell, tuple[str, ...]], tuple[str, ...]] = _as_they_are
    arrange: Callable[[Notebook, Said], Said] = _as_said
    remark: Callable[[Notebook, Said], Iterator[Remark]] = _nothing


def code_cells(notebook: Notebook) -> Iterator[Cell]:
    return (cell for cell in notebook.cells if cell.kind == "code")


def is_silent(cell: Cell, spoken: Spoken | None) -> bool:
    """Whether a code cell holds code and says nothing of what it is for."""
    return (
        spoken is not None
        and spoken.role.kind == "exploration"
        and not spoken.problems
        and not all(ALL_CODE.match(line) for line in cell.source.splitlines())
    )


def joined(notebook: Notebook, said: Said, first: Role | None = None) -> tuple[Spoken | None, ...]:
    """Each silent cell takes the role of the cell above it, and `first` where there is none.

    Skipped cells and tests are seen through: what stands below a test is no test.
    """
    above = first
    roles: list[Spoken | None] = []
    for cell, spoken in zip(notebook.cells, said, strict=True):
        if spoken is not None and is_silent(cell, spoken) and above is not None:
            spoken = Spoken(Role(above.kind, above.name, cell.source, options=spoken.role.options))
        elif spoken is not None and spoken.role.kind not in ("skip", "test", "exploration"):
            above = spoken.role
        roles.append(spoken)
    return tuple(roles)
