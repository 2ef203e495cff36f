"""Processes of a run on the workers of a cluster, seen from the engine: like `_step_processes`, only further away.

A child here is a promise: when it is given its work, a worker of the cluster does it in a child of its own, and what
that said is told again here, at the piece's end. A child that keeps something keeps its worker: the next piece that
needs it goes there, and when that worker is lost, the piece fails. All other work of a lost worker is done by another.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import Any

from nb2prod.core.errors import StoreError, UsageError
from nb2prod.core.events import ArtifactKept
from nb2prod.core.pipeline import Plan
from nb2prod.core.ports import Away
from nb2prod.core.result import Failure
from nb2prod.engines import _remote_worker
from nb2prod.engines._pieces import Piece
from nb2prod.engines._prepared import variable
from nb2prod.engines._remote_bundle import SMALL, Answer, Around, Bundle
from nb2prod.engines._step_processes import TooLong, with_hash_seed
from nb2prod.kernel.probe import PLAN
from nb2prod.kernel.step_work import Packed, Report, Work
from nb2prod.language.plain import plain
from nb2prod.language.surroundings import modules
from nb2prod.storage import files, journal
from nb2prod.storage.store import DEFAULT, Store, open_store

LOOK = 1.0  # seconds between one look at a worker that keeps something and the next
BEAT = 60.0  # seconds between two signs of life
SEED = "PYTHONHASHSEED"
LARGEST_MODULES = 20_000_000


def far_nursery(
    away: Away,
    plan: Plan,
    values: Path,
    python: str,
    secrets: Mapping[str, str],
    pieces: Sequence[Piece],
    preload: Iterable[str],
) -> FarNursery:
    """What `Nursery` is on this machine. A secret's value travels with the work and never rests in a store."""
    if Path(python) != Path(sys.executable):
        raise UsageError(
            f"on a cluster steps run in the Python of its workers, and not in {python}", fix="leave out --kernel"
        )
    # one seed for the hashes of all workers: a set of texts has one order in all steps
    seed = with_hash_seed({name: value for name, value in os.environ.items() if name == SEED and value.isdecimal()})
    variables = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", **seed}
    variables |= {variable(name): value for name, value in secrets.items()}
    store, mark = (None, "") if secrets else _marked(plan)
    notebook = plan.pipeline.notebook
    around = Around(
        run=plan.run,
        visit=f"{plan.run}-{uuid.uuid4()}",
        plan=(Path(plan.directory) / PLAN).read_text(encoding="utf-8"),
        folder=str(notebook.folder),
        digest=files.digest_of(notebook.path),
        environment=variables,
        preload=tuple(preload),
        modules=(beside := modules_beside(notebook.folder, pieces)),
        store=store,
        mark=mark,
        # a task of joblib's does not know the modules beside the notebook
        jobs=not beside and any("n_jobs" in cell.source for piece in pieces for cell in piece.cells),
    )
    return FarNursery(away, plan, values, around)


class FarNursery:
    """The workers of a cluster as the place where processes come from."""

    def __init__(self, away: Away, plan: Plan, values: Path, around: Around) -> None:
        self.away = away
        self.plan = plan
        self.values = values
        self.around = around
        self.store = around.store
        self._beaten = time.monotonic()
        self.closed = False
        self._count = 0
        threading.Thread(target=self._beat, name="nb2prod-beat", daemon=True).start()

    def _beat(self) -> None:
        while not self.closed:
            time.sleep(LOOK)
            if time.monotonic() - self._beaten > BEAT:
                self._beaten = time.monotonic()
                self.away.everywhere(_remote_worker.beat, self.around.visit)

    def child(self) -> FarChild:
        self._count += 1
        return FarChild(self, self._count)

    def how_it_ended(self, child: FarChild) -> str:
        return child.ended

    def end(self, child: FarChild) -> None:
        """It has ended with its piece, or ends with the run."""

    def kill_all(self) -> None:
        self.closed = True
        self.away.everywhere(_remote_worker.end, self.around.visit)

    def close(self) -> None:
        self.kill_all()
        if self.store is not None and self.around.mark:
            with contextlib.suppress(StoreError):
                self.store.remove(self.around.mark)


