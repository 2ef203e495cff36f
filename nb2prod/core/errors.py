"""The one tree of exceptions.

An exception means that nb2prod itself cannot go on: wrong usage, a file that is not a notebook, a kernel that
died. What the *user's code* does wrong is a value (`core.result.Failure`, `core.finding.Finding`), not an exception.

Every error says what happened, where, and what to do next, and knows the exit code of the command line.
"""

from __future__ import annotations

from typing import Any, ClassVar


class Nb2prodError(Exception):
    """What went wrong (`what`), where (`where`, may be empty) and what to do (`fix`, may be empty)."""

    exit_code: ClassVar[int] = 2

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what, where, fix)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  fix: {self.fix}" if self.fix else ""
        return f"{place}{self.what}{advice}"

    def __reduce__(self) -> tuple[Any, ...]:
        """For the way from a worker: what is given by name does not survive it by itself."""
        return _again, (type(self), self.what, self.where, self.fix)


def _again(kind: type[Nb2prodError], what: str, where: str, fix: str) -> Nb2prodError:
    made = kind.__new__(kind)
    Nb2prodError.__init__(made, what, where=where, fix=fix)
    return made


class UsageError(Nb2prodError):
    """The command or call does not make sense as given."""


class NotANotebook(UsageError):
    """The file is there, but it is no notebook that nb2prod can read."""


class BadParameter(UsageError):
    """A parameter is unknown, missing, or its value is not of the declared type."""


class PluginError(UsageError):
    """A plug-in is unknown, or does not offer what its kind must offer."""


class MissingExtra(UsageError):
    """A library that an optional part needs is not installed."""

    def __init__(self, library: str, extra: str, *, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the library {library}, which is not installed",
            fix=f"pip install 'nb2prod[{extra}]'",
        )


class FindingsError(Nb2prodError):
    """The notebook has findings of severity error, so that it has no trustworthy pipeline."""

    exit_code = 3


class TestsFailed(Nb2prodError):
    """A test of the notebook failed where passing tests are required."""

    __test__ = False  # pytest: this is no test class
    exit_code = 4


class NotProved(Nb2prodError):
    """A gate or a parity check did not hold; nothing was released."""

    exit_code = 5


class WorkerLost(Nb2prodError):
    """A kernel or worker died under us."""

    exit_code = 6


class StoreError(Nb2prodError):
    """An input or a store cannot be read or written."""

    exit_code = 7


class NotebookFailed(Nb2prodError):
    """The notebook's own code failed where its result is needed (a package of a failed run, say)."""

    exit_code = 1
