"""A test cell runs through pytest, in the process where the notebook's values are.

`run_tests` makes one pytest module of the cell and gives it to `pytest.main`. The module's globals begin as a copy of
the notebook's names, so that tests see the notebook as it is at that point and leave no name behind. Asserts are
rewritten, so that a failure says

    cell 12, line 3, in test_auc_is_better_than_chance
        assert auc > 0.5
    E   assert 0.47 > 0.5

Fixtures come from the cell, the notebook, `conftest.py` beside the notebook and installed plug-ins. Nothing else of the
project around applies (no ini file, no PYTEST_ADDOPTS), so that a test means the same wherever the notebook is run, and
nothing is written beside the notebook. What tests did to the notebook is undone or reported: see `untouched`.

Import this module only to run tests: it imports pytest.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nb2prod.core.result import Outcome, TestResult
from nb2prod.kernel.cell_module import CellCode, CellFolder, CellModule, CellRun
from nb2prod.kernel.cell_tests_display import show
from nb2prod.kernel.untouched import MISSING, Watched, is_data, reachable, restoring
from nb2prod.language import cell_tests as source_tests

__all__ = ["run_tests", "show"]

LONGEST_MESSAGE = 8_000  # characters
ARGUMENTS = (
    *("-c", os.devnull, "--tb=short", "--color=no", "--capture=sys", "--continue-on-collection-errors"),
    *("-o", "verbosity_assertions=1", "-o", "truncation_limit_lines=30", "-o", "truncation_limit_chars=3000"),
    # these write files, touch signals and descriptors that belong to the kernel, or collect all garbage each time
    *(word for name in ("cacheprovider", "faulthandler", "unraisableexception", "threadexception", "nb2prod")
      for word in ("-p", f"no:{name}")),
)  # fmt: skip


def run_tests(
    body: str,
    namespace: Mapping[str, Any],
    *,
    cell: int,
    step: str | None,
    line_offset: int,
    notebook: Path,
    folder: Path,
) -> list[TestResult]:
    """Run the tests of a cell against `namespace`; one result for each test function, in the order of the cell.

    `body` is plain Python; its first line is line `line_offset` + 1 of the cell. `conftest.py` is looked for in
    `folder`. KeyboardInterrupt passes through. A cell without tests gives no results.
    """
    code = CellCode("\n" * line_offset + body, cell, step)
    try:
        tree = code.tree()
    except (SyntaxError, ValueError) as error:
        return [code.unreadable(error)]
    tests = source_tests.collect(code.source, cell=cell, step=step)
    if not tests:
        return []
    with restoring(namespace), code.in_linecache():
        reads = source_tests.reads(tree)
        names = reachable([name for found in reads.values() for name in found], reads, namespace)
        data = {name: namespace[name] for name in names if name in namespace and is_data(namespace[name])}
        plugin = CellPlugin(CellRun(code, tree, tests, dict(namespace)), Watched(data, _digest), notebook, folder)
        said = _call_pytest(plugin, folder)
    if plugin.interrupted:
        raise KeyboardInterrupt
    return _results(plugin, said)


# -- pytest, in this process ------------------------------------------------------------------------------------------


@dataclass
class Case:
    """One item of pytest: a test function or one case of a parametrized one. `outcome` is None until it has run."""

    test: str
    label: str
    line: int | None = None
    outcome: Outcome | None = None
    seconds: float = 0.0
    messages: list[str] = field(default_factory=list)


class CellPlugin:
    """Collects the cell's module and keeps what happens to its tests."""

    def __init__(self, run: CellRun, watched: Watched, notebook: Path, folder: Path) -> None:
        self.run = run
        self.watched = watched
        self.folder = folder
        # a path that is not there would be taken for a folder of its own, without the hooks of `conftest.py`
        self.path = folder / notebook.name if Path(folder, notebook.name).is_file() else folder
        self.reads = source_tests.reads(run.tree)
        self.cases: dict[str, Case] = {}
        self.changed: dict[str, list[str]] = {}
        self.problems: list[str] = []
        self.interrupted = False

    def pytest_collection(self, session: pytest.Session) -> bool:
        folder: CellFolder = CellFolder.from_parent(session, path=self.folder)
        folder.module = CellModule.from_parent(folder, path=self.path)
        folder.module.run = self.run
        session.items = list(session.genitems(folder))
        session.testscollected = len(session.items)
        hook = session.config.hook
        hook.pytest_collection_modifyitems(session=session, config=session.config, items=session.items)
        hook.pytest_collection_finish(session=session)
        self.cases = {item.nodeid: self._case(item) for item in session.items}
        self._look_for_changes(self._top_level(), self.watched.cheap)
        return True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.problems.append(self._readable(report.longreprtext))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
        result = yield
        test = self.cases[item.nodeid].test
        if nextitem is None or self.cases[nextitem.nodeid].test != test:
            self._look_for_changes([test], self.watched.cheap & self._reached(test))
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        case = self.cases[report.nodeid]
        case.seconds += report.duration
        if report.failed:
            case.outcome = "failed" if report.when == "call" or case.outcome == "failed" else "error"
            case.messages.append(self._message(report))
        elif case.outcome is not None or hasattr(report, "context"):
            return  # decided already, or a part of a test that did not fail
        elif report.skipped and not hasattr(report, "wasxfail"):
            case.outcome = "skipped"
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
            case.messages.append(str(reason).removeprefix("Skipped: "))
        elif report.when == "call" or report.skipped:
            case.outcome = "passed"

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        if issubclass(warning_message.category, pytest.PytestCollectionWarning):
            self.problems.append(re.sub(r" \(from: .*\)$", "", str(warning_message.message)))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        if isinstance(excinfo.value, KeyboardInterrupt):
            self.interrupted = True
        else:
            self.problems.append(f"the tests were ended: {excinfo.value}")

    def pytest_sessionfinish(self) -> None:
        """Look once more, now also at what takes long to compare: any test that can reach it may have changed it."""
        every = list(dict.fromkeys(case.test for case in self.cases.values()))
        for name in self.watched.changed(self.watched.names):
            self._blame(name, [test for test in every if name in self._reached(test)] or self._top_level())

    def _look_for_changes(self, tests: Sequence[str], among: Iterable[str]) -> None:
        for name in self.watched.changed(among):
            self._blame(name, tests)

    def _blame(self, name: str, tests: Sequence[str]) -> None:
        one = "" if len(tests) == 1 else f" (one of these: {', '.join(tests)})"
        message = f"changes `{name}` in place, which the notebook would then go on with: copy it first{one}"
        for test in tests:
            self.changed.setdefault(test, []).append(message)

    def _top_level(self) -> list[str]:
        """The test that the top-level statements are; all of the cell's when they are none."""
        name = source_tests.top_level_name(self.run.code.cell)
        return [test.id for test in self.run.tests if test.name == name] or [test.id for test in self.run.tests]

    def _reached(self, test: str) -> set[str]:
        return reachable(self.reads.get(test.split("::")[1], self.reads[""]), self.reads, self.run.namespace)

    def _case(self, item: pytest.Item) -> Case:
        classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
        callspec = getattr(item, "callspec", None)
        name = getattr(item, "originalname", None) or item.name
        line = item.reportinfo()[1]
        label = "" if callspec is None else f"[{callspec.id}]"
        test = source_tests.identify(self.run.code.step, [*classes, name])
        return Case(test, label, None if line is None else line + 1)

    def _message(self, report: pytest.TestReport) -> str:
        part = getattr(report, "context", None)
        values = [] if part is None else [part.msg, *(f"{name}={value}" for name, value in part.kwargs.items())]
        label = f"[{', '.join(str(value) for value in values if value is not None)}]" if values else ""
        printed = [
            f"--- {title.removeprefix('Captured ')} ---\n{text.rstrip()}" for title, text in report.sections if text
        ]
        return "\n".join([*filter(None, [label]), self._readable(report.longreprtext), *printed])

    def _readable(self, text: str) -> str:
        return _shown(text, self.run.code)


