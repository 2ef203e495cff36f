"""A step in a process of its own: what was delivered is unpacked, its cells run, what they left is packed.

The process speaks in messages: `("began", position)`, `("output", position, output)`, `("again", position, seconds)`,
`("ended", position, failed, note)`, `("events", lines)`, `("parallel", begins)`, `("refused", message)`,
`("lost", message)` and at the end `("report", Report)`. It ends when the engine hangs up.
"""

from __future__ import annotations
import __future__

import ast
import asyncio
import atexit
import contextlib
import dataclasses
import gc
import signal
import sys
import threading
import time
import types
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nb2prod.core.events import ArtifactKept, Event
from nb2prod.kernel import ambient, boundary, carry, carry_arrays, on_cluster, probe, step_shell, watching
from nb2prod.kernel.keepable import CannotKeep
from nb2prod.kernel.local_modules import Watch
from nb2prod.kernel.parcels import Kept, Parcel
from nb2prod.kernel.step_work import CellWork, Packed, Report, Work
from nb2prod.language.plain import plain
from nb2prod.storage import files, journal


def prepare() -> None:
    """What all steps have in common is made once, before the first fork."""
    _ready.append(_Process())


def inherit() -> None:
    """Everything is imported: from now on children are forked."""
    ambient.inherit()


def work(engine: Connection) -> None:
    """Do what the engine asks for, until it hangs up."""
    process = _ready[0]
    process.meet(engine)
    while True:
        try:
            wanted = engine.recv()
        except (EOFError, OSError):
            break
        process.do(wanted)
    process.close()


class _CannotUnpack(Exception):
    """A value did not survive the way: its class does something of its own when it is made."""


