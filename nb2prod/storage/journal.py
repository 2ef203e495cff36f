"""A run's journal: `events.jsonl`, one event a line, appended as it happens.

The same encoding carries events out of a kernel: `decode(encode(event)) == event` for every event.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

from nb2prod.core.errors import StoreError
from nb2prod.core.events import EVENTS, Event
from nb2prod.storage.codec import build, plain

FILE = "events.jsonl"


class Journal:
    """Appends events to `directory/events.jsonl`; every line is complete on disk before `append` returns."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise StoreError(f"cannot write the journal: {error.strerror}", where=str(self.path)) from error
        _hold(self._file, self.path)
        _mend(self.path)

    def append(self, event: Event) -> None:
        try:
            self._file.write(encode(event) + "\n")
            self._file.flush()
        except OSError as error:
            raise StoreError(f"cannot write the journal: {error.strerror}", where=str(self.path)) from error

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            raise StoreError(f"cannot write the journal: {error.strerror}", where=str(self.path)) from error


def _mend(path: Path) -> None:
    """A line that a kill has cut short is taken off, so that the next one begins at its beginning."""
    if (content := path.read_bytes()) and not content.endswith(b"\n"):
        with path.open("rb+") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _hold(file: TextIO, path: Path) -> None:
    """One process at a time writes a journal: two that resume one run would mix their events."""
    try:
        import fcntl
    except ImportError:  # only on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        fix = "wait for it, or end it"
        raise StoreError("another process is writing this run", where=str(path), fix=fix) from error


def read(directory: Path) -> Iterator[Event]:
    """The events of a run. A last line cut short by a kill is left out; any other damage raises StoreError."""
    path = directory / FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StoreError("there is no run here: its journal cannot be read", where=str(path)) from error
    for number, line in enumerate(lines, start=1):
        try:
            event = decode(line)
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                return
            raise StoreError(f"line {number} of the journal is damaged", where=str(path)) from error
        yield event


def encode(event: Event) -> str:
    """One line of JSON. What JSON does not know is kept as its text (see `codec.plain`)."""
    return json.dumps({"event": type(event).__name__, **plain(event)}, ensure_ascii=False)


def decode(line: str) -> Event:
    content = json.loads(line)
    kind = EVENTS[content.pop("event")]
    return cast(Event, build(kind, content))
