"""`pytest notebooks/mortgage.ipynb`: one item for each test of the notebook, one headless run for all of them.

    mortgage.ipynb::train::test_auc_is_better_than_chance PASSED

Collecting reads the notebook and runs nothing. The first item runs the whole notebook, in which each test cell runs
right after its step; then every item reports what came of its own test. A test that the notebook did not live to see
is an error that names the step, cell and line where it ended.

Notebooks named on the command line are collected; those that pytest meets in folders only with `--nb2prod`, or with
`nb2prod = true` in the project's pytest configuration. pytest loads this module at every start: it imports nothing but
pytest, which is there already.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nb2prod.core.errors import Nb2prodError
    from nb2prod.core.pipeline import NotebookTest
    from nb2prod.core.result import Result, TestResult


class Hooks:
    """What other plug-ins may listen to."""

    def pytest_notebook_refused(self, notebook: Path, error: Nb2prodError, collecting: bool) -> None:
        """A notebook cannot be collected, or (`collecting` is False) cannot be run."""

    def pytest_notebook_ran(self, notebook: Path, result: Result) -> None:
        """A notebook's run has ended, well or not."""

    def pytest_notebook_tested(self, notebook: Path, test: TestResult) -> None:
        """A test's result is reported."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(Hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("nb2prod", "tests in notebooks")
    group.addoption("--nb2prod", action="store_true", dest="nb2prod", help="collect notebooks in folders too")
    group.addoption(
        "--nb2prod-scripts", action="store_true", dest="nb2prod_scripts", help="a .py file that is named is a notebook"
    )
    group.addoption(
        "--nb2prod-parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="nb2prod_parameters",
        help="run the notebooks with this parameter (may be repeated)",
    )
    parser.addini("nb2prod", "collect notebooks in folders too", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    for given in config.getoption("nb2prod_parameters"):
        if "=" not in given:
            raise pytest.UsageError(f"--nb2prod-parameter {given}: write it as NAME=VALUE")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix != ".ipynb":
        return None
    named = parent.session.isinitpath(file_path)
    if named or parent.config.getoption("nb2prod") or parent.config.getini("nb2prod"):
        collected: NotebookFile = NotebookFile.from_parent(parent, path=file_path)
        return collected
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """In the place of pytest's own module, which would import, and so run, a `.py` notebook as it stands."""
    if parent.config.getoption("nb2prod_scripts") and parent.session.isinitpath(module_path):
        collected: NotebookFile = NotebookFile.from_parent(parent, path=module_path)
        return collected
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test took as long as it took in the notebook."""
    report = yield
    if isinstance(item, NotebookItem) and report.when == "call":
        report.duration = item.outcome().seconds
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """After a notebook's last item: results of tests that only running its cells brought to light."""
    done = yield
    if isinstance(item, NotebookItem) and item in item.file.items:
        item.ihook.pytest_notebook_tested(notebook=item.file.path, test=item.outcome())
        if not isinstance(nextitem, NotebookItem) or nextitem.file is not item.file:
            for result in item.file.uncollected():
                _report(item, result)
    return done


