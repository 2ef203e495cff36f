"""A notebook is tested: pytest runs it through our own plug-in, and what came of each test is listened to.

What pytest is told is decided here alone: no configuration file, no PYTEST_ADDOPTS and no conftest of the project has
a say (a `conftest.py` beside the notebook still serves its tests, in the kernel).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

from nb2prod.core.errors import Nb2prodError, StoreError, UsageError
from nb2prod.core.result import Result, TestResult

PLUGIN = "nb2prod.pytest_plugin"


class Listener:
    """Hears what the plug-in says (its `Hooks`)."""

    def __init__(self) -> None:
        self.tests: list[TestResult] = []
        self.results: list[Result] = []
        self.refused: list[Nb2prodError] = []
        self.not_collected: list[Nb2prodError] = []

    def pytest_notebook_refused(self, error: Nb2prodError, collecting: bool) -> None:
        (self.not_collected if collecting else self.refused).append(error)

    def pytest_notebook_ran(self, result: Result) -> None:
        self.results.append(result)

    def pytest_notebook_tested(self, test: TestResult) -> None:
        self.tests.append(test)

    @property
    def exit_code(self) -> int:
        """The worst that happened: a notebook that could not run, one that failed, a test that failed."""
        if self.refused:
            return self.refused[0].exit_code
        failed = [result.exit_code for result in self.results if result.exit_code not in (0, 4)]
        if failed:
            return max(failed)
        return 4 if any(test.outcome in ("failed", "error") for test in self.tests) else 0


def run_pytest(
    notebooks: Sequence[Path],
    *,
    junit: Path | None = None,
    select: str | None = None,
    parameters: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> tuple[tuple[TestResult, ...], int]:
    """Run the tests of notebooks (and of those in folders); every result, and the exit code.

    `select` is pytest's `-k`; `quiet` keeps pytest from printing. Raises StoreError for a path that is not there, the
    error of a notebook that cannot be collected (nothing has run then), UsageError when there is no test to run.
    """
    import pytest

    for notebook in notebooks:
        if not Path(str(notebook).partition("::")[0]).exists():
            raise StoreError("there is no such notebook", where=str(notebook), fix="check the path")
    listener = Listener()
    arguments = _arguments(notebooks, junit, select, parameters or {})
    with io.StringIO() as said, _no_addopts(), _into(said if quiet else None):
        code = pytest.main(arguments, plugins=[listener])
        text = said.getvalue().strip()
    if listener.not_collected:
        raise listener.not_collected[0]
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERNAL_ERROR):
        raise UsageError(f"pytest could not run the tests\n{text}".strip(), fix="check what was selected")
    if not listener.tests:
        raise _no_tests(notebooks, select)
    return tuple(listener.tests), listener.exit_code


def _arguments(
    notebooks: Sequence[Path], junit: Path | None, select: str | None, parameters: Mapping[str, str]
) -> list[str]:
    blocked = ("nb2prod", "cacheprovider")  # our own by its entry point: it is asked for by its module instead
    arguments = [word for name in blocked for word in ("-p", f"no:{name}")]
    arguments += ["-p", PLUGIN, "--nb2prod", "-c", os.devnull, "--rootdir", str(Path.cwd()), "--noconftest"]
    arguments += ["--nb2prod-scripts", "-v", "--no-header", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    arguments += [f"--nb2prod-parameter={name}={value}" for name, value in parameters.items()]
    if junit is not None:
        arguments += [f"--junit-xml={junit}", "-o", "junit_suite_name=nb2prod", "-o", "junit_duration_report=call"]
    if select is not None:
        arguments += ["-k", select]
    return [*arguments, *(str(notebook) for notebook in notebooks)]


def _no_tests(notebooks: Sequence[Path], select: str | None) -> UsageError:
    where = ", ".join(str(notebook) for notebook in notebooks)
    if select is not None:
        return UsageError(f"no test matches {select!r}", where=where, fix="`nb2prod inspect` lists the tests")
    return UsageError("there is no test", where=where, fix="begin a cell with %%test STEP, or tag it test:STEP")


@contextmanager
def _into(file: TextIO | None) -> Iterator[None]:
    """Both streams of this process into `file`; None leaves them."""
    if file is None:
        yield
    else:
        with redirect_stdout(file), redirect_stderr(file):
            yield


@contextmanager
def _no_addopts() -> Iterator[None]:
    before = os.environ.pop("PYTEST_ADDOPTS", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["PYTEST_ADDOPTS"] = before
