"""A run's journal: `events.jsonl`, one event a line, appended as it happens.

The same encoding carries events out of a kernel: `decode(encode(event)) == event` for every event.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

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
