"""The magics: `%load_ext nb2prod` makes cells say what they are for; `%pipeline` shows what they come to.

How a cell with one of our magics runs is told in `kernel.live_shell`; here is the way in, and `%pipeline`, which works
on the notebook's own cells: on its saved file where that is known and says what ran, else on the cells that ran.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb2prod.core.errors import FindingsError, Nb2prodError, NotebookFailed, TestsFailed, UsageError
from nb2prod.kernel import live_cells
from nb2prod.kernel.live_shell import Live, Transformer, misplaced, spoken
from nb2prod.language import tags

if TYPE_CHECKING:
    from nb2prod.core.notebook import Notebook
    from nb2prod.core.pipeline import Pipeline, Plan
    from nb2prod.kernel.live_run import Answer

HELP: dict[str, str] = {
    "parameters": "%%parameters\n\nTyped parameters: `alpha: float = 0.5  # regularisation strength`.",
    "imports": "%%imports\n\nImports that every step has.",
    "functions": "%%functions\n\nFunctions and classes that every step has.",
    "setup": "%%setup\n\nAmbient state that every step needs first: seeds, options, environment.",
    "step": "%%step NAME [--after STEP] [--metric NAME] [--model NAME] [--example NAME] [--plot NAME]\n"
    "            [--retries N] [--retry-on ERROR] [--timeout SECONDS] [--cache off] [--reads PATH]\n\n"
    "A step of the pipeline. Below the cell stands what it read, what it wrote and how long it took.",
    "test": "%%test [STEP]\n\nTests of a step, or of the pipeline: ordinary pytest. The cell fails when a test fails.",
    "pipeline": "%pipeline [--notebook PATH]                     draw the pipeline of this notebook\n"
    "%pipeline check | run | test | package [DIR]    check it; run, test or package it headless\n\n"
    "The notebook is its saved file where that is known, else the cells that ran.",
}


def register(shell: Any) -> None:
    """Make the magics known to a shell, once."""
    if any(isinstance(transformer, Transformer) for transformer in shell.input_transformers_cleanup):
        return
    live = Live(shell)
    shell.input_transformers_cleanup.append(Transformer())
    shell.events.register("pre_run_cell", live.pre_run_cell)
    shell.events.register("post_run_cell", live.post_run_cell)
    for name in tags.MAGICS:
        called = live.test if name == "test" else _refusing(name)
        shell.register_magic_function(_documented(called, name), "cell", name)
    shell.register_magic_function(_documented(lambda line: pipeline(live, line), "pipeline"), "line", "pipeline")


def _refusing(name: str) -> Callable[[str, str], None]:
    """For IPython's lists, completion and help. The transformer takes our magics off, so that nobody calls them."""

    def magic(line: str, cell: str) -> None:
        raise spoken(misplaced(name))

    return magic


def _documented(function: Callable[..., None], name: str) -> Callable[..., None]:
    def magic(*words: str) -> None:
        function(*words)

    magic.__name__, magic.__qualname__, magic.__doc__ = name, name, HELP[name]
    return magic


# -- %pipeline ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `%pipeline …` asks for. `verb` is empty for the drawing."""

    verb: str = ""
    folder: str = ""
    notebook: Path | None = None


@dataclass(frozen=True, slots=True)
class Own:
    """The notebook that the cells belong to; `note` says where it comes from. `saved`: it is a file."""

    pipeline: Pipeline
    note: str
    saved: bool

    @contextlib.contextmanager
    def file(self) -> Iterator[Path]:
        """The notebook as a file; cells that no file holds are written beside the kernel's other files meanwhile."""
        if self.saved:
            yield self.pipeline.notebook.path
            return
        number, name = tempfile.mkstemp(prefix="session-", suffix=".ipynb", dir=self.pipeline.notebook.folder)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                json.dump(live_cells.as_document(self.pipeline.notebook), file, ensure_ascii=False)
            yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)


def pipeline(live: Live, line: str) -> None:
    """`%pipeline …`: answer in the cell, or raise an error of ours that says why not."""
    try:
        wanted = parsed(line)
        if wanted.verb in ("run", "test", "package") and _headless_plan() is not None:
            _note(f"%pipeline {wanted.verb} is left out in a headless run")
            return
        ANSWERS[wanted.verb](own_notebook(live, wanted.notebook), wanted)
    except Nb2prodError as error:
        raise spoken(error) from None