class NotebookFile(pytest.File):
    """A notebook. It is run once, when its first item needs it."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.tests: tuple[NotebookTest, ...] = ()
        self.items: list[NotebookItem] = []
        self._ran: Result | Nb2prodError | None = None

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        from nb2prod import api
        from nb2prod.core.errors import Nb2prodError
        from nb2prod.stages.check import refuse_errors

        try:
            pipeline = api.load_pipeline(self.path)
            if not any(role is not None and role.kind == "test" for role in pipeline.roles):
                return []
            refuse_errors(pipeline, api.findings(pipeline))
        except Nb2prodError as error:
            self.ihook.pytest_notebook_refused(notebook=self.path, error=error, collecting=True)
            raise self.CollectError(str(error)) from error
        self.tests = pipeline.all_tests
        return list(_children(self, [(test.id.split("::"), test) for test in self.tests]))

    def result(self) -> Result | Nb2prodError:
        """What the run came to; the error when the notebook could not be run."""
        if self._ran is None:
            self._ran = self._run()
        return self._ran

    def uncollected(self) -> tuple[TestResult, ...]:
        """Results of no test that was collected, in cells of which a test was asked for."""
        from nb2prod.core.result import Result

        ran = self.result()
        cells = {item.test.cell for item in self.items}
        known = {(test.id, test.cell) for test in self.tests}
        tests = ran.tests if isinstance(ran, Result) else ()
        return tuple(test for test in tests if test.cell in cells and (test.id, test.cell) not in known)

    def _run(self) -> Result | Nb2prodError:
        from nb2prod import api
        from nb2prod.core.errors import Nb2prodError

        texts = dict(given.split("=", 1) for given in self.config.getoption("nb2prod_parameters"))
        try:
            result = api.run(self.path, texts=texts, engine="papermill", trackers=(), runs=_folder(self.config))
        except Nb2prodError as error:
            self.ihook.pytest_notebook_refused(notebook=self.path, error=error, collecting=False)
            return error
        self.ihook.pytest_notebook_ran(notebook=self.path, result=result)
        if result.failure is not None and result.failure.kind == "interrupted":
            raise KeyboardInterrupt
        return result


class NotebookPart(pytest.Collector):
    """A step, or a test class: `train` in `mortgage.ipynb::train::test_auc`."""

    inside: list[tuple[list[str], NotebookTest]]

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        return list(_children(self, self.inside))


class NotebookItem(pytest.Item):
    """One test of a notebook."""

    test: NotebookTest

    @property
    def file(self) -> NotebookFile:
        found = self.getparent(NotebookFile)
        assert found is not None
        return found

    def outcome(self) -> TestResult:
        """This test's result; of outcome `error` when the run has none for it."""
        from nb2prod.core.result import Result, TestResult

        ran, test = self.file.result(), self.test
        found = (
            [one for one in ran.tests if (one.id, one.cell) == (test.id, test.cell)] if isinstance(ran, Result) else []
        )
        if found:
            return found[-1]
        reason = _why_not(ran) if isinstance(ran, Result) else str(ran)
        return TestResult(test.id, test.step, "error", 0.0, reason, test.cell, test.line)

    def setup(self) -> None:
        self.file.items.append(self)
        result = self.outcome()
        if result.outcome == "error":
            pytest.fail(result.message, pytrace=False)

    def runtest(self) -> None:
        result = self.outcome()
        if result.outcome == "skipped":
            raise pytest.skip.Exception(result.message, _use_item_location=True)
        if result.outcome == "failed":
            pytest.fail(result.message, pytrace=False)

    def reportinfo(self) -> tuple[Path, int, str]:
        place = f"cell {self.test.cell}, line {self.test.line}"
        return self.path, self.test.line - 1, f"{self.test.id} ({place})"


def _children(
    parent: NotebookFile | NotebookPart, inside: list[tuple[list[str], NotebookTest]]
) -> Iterator[pytest.Item | pytest.Collector]:
    """Items for tests that `parent` holds itself, one collector for each name that holds more."""
    groups: dict[str, list[tuple[list[str], NotebookTest]]] = {}
    for names, test in inside:
        if len(names) == 1:
            same = [names for other, _ in inside if other == names]
            # two cells of one step may name a test alike
            name = names[0] if len(same) == 1 else f"{names[0]}[cell {test.cell}]"
            item: NotebookItem = NotebookItem.from_parent(parent, name=name)
            item.test = test
            yield item
        elif names[0] in groups:
            groups[names[0]].append((names[1:], test))
        else:
            groups[names[0]] = [(names[1:], test)]
            part: NotebookPart = NotebookPart.from_parent(parent, name=names[0])
            part.inside = groups[names[0]]  # grows until it is collected, which is later
            yield part


def _why_not(ran: Result) -> str:
    """Why a run has no result for a test."""
    if ran.failure is None:
        return "the notebook was run, but gave no result for this test"
    where = f"{ran.failure.place}: " if ran.failure.place else ""
    return f"the notebook failed before this test: {where}{ran.failure.message}"


def _folder(config: pytest.Config) -> Path:
    """Where runs go: with pytest's other temporary folders, which pytest clears away."""
    factory: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
    return factory.mktemp("nb2prod-runs")


def _report(item: NotebookItem, result: TestResult) -> None:
    """Report a result that has no item."""
    nodeid = f"{item.file.nodeid}::{result.id}"
    location = (item.location[0], (result.line or 1) - 1, f"{result.id} (cell {result.cell}, line {result.line})")
    skip = (location[0], location[1], result.message)
    report = pytest.TestReport(
        nodeid=nodeid,
        location=location,
        keywords={},
        outcome="failed" if result.outcome == "error" else result.outcome,
        longrepr=skip if result.outcome == "skipped" else result.message or None,
        when="setup" if result.outcome == "error" else "call",
        duration=result.seconds,
    )
    item.session.testscollected += 1
    item.ihook.pytest_runtest_logstart(nodeid=nodeid, location=location)
    item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=nodeid, location=location)
    item.ihook.pytest_notebook_tested(notebook=item.file.path, test=result)