def _call_pytest(plugin: CellPlugin, folder: Path) -> str:
    """Run pytest; returns what it said when it could not do its work."""
    conftest = folder / "conftest.py"
    place = [str(conftest)] if conftest.is_file() else ["--noconftest", str(folder)]
    roots = ["--rootdir", str(folder), "--confcutdir", str(folder)]
    with io.StringIO() as said, redirect_stdout(said), redirect_stderr(said), _alone():
        code = pytest.main([*ARGUMENTS, *roots, *place], plugins=[plugin])
        return said.getvalue() if code in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR) else ""


@contextmanager
def _alone() -> Iterator[None]:
    """Keep pytest and the process around it out of each other's way."""
    with ExitStack() as afterwards:
        for name in ("PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST"):
            os.environ.pop(name, None)  # `restoring` brings it back
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(Path(tempfile.gettempdir(), "hypothesis-notebooks")))
        afterwards.callback(setattr, sys, "dont_write_bytecode", sys.dont_write_bytecode)
        sys.dont_write_bytecode = True
        # another folder's conftest, or this one's as it was before an edit
        afterwards.callback(_restore_module, "conftest", sys.modules.pop("conftest", None))
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            afterwards.callback(_restore_attribute, sys, name, getattr(sys, name, MISSING))
        # the kernel's own loop is running in this thread; a test may run one of its own meanwhile
        loop = asyncio._get_running_loop()
        if loop is not None:
            afterwards.callback(asyncio.set_event_loop, loop)
            afterwards.callback(asyncio._set_running_loop, loop)
            asyncio._set_running_loop(None)
        yield