def parsed(line: str) -> Wanted:
    """The words of the line. Raises UsageError."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        raise UsageError(f"%pipeline {line}: {error}") from None
    notebook = None
    if "--notebook" in words:
        position = words.index("--notebook")
        if position + 1 == len(words):
            raise UsageError("%pipeline --notebook needs a path")
        notebook = Path(words[position + 1]).expanduser()
        del words[position : position + 2]
    verb, *rest = words or [""]
    if verb not in ANSWERS:
        near = difflib.get_close_matches(verb, [known for known in ANSWERS if known], n=1)
        known = ", ".join(filter(None, ANSWERS))
        fix = f"did you mean {near[0]}?" if near else f"one of {known}, or nothing for a drawing"
        raise UsageError(f"%pipeline does not know {verb!r}", fix=fix)
    if len(rest) > (verb == "package"):
        raise UsageError(f"%pipeline {verb} does not take {rest[-1]!r}", fix="%pipeline? shows what it takes")
    return Wanted(verb, rest[0] if rest else "", notebook)


def own_notebook(live: Live, named: Path | None) -> Own:
    """The file that was named, or that the front end tells, when it says what ran; else the cells that ran."""
    from nb2prod import api
    from nb2prod.stages.compile import compile

    plan = _headless_plan()
    if plan is not None and named is None:
        return Own(plan.pipeline, "the notebook of this run", saved=True)
    path = named or live_cells.file_of(live.shell.user_ns, os.environ)
    if path is not None:
        found = api.load_pipeline(path)
        return Own(found, _as_saved(found.notebook, live), saved=True)
    session = live_cells.of_this_session(live.cells(), Path.cwd())
    note = "made of the cells that ran, as the notebook's file is not known (--notebook PATH names it)"
    return Own(compile(session), note, saved=False)


def _headless_plan() -> Plan | None:
    """The plan of the headless run that this kernel works for; None where a person works.

    Such a kernel inherits the variables of whoever started it, and these may name another notebook.
    """
    probe = sys.modules.get("nb2prod.kernel.probe")
    return None if probe is None else probe.running()


def _as_saved(notebook: Notebook, live: Live) -> str:
    """How the file stands to what ran. Raises UsageError when the file is older."""
    saved_at = notebook.path.stat().st_mtime
    found = live_cells.differences(live.cells(), notebook, saved_at)
    if found.unsaved:
        raise UsageError(
            f"it does not say what ran: {'; '.join(found.unsaved)} differs from the saved file",
            where=str(notebook.path),
            fix="save the notebook (Ctrl+S) and run this cell again",
        )
    note = f"{notebook.path.name} as saved at {time.strftime('%H:%M:%S', time.localtime(saved_at))}"
    return note + (f"; edited since it ran: {'; '.join(found.edited)}" if found.edited else "")


# -- answers --------------------------------------------------------------------------------------------------------


def _draw(own: Own, wanted: Wanted) -> None:
    from nb2prod import api
    from nb2prod.drawing.draw import Drawing
    from nb2prod.kernel import live_shown

    found = api.told(own.pipeline)
    _show(Drawing(own.pipeline, found), own)
    if found:
        _note(f"{live_shown.counts(found)}: %pipeline check shows them")


def _check(own: Own, wanted: Wanted) -> None:
    from nb2prod import api
    from nb2prod.kernel import live_shown

    _show(live_shown.findings(api.told(own.pipeline), own.pipeline.notebook), own)


def _run(own: Own, wanted: Wanted) -> None:
    from nb2prod import api
    from nb2prod.kernel import live_shown

    _refuse_errors(own)
    answer = _headless(own, "run")
    result = api.load_result(answer.document["directory"])
    _show(live_shown.result(result), own)
    if result.failure is not None:
        raise NotebookFailed(result.failure.message, where=result.failure.place)
    if result.failed_tests:
        raise TestsFailed(f"failed in the headless run: {', '.join(test.id for test in result.failed_tests)}")


def _test(own: Own, wanted: Wanted) -> None:
    from nb2prod.core.result import TestResult
    from nb2prod.kernel.cell_tests_display import show

    _refuse_errors(own)
    answer = _headless(own, "test")
    results = [TestResult(**test) for test in answer.document["tests"]]
    _show(show(results), own)
    failed = [result.id for result in results if result.outcome in ("failed", "error")]
    if failed or answer.code:
        raise TestsFailed(f"failed in the headless run: {', '.join(failed) or f'exit code {answer.code}'}")


def _package(own: Own, wanted: Wanted) -> None:
    from nb2prod.kernel import live_shown

    _refuse_errors(own)
    name = own.pipeline.notebook.name
    answer = _headless(own, "package", "-o", wanted.folder or f"{name}-package", "--name", name)
    _show(live_shown.package(answer.document), own)


def _headless(own: Own, verb: str, *words: str) -> Answer:
    """Run a verb on the notebook in a process of its own. Raises what its last words are when it has no answer."""
    from IPython.display import display

    from nb2prod.kernel import live_run, live_shown

    said = display(live_shown.note(f"{verb}: starting …"), display_id=True)
    with own.file() as path:
        answer = live_run.command(
            [verb, str(path.absolute()), *words], lambda line: said.update(live_shown.note(f"{verb}: {line}"))
        )
    said.update(live_shown.note(f"{verb}: ended with exit code {answer.code}"))
    if not answer.document:
        raise NotebookFailed(f"nb2prod {verb} gave no answer (exit code {answer.code}):\n{answer.words}")
    return answer


def _refuse_errors(own: Own) -> None:
    """Show the findings and raise when one of them is an error, before anything starts."""
    from nb2prod import api
    from nb2prod.kernel import live_shown

    errors = [finding for finding in api.findings(own.pipeline) if finding.severity == "error"]
    if errors:
        _show(live_shown.findings(errors, own.pipeline.notebook), own)
        raise FindingsError(f"{len(errors)} of the findings are errors", fix="correct them; %pipeline check shows all")


def _show(value: object, own: Own) -> None:
    from IPython.display import display

    display(value)
    _note(own.note)


def _note(words: str) -> None:
    from IPython.display import display

    from nb2prod.kernel import live_shown

    display(live_shown.note(words))


ANSWERS: dict[str, Callable[[Own, Wanted], None]] = {
    "": _draw,
    "check": _check,
    "run": _run,
    "test": _test,
    "package": _package,
}
