"""Resume points, seen from inside the kernel: its values are packed at the end of a step, and put back in a new one.

    points = Points(namespace, shell)     when the kernel has started, before the first cell
    points.take(wanted)                   at the end of a step
    points.put(wanted)                    in a new kernel, instead of the cells up to the point

To take one costs the notebook the time of a fork: the child has everything as it was at that moment, packs it
(`carry`) and writes it, while the next cell runs. A child that does not come to an end is ended by an alarm; a point
that was not written is none, and a resume then starts from the one before.

What cannot be packed makes the end of a step no resume point, and the point's record says why: an open file that is
read later, a thread that runs, a library that was changed, a figure that is still drawn into. Names that nothing later
can mean are left out. Secrets are never written: a secret parameter is given again, and values that hold its text make
the end of the step no resume point.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import html
import json
import os
import pickle
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nb2prod.kernel import ambient, carry, tracked_call
from nb2prod.kernel.ambient import ENVIRONMENT
from nb2prod.kernel.local_modules import Watch
from nb2prod.kernel.parcels import Kept, Parcel
from nb2prod.storage import points
from nb2prod.storage.points import Packed, Point
from nb2prod.storage.store import open_store

MOST_AT_ONCE = 3  # points that are written at the same time
LONGEST_WRITE = 900  # seconds that a child may take to pack and write
SHORTEST_SECRET = 4  # characters: shorter ones are found everywhere
# a child of a process that uses these would wait for ever for their threads, or cannot reach what they hold
NO_FORK = ("polars", "tensorflow", "jax")
MOST_FILES = 65_536
PLACES = ("<path>", "<folder>", ENVIRONMENT)  # what imports depend on


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the engine asks for at the end of a step, or when a run goes on.

    `words` are those of the cells that follow: a name that is none of them is not needed (None: every name is).
    `imports` are import statements of the cells so far, and what else is done again in a new process; `imported` names
    that nothing but imports bind. `binds` are the names that the notebook binds itself. `secrets` are (name, variable
    of the environment) of secret parameters. `refused` says what is in the way already.
    """

    store: str
    run: str
    position: int
    pages: tuple[str, ...] = ()
    words: tuple[str, ...] | None = ()
    imports: tuple[str, ...] = ()
    imported: tuple[str, ...] = ()
    binds: tuple[str, ...] = ()
    magics: tuple[str, ...] = ()
    sources: tuple[tuple[int, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    injected: str = ""
    count: int = 0
    refused: str = ""


class CannotPutBack(Exception):
    """Values of a point do not come back: which, and why."""


class Points:
    """The resume points of one kernel."""

    def __init__(self, namespace: MutableMapping[str, Any], shell: Any) -> None:
        self.namespace = namespace
        self.shell = shell
        self.own = dict(namespace)  # IPython's names, unless the notebook binds them anew
        self.before = ambient.taken()
        self.secrets = dict(os.environ)
        self.children: list[int] = []  # that still write
        self.watch = Watch()
        sys.meta_path.insert(0, self.watch)

    # -- taking one --------------------------------------------------------------------------------------------------

    def take(self, wanted: Wanted) -> None:
        """Begin to write a point. What it costs until this returns is what the notebook waits."""
        if self._writing() >= MOST_AT_ONCE:
            return  # the disk does not follow, and each holds values in memory
        reason = wanted.refused or self._unseen()
        if reason:
            none = points.refused(wanted.position, time.time(), reason)
            points.written(open_store(wanted.store), _name(wanted), none)
            return
        states = self._states()  # here, because a child's random stream is another
        if "://" in wanted.store or not hasattr(os, "fork") or not _may_fork():
            self._write(wanted, states)
            return
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            _in_child(lambda: self._write(wanted, states))
        self.children.append(child)

    def settle(self, seconds: float) -> None:
        """Wait for the children that write."""
        end = time.monotonic() + seconds
        while self._writing() and time.monotonic() < end:
            time.sleep(0.005)

    def _writing(self) -> int:
        """How many children still write."""
        self.children = [child for child in self.children if not _has_ended(child)]
        return len(self.children)

    def _states(self) -> dict[str, Any]:
        """The ambient state that is not as it was at the start; of the environment only what was changed."""
        states = ambient.changed(self.before, ambient.taken())
        if ENVIRONMENT in states:
            states[ENVIRONMENT] = _difference(self.before[ENVIRONMENT], states[ENVIRONMENT])
        return states

    def _unseen(self) -> str:
        """What was done to the process that no value shows."""
        from nb2prod.kernel.step_process import _open_figures, user_threads

        if user_threads(self.namespace):
            return "a thread of the notebook is running"
        if modules := self.watch.changed():
            return f"the module {modules[0]} keeps values that are not those of its import"
        if _open_figures():
            return "a figure of pyplot is still open"
        return "an MLflow run is open" if tracked_call._kernel.left_open else ""

    def _write(self, wanted: Wanted, states: Mapping[str, Any]) -> None:
        store, at = open_store(wanted.store), time.time()
        parcels, kept = self._packed(wanted)
        around, stays = carry.pack(states, sorted(states))
        reason = next((f"{one.path} is {one.reason}" for one in (*kept, *stays)), "")
        reason = reason or self._holding_secrets(wanted, [*parcels, *around])
        if reason:
            points.written(store, _name(wanted), points.refused(wanted.position, at, reason))
            return
        ambients = pickle.dumps([parcel.content for parcel in around], protocol=5)
        point = Point(
            position=wanted.position,
            at=at,
            pages=wanted.pages,
            parcels=tuple(Packed(parcel.names, store.put(parcel.content)) for parcel in parcels),
            ambient=store.put(ambients),
            count=wanted.count,
            python=platform.python_version(),
            packages=_versions(wanted.imports),
        )
        points.written(store, _name(wanted), point)

    def _names(self, wanted: Wanted) -> set[str]:
        """The names that the notebook has bound here, and that are not made again in another way."""
        from nb2prod.kernel.step_process import _is_history

        bound = {name for name, value in self.namespace.items() if self.own.get(name, self) is not value}
        bound -= {name for name in bound if _is_history(name)} - set(wanted.binds)
        given = {name for name, variable in wanted.secrets if self.namespace.get(name) == self.secrets.get(variable)}
        return bound - {"__builtins__", *wanted.imported} - given

    def _packed(self, wanted: Wanted) -> tuple[list[Parcel], list[Kept]]:
        names = self._names(wanted)
        live = names if wanted.words is None else names & set(wanted.words)
        while True:
            parcels, kept = carry.pack(self.namespace, sorted(live))
            more = {need for parcel in parcels for need in parcel.needs if need in names} - live
            if not more:
                return parcels, kept
            live |= more

    def _holding_secrets(self, wanted: Wanted, parcels: Iterable[Parcel]) -> str:
        texts = {name: self.secrets.get(variable, "") for name, variable in wanted.secrets}
        if any(text and len(text) < SHORTEST_SECRET for text in texts.values()):
            return "a secret parameter is too short to be told from other values"
        for name, text in texts.items():
            forms = _forms(text) if text else ()
            for parcel in parcels:
                if any(form in parcel.content for form in forms):
                    return f"{', '.join(parcel.names)} holds the secret parameter {name}"
        return ""

    # -- going on from one -------------------------------------------------------------------------------------------

    def put(self, wanted: Wanted) -> None:
        """Give this new kernel what the cells up to the point have made. Raises CannotPutBack, StoreError."""
        store = open_store(wanted.store)
        point = points.read(store, _name(wanted))
        if point is None or point.refused:
            raise CannotPutBack("there is no point to go on from")
        for line in wanted.magics:
            self.shell.run_cell(line, store_history=False, silent=True)
        states = self._ambient(store.get(point.ambient))
        ambient.put({name: states[name] for name in PLACES if name in states})
        self._import(wanted)
        _refuse_other_versions(point, _versions(wanted.imports))
        if wanted.injected:
            exec(compile(wanted.injected, "<secrets>", "exec", dont_inherit=True), self.shell.user_ns)
        for packed in point.parcels:
            self.namespace.update(self._unpacked(packed.names, store.get(packed.digest)))
        for count, source in wanted.sources:
            self.shell.compile.cache(self.shell.transform_cell(source), count, raw_code=source)
        self.shell.execution_count = point.count + 1
        ambient.put({name: value for name, value in states.items() if name not in PLACES})

    def _ambient(self, content: bytes) -> dict[str, Any]:
        states: dict[str, Any] = {}
        for parcel in pickle.loads(content):
            states |= carry.unpack(parcel, {})
        if ENVIRONMENT in states:
            states[ENVIRONMENT] = _applied(states[ENVIRONMENT], self.before[ENVIRONMENT])
        return states

    def _import(self, wanted: Wanted) -> None:
        """What the cells up to the point import: for the names, and for what an import does to its library."""
        import __future__

        scratch: dict[str, Any] = {"__name__": "__main__"}
        for statement in wanted.imports:
            # one that failed in its cell fails here, and the cell went on from that
            with contextlib.suppress(Exception):
                exec(compile(statement, "<imports>", "exec", dont_inherit=True), scratch)
        for feature in [value for value in scratch.values() if isinstance(value, __future__._Feature)]:
            self.shell.compile.flags |= feature.compiler_flag
        for name in set(wanted.imported) & scratch.keys():
            self.namespace[name] = scratch[name]

    def _unpacked(self, names: Sequence[str], content: bytes) -> dict[str, Any]:
        try:
            return carry.unpack(content, self.namespace)
        except Exception as error:
            said = ", ".join(f"`{name}`" for name in names)
            raise CannotPutBack(f"{said} cannot be unpickled ({type(error).__name__}: {error})") from error


def _name(wanted: Wanted) -> str:
    return points.name_of(wanted.run, wanted.position)


# -- the child -------------------------------------------------------------------------------------------------------


def _has_ended(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG) != (0, 0)
    except ChildProcessError:  # a cell has waited for it
        return True


def _may_fork() -> bool:
    if any(name in sys.modules for name in NO_FORK):
        return False
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return not (cuda is not None and cuda.is_initialized())


def _in_child(write: Callable[[], None]) -> None:
    """Write, and end at once: nothing of the kernel's own end may happen here."""
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST_WRITE)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _hung_up()
        gc.disable()  # what ends here must not run its finalizers
        with contextlib.suppress(OSError), Path("/proc/self/oom_score_adj").open("w") as file:
            file.write("1000")  # if memory is short, this process goes and not the notebook
        write()
        code = 0
    finally:
        os._exit(code)


def _hung_up() -> None:
    """Let go of the kernel's connections: whoever waits for their end must not wait for this process too."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    os.closerange(3, min(MOST_FILES, os.sysconf("SC_OPEN_MAX")))


# -- secrets, environment, versions ----------------------------------------------------------------------------------


def _forms(text: str) -> set[bytes]:
    """The bytes in which a text may rest in a pickle."""
    texts = {text, repr(text)[1:-1], json.dumps(text)[1:-1], html.escape(text), quote(text), quote(text, safe="")}
    raw = text.encode("utf-8", "surrogatepass")
    forms = {one.encode(coding, "surrogatepass") for one in texts for coding in ("utf-8", "utf-16-le", "utf-32-le")}
    return {*forms, base64.b64encode(raw).rstrip(b"=")[: len(raw) * 4 // 3]}


def _difference(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    """What was set, and what was taken away (None)."""
    changed: dict[str, str | None] = {name: text for name, text in after.items() if before.get(name) != text}
    return {**changed, **dict.fromkeys(before.keys() - after.keys())}


def _applied(difference: Mapping[str, str | None], environment: Mapping[str, str]) -> dict[str, str]:
    merged = {**environment, **difference}
    return {name: text for name, text in merged.items() if text is not None}


def _versions(imports: Iterable[str]) -> dict[str, str]:
    """The versions of the packages that the statements import, as the packages say themselves."""
    import ast

    from nb2prod.language.surroundings import modules

    names = {module.partition(".")[0] for statement in imports for module in modules(ast.parse(statement))}
    found = {name: getattr(sys.modules.get(name), "__version__", None) for name in sorted(names)}
    return {name: version for name, version in found.items() if isinstance(version, str)}


def _refuse_other_versions(point: Point, packages: Mapping[str, str]) -> None:
    now = {"python": platform.python_version(), **packages}
    then = {"python": point.python, **point.packages}
    for name, version in then.items():
        if now.get(name) != version:
            raise CannotPutBack(f"{name} was {version} when the run was made, and is {now.get(name, 'not there')} now")
