"""What a worker of a map must know of the notebook: plain values that travel to any machine.

A job carries the code itself, so that no folder has to be shared. Its cells are in the notebook's order and of two
sorts: *warm* ones run once in a process, before its first item (imports, functions, setup), the others once an item.
`stages/mapping/jobs.py` decides which is which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from nb2prod.core.errors import NotebookFailed, UsageError
from nb2prod.core.mapping import Isolation
from nb2prod.core.pipeline import HoistedModule, Parameter

CellSort = Literal["warm", "parameters", "step", "shared", "test"]


@dataclass(frozen=True, slots=True)
class JobCell:
    """One cell: `source` as IPython would be given it, with line 1 of the cell as its first line.

    `step` is the step's name, for its cells and its tests. `metrics` and `model` are what to keep of the step when
    this cell has run: they stand at the step's last cell. `retries`, `retry_on` and `timeout` are the step's; `names`
    are those that the cell reads or may change, when it may be tried again.
    """

    index: int
    sort: CellSort
    source: str
    step: str = ""
    may_fail: bool = False
    metrics: tuple[str, ...] = ()
    model: str | None = None
    example: str | None = None
    retries: int = 0
    retry_on: tuple[str, ...] = ()
    timeout: float | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """`digest` names the job: a process that has warmed up for it takes its items without doing so again.

    `given` are the fixed parameters. `rows` is the parameter that takes a group's rows; its default is not evaluated.
    `folder` is the notebook's, where the code runs when there is such a folder; elsewhere it runs in a new one, with
    `modules` in it: the files beside the notebook that its cells import, by name. `seeded` says that warm cells seed
    or draw random numbers, so that all items go on from there; else every item gets a stream of its own. `known` are
    all names that the notebook binds; `backoff` are the seconds before the second try of a step, twice as many before
    the third.
    """

    digest: str
    notebook: str
    folder: str
    cells: tuple[JobCell, ...]
    parameters: tuple[Parameter, ...]
    module: HoistedModule
    isolation: Isolation = "fork"
    given: Mapping[str, Any] = field(default_factory=dict)
    rows: str = ""
    timeout: float | None = None
    tests: bool = True
    seeded: bool = False
    python: str = ""
    modules: Mapping[str, str] = field(default_factory=dict)
    proofs: frozenset[int] = frozenset()
    known: tuple[str, ...] = ()
    backoff: float = 1.0

    @property
    def warm(self) -> tuple[JobCell, ...]:
        return tuple(cell for cell in self.cells if cell.sort == "warm")

    @property
    def each(self) -> tuple[JobCell, ...]:
        """What runs once an item."""
        wanted = [cell for cell in self.cells if cell.sort != "warm"]
        return tuple(cell for cell in wanted if self.tests or cell.sort != "test")


class SharedCodeFailed(NotebookFailed):
    """The code that all items share fails, so that no item can run."""


class ItemsLeak(UsageError):
    """An item left something behind that the next one would see."""