class _Process:
    """One process: IPython's shell, the run's probe, and the way to the engine."""

    def __init__(self) -> None:
        self.engine: Connection | None = None
        self.speaking = threading.Lock()
        self.position = -1
        self.failed = False
        self.shell = step_shell.open_shell(self._output)
        self.namespace: dict[str, Any] = self.shell.user_ns
        self.own = dict(self.namespace)  # IPython's names, unless the notebook binds them anew
        self.probe: probe.Probe | None = None
        self.descriptors: step_shell.Descriptors | None = None
        self.hosted: frozenset[str] = frozenset()
        self.watch: Watch | None = None
        self.imports = 0  # how many import statements were made
        self.keeps = ""  # why this process has to be kept whatever its values are

    # -- speaking ----------------------------------------------------------------------------------------------------

    def meet(self, engine: Connection) -> None:
        self.engine = engine
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine hears it, and ends us
        self.descriptors = step_shell.Descriptors(self._output)
        sys.stdout = step_shell.Said("stdout", self._output, 1)
        sys.stderr = step_shell.Said("stderr", self._output, 2)

    def _say(self, *message: Any) -> None:
        assert self.engine is not None
        with self.speaking:
            self.engine.send(message)

    def _output(self, output: Mapping[str, Any]) -> None:
        if output["output_type"] == "error":
            self.failed = True
        elif output["output_type"] != "stream":
            sys.stdout.flush()
            sys.stderr.flush()
        self._say("output", self.position, dict(output))

    def _tell(self, events: Sequence[Event]) -> None:
        if events:
            self._say("events", [journal.encode(event) for event in events])

    # -- working -----------------------------------------------------------------------------------------------------

    def do(self, wanted: Work) -> None:
        if self.probe is None:
            self._begin(wanted)
        for name in self._names(wanted) - (self.hosted - wanted.stale):
            del self.namespace[name]
        self._import(wanted)
        try:
            delivered = [(packed, self._unpacked(packed)) for packed in wanted.parcels]
            ambient.put({name: value for packed in wanted.ambient for name, value in self._unpacked(packed).items()})
        except _CannotUnpack as found:
            self._say("lost", str(found))
            return
        for _, values in delivered:
            self.namespace.update(values)
        if wanted.watched:
            watching.begin()
            watching.look_at(value for _, values in delivered for value in values.values())
        before = [carry.Before(self.namespace, values) for _, values in delivered]
        surroundings = ambient.taken()
        if self._cells(wanted):
            self._say("report", self._report(wanted, before, surroundings))

    def _begin(self, wanted: Work) -> None:
        import importlib

        from IPython.core import async_helpers

        for library in wanted.libraries:
            with contextlib.suppress(Exception):  # it fails again, and is reported, where the notebook imports it
                importlib.import_module(library)
        if wanted.names_indexes:
            carry_arrays.follow_indexes()
        if wanted.cluster:
            on_cluster.use(wanted.cluster, lambda begins: self._say("parallel", begins))
        self.watch = Watch()
        sys.meta_path.insert(0, self.watch)
        # Jupyter runs cells inside a loop: tasks that a cell starts belong to it
        asyncio.set_event_loop(async_helpers.get_asyncio_loop())
        self.probe = probe.Probe(Path(wanted.directory), self.namespace)
        probe.adopt(wanted.directory, self.probe)
        self.shell.extension_manager.load_extension("nb2prod")
        self.own |= {name: value for name, value in self.namespace.items() if name not in self.own}
        for count, source in wanted.sources:
            self.shell.compile.cache(self.shell.transform_cell(source), count, raw_code=source)
        for line in wanted.magics:
            self.shell.run_cell(line, store_history=False, silent=True)

    def _import(self, wanted: Work) -> None:
        """What earlier cells import: for the names, and for what an import does to its library."""
        scratch: dict[str, Any] = {"__name__": "__main__"}
        for statement in wanted.imports[self.imports :]:
            with contextlib.suppress(Exception):  # it fails again, and is reported, where the notebook imports it
                exec(compile(statement, "<imports>", "exec", dont_inherit=True), scratch)
        self.imports = len(wanted.imports)
        # `from __future__ import …` counts for every cell that comes after
        futures = [value for value in scratch.values() if isinstance(value, __future__._Feature)]
        for feature in futures:
            self.shell.compile.flags |= feature.compiler_flag
        for name in wanted.imported & scratch.keys():
            self.namespace[name] = self.own[name] = scratch[name]

    def _unpacked(self, packed: Packed) -> dict[str, Any]:
        """The values that count of a parcel: of some of its names there may be newer ones elsewhere."""
        try:
            values = carry.unpack(Path(packed.path).read_bytes(), self.namespace)
        except Exception as error:
            names = ", ".join(f"`{name}`" for name in packed.names)
            raise _CannotUnpack(f"{names} cannot be unpickled ({type(error).__name__}: {error})") from error
        return {name: values[name] for name in packed.names}

    def _cells(self, wanted: Work) -> bool:
        """Whether all went as it should."""
        assert self.probe is not None
        self.probe.keeper.recall(
            [event.artifact for event in map(journal.decode, wanted.kept) if isinstance(event, ArtifactKept)]
        )
        return all(self._cell(wanted, cell) for cell in wanted.cells)

    def _cell(self, wanted: Work, cell: CellWork) -> bool:
        """One cell, as often as its step says. Whether all went as it should."""
        assert self.probe is not None
        step = next((step for step in self.probe.plan.pipeline.steps if step.name == wanted.step), None)
        is_step = step is not None and cell.index in step.cells
        first = step is not None and is_step and cell.index == step.cells[0]
        last = step is not None and is_step and cell.index == step.cells[-1]
        name = wanted.step if is_step or cell.is_test else ""
        self.position = cell.position
        attempt, note = 0, ""
        while True:
            self._say("began", cell.position)
            self._tell(self.probe.enter(name, cell.index, wanted.environment, first=first and not attempt))
            error = self._ran(wanted, cell)
            attempt += 1
            if error is None or not is_step:
                break
            refused = self._again(name, cell, attempt, error)
            if refused is not None:
                note = refused
                break
        try:
            if error is None:
                self._tell(self.probe.leave(name, last=last) if name and not cell.is_test else [])
                self._tell(self.probe.tested())
        except CannotKeep as refused:
            self._tell(refused.events)
            self._say("refused", refused.message)
            return False
        self._say("ended", cell.position, error is not None, note)
        return error is None

    def _ran(self, wanted: Work, cell: CellWork) -> str | None:
        """Run the cell; what its error says, None when it did not fail or may."""
        assert self.descriptors is not None
        self.failed = False
        self.shell.execution_count = cell.count
        if wanted.watched:
            watching.look_at(_texts_in(cell.source))
        source = f"{TEST}({wanted.directory!r}, {cell.index})" if cell.is_test else cell.source
        with watching.on() if wanted.watched else contextlib.nullcontext():
            result = self.shell.run_cell(source, store_history=True)
        sys.stdout.flush()
        sys.stderr.flush()
        self.descriptors.drain()
        if cell.may_fail or (result.success and not self.failed):
            return None
        error = result.error_in_exec or result.error_before_exec
        return f"{type(error).__name__}: {error}"

    def _again(self, step: str, cell: CellWork, attempt: int, error: str) -> str | None:
        """Make ready for another try and wait for it: None; else why there is none."""
        assert self.probe is not None
        try:
            retried = self.probe.again(step, int(cell.index or 0), attempt, error)
        except CannotKeep as refused:
            return refused.message
        if not retried:
            return ""
        self._tell(retried)
        self._say("again", cell.position, retried[0].wait)
        time.sleep(retried[0].wait)
        return None

    # -- what is left ------------------------------------------------------------------------------------------------

    def _report(self, wanted: Work, before: list[carry.Before], surroundings: Mapping[str, Any]) -> Report:
        changed: set[str] = set()
        really: set[str] = set()
        for values in before:
            if different := values.changed(self.namespace):
                changed |= set(values.names)
                really |= different
        delivered = {name for values in before for name in values.names}
        names = self._names(wanted)
        fresh = {name for name in names if name not in delivered or name in changed or name in self.hosted}
        gone = (delivered | self.hosted) - names
        parcels, stays, left_out = self._packed(wanted, names, fresh, delivered)
        unseen = self._unseen(wanted)
        if unseen:
            # everything that comes after runs here: nothing has to leave
            stays, parcels, hosted = [*unseen, *stays], [], names
        else:
            hosted = {name for kept in stays for name in kept.names}
        self.hosted = frozenset(hosted)
        states = ambient.changed(surroundings, ambient.taken())
        around = [parcel for name in states for parcel in carry.pack({name: states[name]}, [name])[0]]
        self._note(wanted, delivered, (fresh | delivered) & names, states.keys() & ambient.RANDOM)
        return Report(
            parcels=tuple(_written(parcel, Path(wanted.values)) for parcel in parcels),
            ambient=tuple(_written(parcel, Path(wanted.values)) for parcel in around),
            gone=frozenset(gone),
            same=frozenset(delivered & names - really),
            stays=tuple(stays),
            hosted=self.hosted,
            left_out=frozenset(left_out),
            seen=self._seen(wanted, [*parcels, *around]) if wanted.watched else None,
        )

    def _seen(self, wanted: Work, parcels: Sequence[Parcel]) -> watching.Seen:
        assert self.watch is not None
        code = "\n".join((*(cell.source for cell in wanted.cells), *(source for _, source in wanted.sources)))
        seen = watching.seen(self.watch.is_local, code)
        short = next((parcel for parcel in parcels if not parcel.lasting), None)
        if short is None:
            return seen
        effect = f"leaves a set whose order hangs on the process (in `{', '.join(short.names)}`)"
        return dataclasses.replace(seen, effects=(*seen.effects, effect))

    def _note(self, wanted: Work, delivered: set[str], names: set[str], streams: set[str]) -> None:
        """For a comparison, if there is to be one: what the work read, made and changed."""
        assert self.probe is not None
        promised = {name for name in boundary.promised(self.probe.plan, wanted.step) if name in self.namespace}
        handed = (names & (wanted.live | delivered)) | promised
        position = wanted.cells[-1].position
        made = (names - wanted.imported) | promised | streams
        boundary.write(self.probe.plan, position, wanted.step, self.namespace, made, handed)

    def _unseen(self, wanted: Work) -> list[Kept]:
        """What the work did to its process that no value shows."""
        self.keeps = self.keeps or wanted.keeps
        if not self.keeps and user_threads(self.namespace):
            self.keeps = "has started a thread"
        if not self.keeps and self.watch is not None and (modules := self.watch.changed()):
            self.keeps = f"changes what the module {modules[0]} keeps"
        if not self.keeps and _open_figures():
            self.keeps = "has a figure of pyplot open"
        return [Kept("", self.keeps, "which another process would not know")] if self.keeps else []

    def _names(self, wanted: Work) -> set[str]:
        """The names that the notebook has bound here."""
        ipythons = {name for name in self.namespace if _is_history(name)} - wanted.own | {"__builtins__"}
        bound = {name for name, value in self.namespace.items() if self.own.get(name, self) is not value}
        return bound - ipythons

    def _packed(
        self, wanted: Work, names: set[str], fresh: set[str], delivered: set[str]
    ) -> tuple[list[Parcel], list[Kept], set[str]]:
        """Parcels of all that is new, or shares something with what is new, and may be read later; and what is not in.

        Also of what was delivered: a piece that runs at the same time may have tied something else to it.
        """
        live = names & (wanted.live | delivered)
        while True:
            parcels, kept = carry.pack(self.namespace, sorted(live), fresh)
            more = {need for parcel in parcels for need in parcel.needs if need in names} - live - wanted.imported
            if not more:
                break
            live |= more
        return parcels, kept, names - live

    def close(self) -> None:
        """The end of the process, as an interpreter ends: open files are flushed, `atexit` is heard."""
        self.engine = None
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        self.namespace.clear()
        gc.collect()
        atexit._run_exitfuncs()


