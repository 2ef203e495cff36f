"""A piece of a notebook on a worker of a cluster: what it needs comes with it, and what it leaves goes back.

The worker keeps one place per run: a folder, and a nursery whose children do the work, as on the driver's machine. The
folder of the notebook is used where the worker sees it (the notebook in it has the same content); else the modules
beside the notebook come with the work, and data files do not. Small values travel with the work, large ones rest in
the run's store, when the worker reaches that, under their digest.

What the child says is heard here, with the times at which it said it, and is told to the engine when the piece ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nb2prod.core.errors import StoreError
from nb2prod.core.pipeline import Plan
from nb2prod.engines._cell_clock import CellClock
from nb2prod.engines._remote_bundle import SMALL, Answer, Around, Bundle
from nb2prod.engines._step_processes import Child, Nursery, TooLong
from nb2prod.kernel.probe import PLAN
from nb2prod.kernel.step_work import Packed, Report, Work
from nb2prod.storage import codec, files, scratch
from nb2prod.storage.store import Store


def run(bundle: Bundle) -> Answer:
    """Do the piece here. Whether it failed is in the answer."""
    place = _place(bundle.around)
    if place is None:
        return Answer(_address(), ended="the run is over")
    beat(bundle.around.visit)
    if bundle.kept and not place.keeps(bundle.number):
        return Answer(place.address, ended=f"the worker {place.address} was started again, and what it kept is lost")
    lacks = place.take(bundle)
    if lacks:
        return Answer(place.address, lacks=lacks)
    if (message := _out_of_reach(place, bundle.work)) != "":
        return Answer(place.address, (("refused", message),), apart=True)
    before = _states(place.directory)
    child = place.child(bundle.number)
    messages, ended = _heard(child, bundle, place)
    report = messages[-1][1] if messages and messages[-1][0] == "report" else None
    if report is None:
        child.kill()
    if report is None or not report.stays:
        place.end(bundle.number)
    return Answer(
        worker=place.address,
        messages=tuple(messages),
        ended=ended,
        apart=place.apart,
        files=dict(_new_files(place.directory, before)),
        contents=place.given_back(report) if report is not None else {},
    )


def _out_of_reach(place: _Place, work: Work) -> str:
    """What the cells would log to another place than the run does: a message, or nothing."""
    where = work.environment.get("MLFLOW_TRACKING_URI", "")
    calls = any("mlflow" in text for text in (*work.imports, *(cell.source for cell in work.cells)))
    if not place.apart or not calls or where.startswith(("http://", "https://", "databricks")) or not where:
        return ""
    return (
        f"the notebook calls mlflow, whose store is on the machine that started the run and not on {place.address}; "
        "fix: set MLFLOW_TRACKING_URI to a tracking server that the workers reach, or use --no-track"
    )


def beat(visit: str) -> None:
    """The driver lives: called every now and then."""
    place = _places.get(visit)
    if place is not None:
        place.heard = time.monotonic()


def end(visit: str) -> None:
    """The run is over: its processes end, its folder goes."""
    with _lock:
        place = _places.pop(visit, None)
        _over.append(visit)
    if place is not None:
        place.close()


def _heard(child: Child, bundle: Bundle, place: _Place) -> tuple[list[tuple[Any, ...]], str]:
    said: list[tuple[Any, ...]] = []
    clock = CellClock(bundle.of_cell, bundle.of_step)
    waiting = 0
    try:
        for message in child.messages(place.local(bundle.work), clock.left):
            if message[0] == "began":
                clock.begin()
            elif message[0] == "again":
                clock.wait(message[2])
            elif message[0] == "parallel":
                waiting = _give_way(waiting, begins=message[1])
                continue
            elif message[0] == "ended":
                said.append(("took", clock.end()))
            said.append(message)
            if message[0] == "ended" and message[2]:
                break
    except TooLong:
        return said, "late"
    except (EOFError, ConnectionError):
        return said, place.nursery.how_it_ended(child)
    return said, ""


def _give_way(waiting: int, *, begins: bool) -> int:
    """While a step waits for jobs of its own, its place on the worker is free for them. How often it waits now."""
    import distributed

    if begins and not waiting:
        distributed.secede()
    elif not begins and waiting == 1:
        distributed.rejoin()
    return waiting + (1 if begins else -1)


class _Place:
    """Where one run's pieces work on this worker."""

    def __init__(self, around: Around) -> None:
        self.around = around
        self.address = _address()
        self.heard = time.monotonic()
        self.top = Path(tempfile.mkdtemp(prefix=scratch.prefix()))
        self.directory, self.values = self.top / "run", self.top / "values"
        self.values.mkdir()
        plan: Plan = codec.build(Plan, json.loads(around.plan))
        notebook = plan.pipeline.notebook
        self.apart = not _is_there(Path(around.folder) / notebook.path.name, around.digest)
        self.folder = self._folder(around) if self.apart else Path(around.folder)
        here = dataclasses.replace(notebook, path=self.folder / notebook.path.name)
        plan = dataclasses.replace(
            plan, directory=str(self.directory), pipeline=dataclasses.replace(plan.pipeline, notebook=here)
        )
        files.write_text(self.directory / PLAN, json.dumps(codec.plain(plan), ensure_ascii=False))
        self.nursery = _nursery(self.folder, around)
        self._children: dict[int, Child] = {}

    def _folder(self, around: Around) -> Path:
        folder = self.top / "notebook"
        folder.mkdir()
        for name, content in around.modules.items():
            files.write_bytes(folder / name, content)
        return folder

    def child(self, number: int) -> Child:
        if number not in self._children:
            self._children[number] = self.nursery.child()
        return self._children[number]

    def keeps(self, number: int) -> bool:
        return number in self._children

    def end(self, number: int) -> None:
        self.nursery.end(self._children.pop(number))

    def close(self) -> None:
        self.nursery.close()
        shutil.rmtree(self.top, ignore_errors=True)

    # -- values ------------------------------------------------------------------------------------------------------

    def take(self, bundle: Bundle) -> frozenset[str]:
        """Have here what the piece needs; the digests of what cannot be had."""
        for name, content in bundle.files.items():
            if not (self.directory / name).exists():
                files.write_bytes(self.directory / name, content)
        for digest, content in bundle.contents.items():
            self._keep(digest, content)
        wanted = {packed.digest for packed in (*bundle.work.parcels, *bundle.work.ambient)}
        return frozenset(digest for digest in wanted if not self._is_here(digest))

    def _is_here(self, digest: str) -> bool:
        if self._path(digest).exists():
            return True
        store = self.store
        if store is None:
            return False
        try:
            self._keep(digest, store.get(digest))
        except StoreError:
            return False  # the driver has it, or says that nobody does
        return True

    def _keep(self, digest: str, content: bytes) -> None:
        if not self._path(digest).exists():
            files.write_bytes(self._path(digest), content)

    def _path(self, digest: str) -> Path:
        return self.values / f"{digest}.pkl"

    def local(self, work: Work) -> Work:
        return dataclasses.replace(
            work,
            directory=str(self.directory),
            values=str(self.values),
            cluster=_scheduler() if self.around.jobs else "",
            parcels=tuple(self._local(work.parcels)),
            ambient=tuple(self._local(work.ambient)),
        )

    def _local(self, parcels: Iterable[Packed]) -> Iterator[Packed]:
        for packed in parcels:
            yield dataclasses.replace(packed, path=str(self._path(packed.digest)))

    def given_back(self, report: Report) -> dict[str, bytes]:
        """The contents for the driver; what is large goes into the store."""
        store, small = self.store, {}
        for packed in (*report.parcels, *report.ambient):
            content = self._path(packed.digest).read_bytes()
            if store is None or len(content) <= SMALL:
                small[packed.digest] = content
            else:
                store.put(content)
        return small

    @property
    def store(self) -> Store | None:
        """The run's store, when it is the one that the driver sees."""
        store = self.around.store
        if store is None or store.read(self.around.mark) != self.around.run.encode():
            return None
        return store