def _restore_attribute(of: object, name: str, value: Any) -> None:
    if value is not MISSING:
        setattr(of, name, value)
    elif hasattr(of, name):
        delattr(of, name)


def _restore_module(name: str, module: ModuleType | None) -> None:
    sys.modules.pop(name, None)
    if module is not None:
        sys.modules[name] = module


# -- results ----------------------------------------------------------------------------------------------------------


def _results(plugin: CellPlugin, said: str) -> list[TestResult]:
    """One result for each test of the source, then for those that only running the cell brought to light."""
    code = plugin.run.code
    definitions = {source_tests.identify(code.step, d.names): d for d in source_tests.definitions(plugin.run.tree)}
    by_test: dict[str, list[Case]] = {test.id: [] for test in plugin.run.tests}
    for case in plugin.cases.values():
        by_test.setdefault(case.test, []).append(case)
    lines = {test.id: test.line for test in plugin.run.tests}
    results = []
    for test, cases in by_test.items():
        definition = definitions.get(test)
        outcome, message = _verdict(cases, definition, [*plugin.problems, said.strip()])
        if test in plugin.changed:
            outcome, message = "failed", "\n".join(filter(None, [message, *plugin.changed[test]]))
        own_line = next((case.line for case in cases), None)
        seconds = sum(case.seconds for case in cases)
        if definition is None and test in lines:
            seconds += plugin.run.seconds
        place = lines.get(test, own_line)
        results.append(TestResult(test, code.step, outcome, seconds, _cut(message), code.cell, place))
    return results


def _verdict(
    cases: Sequence[Case], definition: source_tests.Definition | None, problems: Sequence[str]
) -> tuple[Outcome, str]:
    if definition is not None and definition.shadowed:
        return "error", f"{definition.names[-1]} is defined twice, and only the last one would run: rename one"
    reasons = "\n".join(filter(None, problems))
    if not cases and definition is not None and definition.conditional and not reasons:
        return "skipped", "it is defined in a branch that was not taken"
    if not cases:
        return "error", f"pytest did not collect it: {reasons or 'it is no test when the cell has run'}"
    if any(case.outcome is None for case in cases):
        return "error", f"it was not run to its end: {reasons or 'pytest stopped before'}"
    outcomes = {case.outcome for case in cases}
    if outcomes == {"skipped"}:
        return "skipped", "\n".join(dict.fromkeys(text for case in cases for text in case.messages))
    bad = [case for case in cases if case.outcome in ("failed", "error")]
    if not bad:
        return "passed", ""
    texts = ["\n".join(filter(None, [case.label, *case.messages])) for case in bad]
    count = [f"{len(bad)} of {len(cases)} cases failed"] if len(cases) > 1 else []
    return "failed" if "failed" in outcomes else "error", "\n\n".join([*count, *texts])


def _shown(text: str, code: CellCode) -> str:
    """pytest's text with places as a notebook's reader knows them."""
    place = re.compile(rf"^(?:[^\n:]*[/\\])?{re.escape(code.filename)}:(\d+): in (.*)$", re.MULTILINE)

    def said(found: re.Match[str]) -> str:
        where = "" if found[2] == "<module>" else f", in {found[2]}"
        return f"cell {code.cell}, line {found[1]}{where}"

    text = place.sub(said, text)
    text = re.sub(r"^(\S*ipykernel_\S+\.py):(\d+): in (.*)$", _executed_cell, text, flags=re.MULTILINE)
    # what pytest says of a fixture that is not there, and its advice for a command line
    text = re.sub(rf"^file {re.escape(code.filename)}, line (\d+)$", rf"cell {code.cell}, line \1", text, flags=re.M)
    text = re.sub(rf"^(>\s+use 'pytest --fixtures.*|{re.escape(code.filename)}:\d+)$", "", text, flags=re.M)
    text = re.sub(r"^In \S*?::", "In ", text).replace(", use '-vv' to show", "")
    return re.sub(r"[ \t]+$", "", text, flags=re.M).rstrip()


def _executed_cell(found: re.Match[str]) -> str:
    """A function of the notebook: its cell by the number that the kernel gave it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    known = shell.compile.format_code_name(found[1]) if shell is not None else None
    return f"{known[1]}, line {found[2]}, in {found[3]}" if known else found[0]


def _cut(message: str) -> str:
    if len(message) <= LONGEST_MESSAGE:
        return message
    return f"{message[:LONGEST_MESSAGE]}\n… {len(message) - LONGEST_MESSAGE} more characters"


def _digest(value: Any) -> str:
    from nb2prod.storage.digests import digest

    return str(digest(value))
