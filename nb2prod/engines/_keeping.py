"""An entry of the cache is written: what a piece left, with all that it met while it ran.

Refused is what putting back would not do again (files written, programs started, others spoken to), what may hold a
secret, and what changed under the piece's hands: then nobody knows which of the two states it has seen.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.events import ArtifactKept, DatasetRead, MetricMeasured, ParametersComputed, TestFinished
from nb2prod.core.pipeline import Plan
from nb2prod.engines import _facts, _outside
from nb2prod.engines._conditions import Conditions
from nb2prod.engines._looked import Looked
from nb2prod.engines._pieces import Piece
from nb2prod.kernel.ambient import ENVIRONMENT, RANDOM
from nb2prod.kernel.step_work import Packed, Report
from nb2prod.kernel.watching import EVERY, Seen
from nb2prod.storage import journal, step_entries
from nb2prod.storage.step_entries import Entry, Parcel
from nb2prod.storage.store import LocalStore, Store

TOLD = (MetricMeasured, ArtifactKept, DatasetRead, ParametersComputed, TestFinished)


@dataclass(frozen=True, slots=True)
class Left:
    """What a piece left: its report, the lines of its events, and the seconds that it took."""

    report: Report
    lines: tuple[str, ...]
    outputs: Callable[[], list[list[Any]]]  # copied only when they are kept
    seconds: float


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where entries are written, and under which conditions. `is_away`: pieces run in workers."""

    store: Store
    plan: Plan
    conditions: Conditions
    is_away: bool

    def write(self, looked: Looked, left: Left) -> str:
        """Write the entry; or why it is not written."""
        seen = left.report.seen
        assert seen is not None
        files = {path: _outside.seen(path) for path in (*seen.files, *self._declared(looked.piece))}
        if reason := self._moved(looked, seen, files):
            return reason
        made = self._entry(looked, left, seen, files)
        number = _facts.digest([made.streams, made.files, made.folders, made.variables, made.libraries, made.modules])
        step_entries.save(self.store, dataclasses.replace(made, id=number[:16]))
        return ""

    def _moved(self, looked: Looked, seen: Seen, files: Mapping[str, list[Any]]) -> str:
        """What is not as the piece saw it, or cannot be compared later."""
        late = next((path for path in files if _outside.changed_since(path, looked.began)), "")
        if late:
            return f"{self.conditions.near(late)} changed while it ran"
        other = next((name for name, text in seen.variables.items() if self.conditions.variable(name) != text), "")
        if other and self.is_away and f"{_facts.STATE}{ENVIRONMENT}" not in looked.facts:
            what = "all variables" if other == EVERY else f"variable {other}"
            return f"it reads {what}, which its worker has otherwise"
        if any(known[0] in (_outside.UNREADABLE, _outside.MANY) for known in files.values()):
            return "it may read what cannot be looked through"
        return ""

    def _entry(self, looked: Looked, left: Left, seen: Seen, files: dict[str, list[Any]]) -> Entry:
        """The entry, with all contents that it names in the store; its number comes last."""
        report = left.report
        told = [line for line in left.lines if isinstance(journal.decode(line), TOLD)]
        shown = json.dumps({"events": told, "outputs": left.outputs()}, ensure_ascii=False)
        shown_bytes = shown.encode("utf-8", "surrogatepass")
        artifacts = self._artifacts(told)
        contents = {self.store.put(shown_bytes): len(shown_bytes)} | {digest: size for _, digest, size in artifacts}
        contents |= {packed.digest: self._adopted(packed) for packed in (*report.parcels, *report.ambient)}
        own = _outside.own_modules((*looked.tops, *seen.loaded), seen.modules)
        is_same = self.conditions.variable
        return Entry(
            key=looked.key,
            id="",
            step=looked.piece.step,
            notebook=str(self.plan.pipeline.notebook.path),
            made=time.time(),
            seconds=left.seconds,
            size=sum(contents.values()),
            shown=next(iter(contents)),
            cells=looked.piece.indexes,
            parcels=tuple(map(_parcel, report.parcels)),
            ambient=tuple(map(_parcel, report.ambient)),
            gone=tuple(sorted(report.gone)),
            same=tuple(sorted(report.same)),
            left_out=tuple(sorted(report.left_out)),
            tops=tuple(sorted(seen.loaded)),
            streams=_drawn(looked, report),
            files=files,
            folders={path: _outside.listing(path) for path in seen.folders},
            variables={name: text for name, text in seen.variables.items() if is_same(name) == text},
            libraries=_outside.libraries(sorted({*looked.tops, *seen.loaded}), seen.path),
            modules={file: _outside.seen(file) for file in own.values()},
            artifacts={path: digest for path, digest, _ in artifacts},
            contents=contents,
        )

    def _declared(self, piece: Piece) -> Iterator[str]:
        """What the tags `reads:PATH` of its cells name."""
        for index in piece.indexes:
            role = self.plan.pipeline.roles[index]
            for path in role.reads if role is not None else ():
                yield _outside.plain_path(self.plan.pipeline.notebook.folder / path)

    def _adopted(self, packed: Packed) -> int:
        path = Path(packed.path)
        if not path.exists():
            return self.store.size(packed.digest)  # a worker has put it there
        if isinstance(self.store, LocalStore):
            self.store.adopt(path, packed.digest)
        elif not self.store.has(packed.digest):
            self.store.put(path.read_bytes())
        return path.stat().st_size

    def _artifacts(self, lines: Iterable[str]) -> list[tuple[str, str, int]]:
        """(path in the run's folder, digest, size) of all files in the folders of the artifacts that were kept."""
        folder = Path(self.plan.directory)
        events = [event for line in lines if isinstance(event := journal.decode(line), ArtifactKept)]
        folders = sorted({(folder / event.artifact.path).parent for event in events})
        found = [path for one in folders for path in sorted(one.rglob("*")) if path.is_file()]
        return [
            (path.relative_to(folder).as_posix(), self.store.put(path.read_bytes()), path.stat().st_size)
            for path in found
        ]


def why_not(left: Left) -> str:
    """Why what a piece left is not kept, as it was seen while it ran; empty when it may be."""
    report = left.report
    if report.seen is None:
        return "nobody saw what it did"
    if report.seen.effects:
        return f"it {report.seen.effects[0]}"
    if report.stays:
        return "it was kept in a process"
    tests = [event for line in left.lines if isinstance(event := journal.decode(line), TestFinished)]
    if any(event.test.outcome in ("failed", "error") for event in tests):
        return "a test of it failed"
    return ""


def _drawn(looked: Looked, report: Report) -> dict[str, str]:
    """The random streams that count: those that it has moved, all when its code handles their state."""
    moved = {name for packed in report.ambient for name in packed.names} & RANDOM
    if any("state" in cell.source for cell in looked.piece.cells):
        moved |= looked.streams.keys()
    return {name: looked.streams.get(name, "") for name in sorted(moved)}


def _parcel(packed: Packed) -> Parcel:
    return Parcel(packed.names, packed.digest, packed.identity or packed.digest, tuple(sorted(packed.needs)))
