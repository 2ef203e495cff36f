"""A test cell as a pytest module.

Its globals begin as a copy of the notebook's names. Its statements run one by one while pytest collects, in their
order; the first exception is kept (`CellRun.problem`) and raised again where a test reports it. An assert at top level
that fails does not keep the cell's functions from being tested, any other exception does.
"""

from __future__ import annotations

import ast
import linecache
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType, TracebackType
from typing import Any

import pytest
from _pytest import assertion
from _pytest.assertion.rewrite import rewrite_asserts
from _pytest.fixtures import FixtureFunctionDefinition

from nb2prod.core.pipeline import NotebookTest
from nb2prod.core.result import TestResult
from nb2prod.language import cell_tests as source_tests
from nb2prod.language.future import future_flags


@dataclass(frozen=True, slots=True)
class CellCode:
    """The cell's source, padded at the top so that its lines are those of the cell."""

    source: str
    cell: int
    step: str | None

    @property
    def filename(self) -> str:
        return f"<cell {self.cell}>"

    def tree(self) -> ast.Module:
        """Raises SyntaxError or ValueError, also for what only the compiler refuses (`await` at top level)."""
        compile(self.source, self.filename, "exec", dont_inherit=True)
        return ast.parse(self.source)

    def unreadable(self, error: SyntaxError | ValueError) -> TestResult:
        line = error.lineno if isinstance(error, SyntaxError) else None
        place = f"cell {self.cell}" if line is None else f"cell {self.cell}, line {line}"
        text = f"{place}: {error.msg if isinstance(error, SyntaxError) else error}"
        test = source_tests.identify(self.step, [source_tests.top_level_name(self.cell)])
        return TestResult(test, self.step, "error", 0.0, text, self.cell, line)

    @contextmanager
    def in_linecache(self) -> Iterator[None]:
        """Let tracebacks find the source."""
        linecache.cache[self.filename] = (len(self.source), None, self.source.splitlines(True), self.filename)
        try:
            yield
        finally:
            linecache.cache.pop(self.filename, None)


@dataclass
class CellRun:
    """The cell's statements being run: `problem` is the first exception, `blocking` when no function can be tested."""

    code: CellCode
    tree: ast.Module
    tests: Sequence[NotebookTest]
    namespace: dict[str, Any]
    problem: BaseException | None = None
    blocking: bool = False
    seconds: float = 0.0
    module: ModuleType = field(default_factory=lambda: ModuleType("notebook_tests"))

    def execute(self) -> None:
        before = dict(self.namespace)
        started = time.perf_counter()
        flags = future_flags(self.tree)
        for statement in self.tree.body:
            checking = source_tests.checks(statement)
            if self.blocking or (checking and self.problem is not None):
                continue
            try:
                self._run(statement, flags)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever the cell raises is the test's outcome
                self.problem = self.problem or error
                self.blocking = not checking or isinstance(error, pytest.skip.Exception)
        self.seconds = time.perf_counter() - started
        self._fill_module(before)

    def _run(self, statement: ast.stmt, flags: int) -> None:
        single = ast.Module([statement], [])
        rewrite_asserts(single, self.code.source.encode())
        exec(compile(single, self.code.filename, "exec", flags, dont_inherit=True), self.namespace)

    def _fill_module(self, before: Mapping[str, Any]) -> None:
        """What pytest sees: what the cell binds, and the notebook's fixtures, but no `test_loader` of the notebook."""
        for name, value in self.namespace.items():
            bound_here = name not in before or before[name] is not value
            if issubclass(type(value), FixtureFunctionDefinition) or (bound_here and not name.startswith(("@", "__"))):
                setattr(self.module, name, value)


class CellModule(pytest.Module):
    """pytest's view of a test cell."""

    run: CellRun

    def _getobj(self) -> ModuleType:
        return self.run.module

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        with _readable_asserts(self):
            self.run.execute()
        top_level = source_tests.top_level_name(self.run.code.cell)
        for test in self.run.tests:
            if test.name == top_level:
                yield TopLevel.of(self, test.name, self.run.problem)
            elif self.run.blocking:
                yield Prevented.of(self, "::".join(test.id.split("::")[1:]), self.run.problem)
        if not self.run.blocking:
            yield from super().collect()


class TopLevel(pytest.Item):
    """The cell's top-level statements as a test: they have run already, this says how it went."""

    problem: BaseException | None
    traceback: TracebackType | None

    @classmethod
    def of(cls, parent: CellModule, name: str, problem: BaseException | None) -> TopLevel:
        item: TopLevel = cls.from_parent(parent, name=name)
        item.problem = problem
        item.traceback = problem.__traceback__ if problem is not None else None
        return item

    def runtest(self) -> None:
        if self.problem is not None:
            raise self.problem.with_traceback(self.traceback)

    def _traceback_filter(self, excinfo: pytest.ExceptionInfo[BaseException]) -> Any:
        """Where pytest asks what to show: from the cell's own frame on."""
        filename = self.parent.run.code.filename if isinstance(self.parent, CellModule) else ""
        return excinfo.traceback.cut(path=filename)


class Prevented(TopLevel):
    """A test that could not run, because the statements around it failed."""

    def setup(self) -> None:
        super().runtest()


class CellFolder(pytest.Directory):
    """The notebook's folder, which holds the cell alone: whatever else is in it is not collected."""

    module: CellModule

    def collect(self) -> Iterator[pytest.Collector]:
        yield self.module


@contextmanager
def _readable_asserts(node: pytest.Collector) -> Iterator[None]:
    """Give top-level asserts the comparisons that pytest has ready only while an item runs."""
    hook: Any = assertion.pytest_runtest_protocol
    running = hook(node)
    next(running)
    try:
        yield
    finally:
        running.close()