_ready: list[_Process] = []
TEST = "__import__('nb2prod.kernel.probe', fromlist=['_']).test"


def _is_history(name: str) -> bool:
    """`_`, `__`, `_5`, `_i`, `_i5`, `_dh`, `_oh`, `_ih`: IPython's own memory of what was typed."""
    return name in ("In", "Out", "_dh", "_oh", "_ih", "_exit_code") or (
        name.strip("_") == ""
        or (name.startswith("_") and name.lstrip("_").lstrip("i").isdecimal())
        or name in ("_i", "_ii", "_iii")
    )


def _written(parcel: Parcel, folder: Path) -> Packed:
    digest = parcel.digest
    path = folder / f"{digest}.pkl"
    if not path.exists():
        files.write_bytes(path, parcel.content)
    return Packed(parcel.names, str(path), digest, parcel.needs, parcel.identity)


def _texts_in(source: str) -> list[str]:
    """The texts that stand in a cell's code."""
    tree = plain(source).tree
    nodes = ast.walk(tree) if tree is not None else ()
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _open_figures() -> bool:
    """Whether pyplot would draw the next line into a figure of this step. Jupyter closes figures after each cell."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    return pyplot is not None and bool(pyplot.get_fignums())


def user_threads(namespace: Mapping[str, Any]) -> list[threading.Thread]:
    """Threads that run a function of the notebook: they may still change its values."""
    found = []
    for thread in threading.enumerate():
        target = getattr(thread, "_target", None)
        target = getattr(target, "__func__", target)
        if isinstance(target, types.FunctionType) and target.__globals__ is namespace:
            found.append(thread)
    return found