def _is_there(notebook: Path, digest: str) -> bool:
    try:
        return files.digest_of(notebook) == digest
    except OSError:
        return False


def _nursery(folder: Path, around: Around) -> Nursery:
    environment = {**os.environ, **around.environment}
    # Linux ends it with the thread that makes it: that must be one that lasts as long as the worker
    return _lasting.submit(Nursery, sys.executable, folder, environment, around.preload).result()


def _address() -> str:
    import distributed

    return str(distributed.get_worker().address)


def _scheduler() -> str:
    import distributed

    return str(distributed.get_worker().scheduler.address)


def _place(around: Around) -> _Place | None:
    """The run's place, made at its first piece; None when the run was over before its piece came."""
    with _lock:
        if around.visit in _over:
            return None
        if around.visit not in _places:
            _places[around.visit] = _Place(around)
            threading.Thread(target=_forget, args=(around,), name="nb2prod-forget", daemon=True).start()
        return _places[around.visit]


def _forget(around: Around) -> None:
    """A driver that was killed cannot say that its run is over."""
    while (place := _places.get(around.visit)) is not None:
        time.sleep(min(30.0, around.forget))
        if time.monotonic() - place.heard > around.forget:
            end(around.visit)


def _states(directory: Path) -> dict[Path, tuple[int, int]]:
    """The files that are whole, and when each was written; another piece may be writing beside us."""
    found = {}
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            state = path.stat()
            if stat.S_ISREG(state.st_mode) and not path.name.endswith(".part"):
                found[path] = state.st_mtime_ns, state.st_size
    return found


def _new_files(directory: Path, before: Mapping[Path, tuple[int, int]]) -> Iterator[tuple[str, bytes]]:
    for path, state in _states(directory).items():
        if before.get(path) != state:
            yield path.relative_to(directory).as_posix(), path.read_bytes()


_lasting = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nb2prod-start")
_places: dict[str, _Place] = {}
_over: deque[str] = deque(maxlen=1000)  # a piece that was under way when its run ended must not begin it again
_lock = threading.Lock()
