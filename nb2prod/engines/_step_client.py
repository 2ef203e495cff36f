"""The client that sends cells to the kernel, tells where steps begin and end, and says how a run failed."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_core.utils import ensure_event_loop, run_sync
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient

from nb2prod.core.errors import WorkerLost
from nb2prod.core.events import CellFinished, KernelStarted, StepFinished, StepStarted
from nb2prod.core.pipeline import Plan, Step
from nb2prod.core.ports import Environment, Publish
from nb2prod.core.result import Failure
from nb2prod.engines._outputs import (
    event_without_secrets,
    failure_of,
    mask,
    masked_message,
    overwritten,
    stdout_of,
    written_forms,
)
from nb2prod.kernel import boundary
from nb2prod.storage import files, journal

PROBE = "__import__('nb2prod.kernel.probe', fromlist=['_'])"
LONGEST_STREAM = 10_000_000
SAVE_EVERY = 2.0  # seconds: what a killed run loses of its outputs at most
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class Running:
    """One run under way: what it was given, and the failure it came to (an engine of papermill returns nothing)."""

    plan: Plan
    publish: Publish
    environment: Environment
    secrets: Mapping[str, str]
    output: Path | None = None  # None: papermill saves the executed notebook
    failure: Failure | None = None


class StepClient(PapermillNotebookClient):  # type: ignore[misc]  # papermill has no types
    """Sends cells, tells where steps begin and end, and asks the kernel what they made."""

    def __init__(self, nb_man: Any, running: Running, **traits: Any) -> None:
        super().__init__(nb_man, timeout=None, **traits)
        self.running = running
        self.plan = running.plan
        self.compared = boundary.wanted(running.plan)
        secret = {parameter.name for parameter in self.plan.pipeline.parameters if parameter.secret}
        self.secrets = written_forms(value for name, value in self.plan.given.items() if name in secret)
        self.streamed = 0  # characters that the cell has printed
        self.timeout_func = self._seconds_left
        self.seconds: dict[str, float] = {}
        self.printed: dict[str, str] = {}
        self.sent = ""  # what the kernel was sent for the last cell
        self.shift = 0  # lines at the top of the cell that the kernel was not sent
        self.entered: str | None = None
        self.step: Step | None = None
        self.interrupted = ""
        self.started = time.monotonic()
        self.saved = self.started
        self.group: int | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.sockets = tempfile.mkdtemp(prefix="nb2prod-")

    def create_kernel_manager(self) -> Any:
        """A kernel behind sockets in a folder of ours alone: over TCP the machine's other users could listen."""
        manager = super().create_kernel_manager()
        if os.name == "posix":
            manager.connection_file = str(Path(self.sockets) / "kernel.json")
            manager.transport = "ipc"
        return manager

    def execute(self, **start: Any) -> None:
        """Start the kernel, send the cells, end the kernel. A kernel that does not start is a failure of the run."""
        self.reset_execution_trackers()
        try:
            with self.setup_kernel(**start):
                self._watch_signals()
                self._began()
                self._cells()
                self.set_widgets_metadata()
        except RuntimeError as error:
            if self.running.failure is None:
                self.running.failure = Failure("start", f"the kernel did not start: {error}")

    def _cells(self) -> None:
        for position, cell in enumerate(self.nb.cells):
            if self.running.failure is not None:
                break
            self._cell(cell, position)

    def _save(self, *, now: bool = False) -> None:
        """Save the executed notebook, whole or not at all: every two seconds, when a step ends, and at the end."""
        if self.running.output is not None and (now or time.monotonic() - self.saved > SAVE_EVERY):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # nbformat's, about what the author's notebook lacks
                files.write_text(self.running.output, nbformat.writes(self.nb))
            self.saved = time.monotonic()

    def _began(self) -> None:
        process = getattr(self.km.provisioner, "process", None)
        self.group = os.getpgid(process.pid) if process else None
        self._evaluate(f"{PROBE}.start({self.plan.directory!r})")
        self.running.publish(KernelStarted(kernel=self.kernel_name, seconds=time.monotonic() - self.started))

    def _cell(self, cell: Any, position: int) -> None:
        index = cell.metadata.get("nb2prod", {}).get("cell")
        role = self.plan.pipeline.roles[index] if index is not None else None
        kind = role.kind if role else ""
        if cell.cell_type != "code" or kind == "skip" or (self.plan.only_steps and kind == "exploration"):
            return
        self.step = next((step for step in self.plan.pipeline.steps if index in step.cells), None)
        began = time.monotonic()
        try:
            self._enter(index)
            self.nb_man.cell_start(cell, position)
            if kind == "test":
                self._run_as(cell, position, f"{PROBE}.test({self.plan.directory!r}, {index})")
                self._ask("tested")
            else:
                self.sent, self.shift = _body(cell.source, 0) if role is None else _body(role.body, role.line_offset)
                self._run_as(cell, position, self.sent)
            self._finish(index, time.monotonic() - began, cell)
            if self.compared is not None and boundary.is_due(self.compared, position):
                self._ask("boundary", position=position)
        except (CellExecutionError, CellTimeoutError, DeadKernelError, Refused) as error:
            self._failed(error, cell, position, index, time.monotonic() - began)
        finally:
            self.nb_man.cell_complete(cell, cell_index=position)
            self._save(now=self.step is not None and index == self.step.cells[-1])

    def _run_as(self, cell: Any, position: int, source: str) -> None:
        """Run `source` in the place of the cell's own, which the executed notebook keeps."""
        written = cell.source
        cell.source = source
        self.streamed = 0
        try:
            self.execute_cell(cell, position)
        finally:
            cell.source = written
            for output in cell.outputs:
                if output["output_type"] == "stream":
                    output["text"] = overwritten(output["text"])

    def _enter(self, index: int | None) -> None:
        name = self.step.name if self.step else ""
        first = self.step is not None and index == self.step.cells[0]
        if self.step is not None and first:
            self.seconds[name] = 0.0
            self.printed[name] = ""
            self.running.publish(StepStarted(step=name, parameters=self.step.parameters))
        if first or name != self.entered:
            environment = dict(self.running.environment(name))
            self._ask("enter", step=name, cell=index, environment=environment, first=first)
            self.entered = name

    def _finish(self, index: int | None, seconds: float, cell: Any) -> None:
        if self.step is None:
            if index is not None:
                self.running.publish(CellFinished(cell=index, seconds=seconds))
            return
        name = self.step.name
        last = index == self.step.cells[-1]
        self.seconds[name] += seconds
        self.printed[name] += stdout_of(cell)
        self._ask("leave", step=name, last=last)
        self.entered = None
        self.running.publish(CellFinished(cell=int(index or 0), seconds=seconds, step=name))
        if last:
            self.running.publish(
                StepFinished(
                    step=name,
                    status="finished",
                    seconds=self.seconds[name],
                    printed=self.printed[name],
                    reason="the engine runs the whole notebook",
                )
            )

    # -- asking the kernel -------------------------------------------------------------------------------------------

    def _ask(self, question: str, **what: Any) -> None:
        """Publish what the probe answers. Raises Refused when a tagged value cannot be kept."""
        words = "".join(f", {name}={value!r}" for name, value in what.items())
        answer = json.loads(self._evaluate(f"{PROBE}.ask({self.plan.directory!r}, {question!r}{words})"))
        for line in answer["events"]:
            self.running.publish(event_without_secrets(journal.decode(line), self.secrets))
        if answer["refused"]:
            raise Refused(mask(answer["refused"]["message"], self.secrets))

    def _evaluate(self, expression: str) -> str:
        """The text that an expression gives in the kernel, evaluated beside the notebook's cells."""
        content = run_sync(self._reply)(expression)
        result = content.get("user_expressions", {}).get("asked", {})
        if result.get("status") != "ok":
            raise _no_probe(self.kernel_name, result or content)
        return str(ast.literal_eval(result["data"]["text/plain"]))

    async def _reply(self, expression: str) -> dict[str, Any]:
        message = self.kc.execute("", silent=True, store_history=False, user_expressions={"asked": expression})
        while True:
            try:
                reply = await self.kc.get_shell_msg(timeout=1)
            except Exception as error:
                from queue import Empty

                if not isinstance(error, Empty):
                    raise
                await self._async_check_alive()
                continue
            if reply["parent_header"].get("msg_id") == message:
                return dict(reply["content"])

    def process_message(self, message: Any, cell: Any, cell_index: int) -> Any:
        content = masked_message(message["content"], self.secrets)
        if message["msg_type"] == "clear_output":
            self.streamed = 0
        if message["msg_type"] == "stream":
            content["text"] = self._as_much_as_fits(content["text"])
            if not content["text"]:
                return None
        return super().process_message({**message, "content": content}, cell, cell_index)

    def _as_much_as_fits(self, text: str) -> str:
        """What a cell prints beyond the limit is left out: it would have to be held in memory, saved and sent."""
        room = LONGEST_STREAM - self.streamed
        self.streamed += len(text)
        if len(text) <= room:
            return text
        return (
            f"{text[:room]}\n… cut by nb2prod: the cell prints more than {LONGEST_STREAM:,} characters\n"
            if room > 0
            else ""
        )

    def output(self, outs: list[Any], msg: Any, display_id: str | None, cell_index: int) -> Any:
        """Streams of one name become one output, as in Jupyter (nbclient's way takes minutes for a long line)."""
        out = super().output(outs, msg, display_id, cell_index)
        if out is None or out["output_type"] != "stream":
            return out
        first = next(o for o in outs if o["output_type"] == "stream" and o["name"] == out["name"])
        if first is not out:
            first["text"] += out["text"]
            outs.pop()
        return out

    # -- when it goes wrong ------------------------------------------------------------------------------------------

    def _seconds_left(self, _: Any) -> float | None:
        """The time the next cell may take: what is left of its step's `timeout:`, else the run's limit for a cell."""
        if self.step is not None and self.step.timeout is not None:
            return max(0.01, self.step.timeout - self.seconds.get(self.step.name, 0.0))
        return self.plan.timeout

    def _failed(self, error: Exception, cell: Any, position: int, index: int | None, seconds: float) -> None:
        name = self.step.name if self.step else None
        failure = self._failure(error, cell, index)
        self.running.failure = failure
        self.nb_man.cell_exception(cell, cell_index=position, exception=error)
        if name is not None and name in self.seconds:
            self.running.publish(
                StepFinished(
                    step=name,
                    status="failed",
                    seconds=self.seconds[name] + seconds,
                    printed=self.printed[name] + stdout_of(cell),
                    reason=failure.message,
                )
            )

    def _failure(self, error: Exception, cell: Any, index: int | None) -> Failure:
        step = self.step.name if self.step else None
        if self.interrupted:
            return Failure("interrupted", f"ended by {self.interrupted}", step, index)
        if isinstance(error, CellTimeoutError):
            self._kill()
            limit = self._seconds_left(cell)
            return Failure("timeout", f"it did not end in time (limit {limit:g} s)", step, index)
        if isinstance(error, DeadKernelError):
            return Failure("kernel", f"the kernel died: {self._cause_of_death()}", step, index)
        if isinstance(error, Refused):
            return Failure("keep", str(error), step, index)
        return failure_of(cell, step, index, self.sent, self.shift, self.secrets)

    def _cause_of_death(self) -> str:
        process = getattr(self.km.provisioner, "process", None) if self.km else None
        code = process.poll() if process else None
        if code == -signal.SIGKILL:
            return "it was ended by SIGKILL, which is what the system does when memory runs out"
        if code is not None and code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it exited with code {code}" if code is not None else "it stopped answering"

    def _watch_signals(self) -> None:
        """On SIGINT and SIGTERM: end the kernel at once and say who asked, in the place of nbclient's slow shutdown."""
        loop = ensure_event_loop()  # the one that nbclient's calls run on
        if loop.is_running():
            return  # called inside Jupyter: signals are its affair
        self.loop = loop
        for number in SIGNALS:
            try:
                loop.add_signal_handler(number, self._interrupt, signal.Signals(number).name)
            except (RuntimeError, NotImplementedError, ValueError):
                return  # not in the main thread: the caller handles signals

    def _interrupt(self, name: str) -> None:
        self.interrupted = name
        self._kill()

    def _kill(self) -> None:
        """End the kernel and every process it started."""
        if self.group is not None and self.group != os.getpgid(0):
            try:
                os.killpg(self.group, signal.SIGKILL)
            except ProcessLookupError:
                self.group = None

    def end(self) -> None:
        """After the run: what the notebook left running (a server, a worker pool) ends with it."""
        self._kill()
        self._save(now=True)
        if self.loop is not None:
            for number in SIGNALS:
                self.loop.remove_signal_handler(number)
        shutil.rmtree(self.sockets, ignore_errors=True)


def _body(source: str, offset: int) -> tuple[str, int]:
    """What the kernel is sent for a cell, and how many lines lower the author sees it.

    IPython drops empty lines at the top: comments hold their place, and that of our magic. A magic of another kind has
    to stand first.
    """
    text = source.lstrip("\n")
    above = offset + len(source) - len(text)
    return (text, above) if text.lstrip().startswith("%%") else ("#\n" * above + text, 0)


class Refused(Exception):
    """The kernel could not keep a tagged value: the message says which and why."""


def _no_probe(kernel: str, result: Mapping[str, Any]) -> WorkerLost:
    reason = f"{result.get('ename', 'it')}: {result.get('evalue', 'gave no answer')}"
    shadowed = "is not a package" in reason or "has no attribute" in reason
    fix = "install nb2prod in the kernel's environment, or choose another with --kernel"
    return WorkerLost(
        f"nb2prod cannot work inside the kernel {kernel!r} ({reason})",
        fix="rename the file nb2prod.py beside the notebook: it stands in the way" if shadowed else fix,
    )
