"""What is done already, beside the output: a folder of parts, so that a stopped call goes on where it was.

    .scored.parquet.parts/
        request.json                      what is being done: package, files as they were, options
        5f0c2e19a3b47d68/                 for that request alone
            runtime                       what answers, where that was not said: it is found out once
            00000-000000065536.arrow      rows of file 0 from row 65,536 on, with the predictions
            00000-000000065536.bad.arrow  the rows among them that were rejected, and why
            00000.whole                   file 0 is done

A part is whole or not there. When all files are done the parts become the output, in their order, and the folder goes.
A process of a call that was killed may live a little longer: it finds its own folder, or none, and never another's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from nb2prod.core.errors import StoreError, UsageError
from nb2prod.core.scored import OnBadRows, Runtime
from nb2prod.stages.scoring.checking import Problem
from nb2prod.stages.scoring.reading import Source
from nb2prod.storage.files import replacing, write_text

REQUEST = "request.json"
RUNTIME = "runtime"
ROWS = b"rows"  # how many rows of the file a part stands for, the rejected ones among them


@dataclass(frozen=True, slots=True)
class Request:
    """All that decides the output. `keep` None means every column; `block` is how many rows are asked about at once."""

    package: str
    digest: str
    sources: tuple[Source, ...]
    output: str
    keep: tuple[str, ...] | None
    on_bad_rows: OnBadRows
    runtime: Runtime
    missing: tuple[str, ...]
    block: int

    @property
    def typed(self) -> bool:
        """Whether the output has types; a CSV file has the texts that the data had."""
        return self.output.endswith(".parquet")


@dataclass(frozen=True, slots=True)
class Done:
    """Of one file: rows that are in parts, how many of them were rejected, and whether that was all of them."""

    rows: int = 0
    rejected: int = 0
    whole: bool = False


class Parts:
    """The parts of one output, within `home`."""

    def __init__(self, request: Request) -> None:
        output = Path(request.output)
        self.home = output.parent / f".{output.name}.parts"
        self._said = _as_json(request)
        self._folder = self.home / hashlib.sha256(self._said.encode()).hexdigest()[:16]

    def begin(self, *, fresh: bool) -> None:
        """A new folder, or the one of an earlier call for the same thing. Raises UsageError when that was another."""
        if fresh:
            self.discard()
        there = self.home / REQUEST
        if there.is_file():
            self._refuse_other(json.loads(there.read_bytes()), json.loads(self._said))
        elif self.home.exists():
            self.discard()  # it was stopped before it had written what it is about
        write_text(there, self._said)
        self._folder.mkdir(exist_ok=True)

    def _refuse_other(self, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        others = [_WORDS.get(key, key) for key in now if earlier.get(key) != now[key]]
        if others:
            raise UsageError(
                f"an earlier call for this output was stopped, and since then {_and(others)} changed",
                where=str(self.home),
                fix="give what was given then to go on, or --fresh to begin again",
            )

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else writes this output meanwhile."""
        import filelock

        self.home.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(str(self.home) + ".lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise UsageError("another process is writing this output", where=str(self.home)) from error
        except OSError as error:
            raise StoreError(f"it cannot be written: {error.strerror}", where=str(self.home)) from error
        try:
            yield
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    def runtime(self) -> Runtime | None:
        """What answers, when somebody has settled that already."""
        try:
            return cast("Runtime", (self._folder / RUNTIME).read_text(encoding="ascii"))
        except FileNotFoundError:
            return None

    def settle(self, found: Runtime) -> Runtime:
        """What answers from now on: what the first of several processes found to be faster."""
        import filelock

        self._refuse_gone()
        with filelock.FileLock(str(self._folder / f"{RUNTIME}.lock")):
            if self.runtime() is None:
                write_text(self._folder / RUNTIME, found)
        return self.runtime() or found

    def done(self, file: int) -> Done:
        rows = rejected = 0
        for part in self._parts(file):
            said = _schema(part).metadata
            rows, rejected = rows + int(said[ROWS]), rejected + int(said[ROWS]) - int(said[b"kept"])
        return Done(rows, rejected, self._whole(file).is_file())

    def _refuse_gone(self) -> None:
        """What is not there is not made again: another call may have begun since."""
        if not self._folder.is_dir():
            raise StoreError(
                "the folder of parts is gone: another call for this output has begun, or it was removed",
                where=str(self.home),
                fix="make the call again",
            )

    def keep(self, file: int, start: int, rows: int, table: Any, problems: Sequence[Problem]) -> None:
        self._refuse_gone()
        bad = self._part(file, start, bad=True)
        if problems:
            _write(bad, _of_problems(problems))
        else:
            bad.unlink(missing_ok=True)  # of a call that was stopped between the two files
        said = {ROWS: str(rows).encode(), b"kept": str(table.num_rows).encode()}
        _write(self._part(file, start), table.replace_schema_metadata({**(table.schema.metadata or {}), **said}))

    def finish(self, file: int) -> None:
        self._refuse_gone()
        write_text(self._whole(file), "")

    def tables(self, file: int) -> Iterator[Any]:
        """The parts of a file, in the order of its rows."""
        yield from map(_read, self._parts(file))

    def _parts(self, file: int) -> Iterator[Path]:
        """The parts of a file from its first row on, up to the first that is not there."""
        start, here = 0, 1
        while here and (part := self._part(file, start)).is_file():
            yield part
            here = int(_schema(part).metadata[ROWS])  # 0 in the one part of a file without rows
            start += here

    def problems(self, file: int) -> Iterator[Any]:
        for part in sorted(self._folder.glob(f"{file:05}-*.bad.arrow")):
            yield _read(part)

    def reasons(self, files: int) -> Counter[str]:
        import pyarrow.compute as pc

        counted: Counter[str] = Counter()
        for file in range(files):
            for table in self.problems(file):
                said = pc.binary_join_element_wise(table.column("column"), table.column("reason"), ": ")
                counted.update({one["values"]: one["counts"] for one in pc.value_counts(said).to_pylist()})
        return counted

    def discard(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)

    def _part(self, file: int, start: int, *, bad: bool = False) -> Path:
        return self._folder / f"{file:05}-{start:012}{'.bad' if bad else ''}.arrow"

    def _whole(self, file: int) -> Path:
        return self._folder / f"{file:05}.whole"


_WORDS = {
    "digest": "the package",
    "package": "the package's place",
    "sources": "the data",
    "block": "the number of rows asked about at once",
    "on_bad_rows": "what is done with bad rows",
    "keep": "the columns to keep",
    "missing": "the words for missing values",
}


def _and(words: Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(words))


def _as_json(request: Request) -> str:
    return json.dumps({"schema": "nb2prod/score/1", **asdict(request)}, indent=2) + "\n"


def _of_problems(problems: Sequence[Problem]) -> Any:
    import pyarrow

    return pyarrow.table(
        {
            "row": pyarrow.array([problem.row for problem in problems], pyarrow.int64()),
            "column": pyarrow.array([problem.column for problem in problems], pyarrow.string()),
            "reason": pyarrow.array([problem.reason for problem in problems], pyarrow.string()),
        }
    )


def _write(path: Path, table: Any) -> None:
    import pyarrow

    with (
        replacing(path) as partial,
        pyarrow.OSFile(str(partial), "wb") as file,
        pyarrow.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table)


def _schema(path: Path) -> Any:
    import pyarrow

    with pyarrow.memory_map(str(path)) as file:
        return pyarrow.ipc.open_file(file).schema


def _read(path: Path) -> Any:
    import pyarrow

    with pyarrow.memory_map(str(path)) as file:
        return pyarrow.ipc.open_file(file).read_all()