class FarChild:
    """A process on a worker; `worker` is the address of the one that keeps it, empty until it has worked."""

    def __init__(self, nursery: FarNursery, number: int) -> None:
        self.number = number
        self.ended = ""
        self.apart = False
        self._nursery = nursery
        self._worker = ""

    def messages(self, work: Work, left: Callable[[], float | None]) -> Iterator[tuple[Any, ...]]:
        """Have the work done, and hear afterwards what was said, with the seconds that each cell took.

        Limits of time are kept where the work is done. Raises EOFError and TooLong as a child here would.
        """
        answer = self._answer(work)
        self.apart, self._worker, self.ended = answer.apart, answer.worker, answer.ended
        self._arrived(answer)
        for message in answer.messages:
            yield ("report", self._here(message[1])) if message[0] == "report" else message
        if answer.ended == "late":
            raise TooLong
        if answer.ended:
            raise EOFError

    def _answer(self, work: Work) -> Answer:
        bundle = self._bundle(work, frozenset())
        answer = self._asked(bundle)
        if answer.lacks:
            # the store does not reach there: what it lacks goes with the work
            answer = self._asked(self._bundle(work, answer.lacks))
        if answer.lacks:
            raise StoreError(f"{answer.worker} cannot get the values of step {work.step}, which were made before")
        return answer

    def _asked(self, bundle: Bundle) -> Answer:
        nursery = self._nursery
        future: Future[Answer] = nursery.away.submit_to(self._worker, _remote_worker.run, bundle)
        while True:
            try:
                return future.result(LOOK)
            except NotYet:
                if nursery.closed:
                    future.cancel()
                    self.ended = "the run was ended"
                elif self._worker and self._worker not in nursery.away.addresses():
                    future.cancel()
                    self.ended = f"the worker {self._worker}, which kept it, is lost"
                else:
                    continue
            raise EOFError

    def _bundle(self, work: Work, lacks: frozenset[str]) -> Bundle:
        plan = self._nursery.plan
        step = next((step for step in plan.pipeline.steps if step.name == work.step), None)
        return Bundle(
            around=self._nursery.around,
            number=self.number,
            work=work,
            of_cell=plan.timeout,
            of_step=step.timeout if step is not None else None,
            kept=bool(self._worker),
            files=dict(self._kept(work)),
            contents=dict(self._contents((*work.parcels, *work.ambient), lacks)),
        )

    def _kept(self, work: Work) -> Iterator[tuple[str, bytes]]:
        """The example and the model that earlier steps kept, which a later one predicts with."""
        for event in map(journal.decode, work.kept):
            if isinstance(event, ArtifactKept) and event.artifact.kind in ("example", "model"):
                path = Path(self._nursery.plan.directory) / event.artifact.path
                for file in path.parent.glob("*"):
                    if file.is_file():
                        yield file.relative_to(self._nursery.plan.directory).as_posix(), file.read_bytes()

    def _contents(self, parcels: Iterable[Packed], lacks: frozenset[str]) -> Iterator[tuple[str, bytes]]:
        store = self._nursery.store
        for packed in parcels:
            path = Path(packed.path)  # among the values of this run, or in the store when an earlier run has left it
            if path.exists():
                content = path.read_bytes()
                if store is None or len(content) <= SMALL or packed.digest in lacks:
                    yield packed.digest, content
            elif packed.digest in lacks and store is not None:
                yield packed.digest, store.get(packed.digest)

    def _arrived(self, answer: Answer) -> None:
        for name, content in answer.files.items():
            files.write_bytes(Path(self._nursery.plan.directory) / name, content)
        for digest, content in answer.contents.items():
            files.write_bytes(self._path(digest), content)

    def _here(self, report: Report) -> Report:
        def here(parcels: Iterable[Packed]) -> tuple[Packed, ...]:
            return tuple(dataclasses.replace(packed, path=str(self._path(packed.digest))) for packed in parcels)

        return dataclasses.replace(report, parcels=here(report.parcels), ambient=here(report.ambient))

    def _path(self, digest: str) -> Path:
        return self._nursery.values / f"{digest}.pkl"

    def kill(self) -> None:
        """What runs of it ends with the run; nothing else is known of it here."""


def told(outcome: Report | Failure, child: Any) -> Report | Failure:
    """A failure with what is different on a worker that does not see the notebook's folder; a report as it is."""
    if not isinstance(outcome, Failure) or not getattr(child, "apart", False):
        return outcome
    if outcome.message.startswith("FileNotFoundError"):
        fix = "the file is not where the step ran; fix: give it as a URL, or in a folder that all workers see"
    elif outcome.message.startswith("ModuleNotFoundError"):
        fix = "the workers lack it; fix: install it there, or put it beside the notebook, which is sent along"
    else:
        return outcome
    return dataclasses.replace(outcome, message=f"{outcome.message}: {fix}")


def _marked(plan: Plan) -> tuple[Store | None, str]:
    where = plan.options.get("store") or DEFAULT
    store = open_store(where if "://" in str(where) else Path(str(where)).absolute())
    mark = f"reach/{plan.run}"
    store.write(mark, plan.run.encode())
    return store, mark


def modules_beside(folder: Path, pieces: Iterable[Piece]) -> dict[str, bytes]:
    """The author's modules beside the notebook that it imports, and those that they import, by their paths there."""
    trees = [plain(cell.source).tree for piece in pieces for cell in piece.cells]
    pending = [name for tree in trees if tree is not None for name in modules(tree)]
    found: dict[str, bytes] = {}
    while pending:
        for path in _files_of(folder, pending.pop().partition(".")[0]):
            name = path.relative_to(folder).as_posix()
            if name not in found:
                found[name] = path.read_bytes()
                pending += _imports(found[name]) if path.suffix == ".py" else ()
    if sum(map(len, found.values())) > LARGEST_MODULES:
        raise UsageError(
            f"the modules beside the notebook are larger than {LARGEST_MODULES // 1_000_000} MB",
            where=str(folder),
            fix="install them where the workers are",
        )
    return found


def _files_of(folder: Path, module: str) -> list[Path]:
    if (folder / f"{module}.py").is_file():
        return [folder / f"{module}.py"]
    inside = (folder / module).rglob("*") if module and (folder / module).is_dir() else ()
    found = [path for path in inside if path.is_file() and "__pycache__" not in path.parts]
    # a folder of data that is called like a library is no package
    return found if any(path.suffix == ".py" for path in found) else []


def _imports(source: bytes) -> list[str]:
    try:
        return list(modules(ast.parse(source)))
    except (SyntaxError, ValueError):
        return []  # it fails where it is imported, and is reported there
