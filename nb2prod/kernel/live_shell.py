"""Our cell magics in a shell where a person works: a cell with one of them runs as an ordinary cell.

The line with the magic is taken off before IPython compiles the cell, and an empty line stays in its place. So
displays, `await`, other magics, tracebacks with their line numbers, history and debugger are IPython's own. `%%test`
alone runs its cell differently: through pytest.

Two things of IPython's are used: a transformer of input, and the events before and after a cell.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from nb2prod.core.errors import Nb2prodError, TestsFailed, UsageError
from nb2prod.core.pipeline import Role
from nb2prod.core.result import TestResult
from nb2prod.kernel import live_cells
from nb2prod.kernel.live_cells import RanCell
from nb2prod.language import tags
from nb2prod.language.names import Function, names_of
from nb2prod.language.plain import plain

OTHER_MAGIC = re.compile(r"%%\S+")
ASKED = re.compile(r"%%\w+\?")
Ours = TypeVar("Ours", bound=Nb2prodError)


def spoken(error: Ours) -> Ours:
    """The error as IPython is to show it: what it says, without a traceback. It is about the notebook, not our code."""
    vars(error)["_render_traceback_"] = lambda: [f"{type(error).__name__}: {error}"]
    return error


# -- before a cell is compiled --------------------------------------------------------------------------------------


class Transformer:
    """Takes a magic of ours off the first line, and refuses one that is not written as the grammar has it."""

    has_side_effects = True  # IPython: not while a person still types, so that an empty line ends such a cell

    def __call__(self, lines: list[str]) -> list[str]:
        if not lines or ASKED.match(lines[0]):
            return lines
        name = magic_of(lines[0])
        behind = next((number for number, line in enumerate(lines) if number and line.strip()), len(lines))
        second = lines[behind] if behind < len(lines) else ""
        if magic_of(second) and (name or OTHER_MAGIC.match(lines[0])):
            raise spoken(misplaced(magic_of(second)))
        if not name:
            return lines
        refuse_words("".join(lines))
        if name == "test":
            return lines
        if OTHER_MAGIC.match(second):
            from IPython.core.inputtransformer2 import cell_magic

            return ["\n"] * behind + list(cell_magic(lines[behind:]))
        return ["\n", *lines[1:]]


def magic_of(line: str) -> str:
    """The name of our magic on that line, or nothing."""
    found = tags.MAGIC_LINE.match(line)
    return found["name"] if found and found["name"] in tags.MAGICS else ""


def refuse_words(source: str) -> None:
    """Raise UsageError when a cell's magic is not written as the grammar has it."""
    problems = tags.role_of(source, ()).problems
    if problems:
        raise spoken(UsageError("; ".join(problems), fix=f"%%{magic_of(source)}? shows what it takes"))


def misplaced(name: str) -> UsageError:
    return UsageError(f"%%{name} is not on the cell's first line", fix="begin a cell with it, without another %% above")


# -- around a cell --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class UnderWay:
    """A cell that is running. `info` is what IPython knows of it: its source and id."""

    info: Any
    clock: float
    at: float


@dataclass(eq=False, slots=True)
class Live:
    """One shell: the cells that ran in it, and what they define."""

    shell: Any
    ran: list[RanCell] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    functions: dict[str, Function] = field(default_factory=dict)
    under_way: list[UnderWay] = field(default_factory=list)

    def pre_run_cell(self, info: Any) -> None:
        self.under_way.append(UnderWay(info, time.perf_counter(), time.time()))
        self.deleted |= set((getattr(info, "cell_meta", None) or {}).get("deletedCells", ()))

    def post_run_cell(self, result: Any) -> None:
        """Says what a step did. `result` is None for a cell that was interrupted while it awaited."""
        if not self.under_way or (result is not None and result.info is not self.under_way[-1].info):
            return  # the cell that loaded us, or an empty one, which IPython does not announce
        cell = self.under_way.pop()
        seconds = time.perf_counter() - cell.clock
        refused = result is not None and result.error_before_exec is not None
        failed = result is None or not result.success
        if cell.info.store_history:
            self.ran.append(self._ran(cell, failed=failed, refused=refused))
        role = tags.role_of(cell.info.raw_cell, ()).role
        if not refused:
            self._learn(role.body)
            if role.kind == "step" and not ASKED.match(cell.info.raw_cell.lstrip()):
                self._report(role, seconds, failed=failed)

    def cells(self) -> list[RanCell]:
        """The last run of each cell, those from before we were loaded and the one under way included."""
        now = [self._ran(cell) for cell in self.under_way[:1] if cell.info.store_history]
        return live_cells.latest([*self._earlier(), *self.ran, *now], self.deleted)

    def _ran(self, cell: UnderWay, *, failed: bool = False, refused: bool = False) -> RanCell:
        cell_id = str(getattr(cell.info, "cell_id", None) or "")
        return RanCell(cell.info.raw_cell, self.shell.execution_count - 1, cell.at, cell_id, failed, refused)

    def _earlier(self) -> list[RanCell]:
        """Of these nobody knows when they ran, or as which cell: they count as old as can be."""
        history = self.shell.history_manager
        first = self.ran[0].count if self.ran else self.shell.execution_count - 1
        failures = getattr(history, "exceptions", {})
        inputs = list(enumerate(history.input_hist_raw))[1:first]
        return [RanCell(source, count, 0.0, "", count in failures) for count, source in inputs if source.strip()]

    def _report(self, role: Role, seconds: float, *, failed: bool) -> None:
        from IPython.display import display

        from nb2prod.kernel import live_step

        display(live_step.report(role, self.functions, self.shell.user_ns, seconds, failed=failed))

    def _learn(self, body: str) -> None:
        """Remember the functions that a cell defines: a later step reads what they read."""
        tree = plain(body).tree
        if tree is not None:
            self.functions |= names_of(tree, self.functions).functions

    # -- %%test -----------------------------------------------------------------------------------------------------

    def test(self, line: str, body: str) -> None:
        """Run a test cell. Raises TestsFailed, so that "Run all" stops, after the report is shown."""
        from IPython.display import display

        from nb2prod.kernel import cell_tests

        refuse_words(f"%%test {line}\n{body}")
        words = tags.role_of(f"%%test {line}\n", ()).role
        count = self.shell.execution_count - 1
        path = live_cells.file_of(self.shell.user_ns, os.environ)
        results = cell_tests.run_tests(
            plain(body).source,
            self.shell.user_ns,
            cell=count,
            step=words.name or None,
            line_offset=1,
            notebook=path or Path.cwd() / "session.ipynb",
            folder=path.parent if path else Path.cwd(),
        )
        here = [_placed(result, count) for result in results]
        display(cell_tests.show(here))
        failed = [result.id for result in here if result.outcome in ("failed", "error")]
        if failed:
            raise spoken(TestsFailed(f"{len(failed)} of {len(here)} tests failed: {', '.join(failed)}"))


def _placed(result: TestResult, count: int) -> TestResult:
    """Places in the words of IPython's own tracebacks: a person in a notebook sees In[7], and no number of a cell."""
    message = re.sub(rf"^cell {count}, line", f"Cell In[{count}], line", result.message, flags=re.MULTILINE)
    return replace(result, message=message)
