"""Resume points at rest: a run as it was at the end of a step, in a content store.

    records/runs/RUN/points/000007.json     the point after the cell at position 7
        pages      digests: what happened since the point before (events, outputs of cells), oldest first
        parcels    the kernel's values, each parcel with the names in it
        ambient    random streams, options, environment: what is no name
        refused    instead of all that, why nothing can go on from here

The engine writes the page, the kernel the values and then the record: there is no record of a point that is not whole.
Pages and parcels are content of the store, so a run that goes on from a point shares them with the run before it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from nb2prod.core.errors import StoreError
from nb2prod.core.events import Event
from nb2prod.storage import codec, journal
from nb2prod.storage.store import Store, open_store

FORMAT = 2
RUNS = "runs/"
KEPT_RUNS = 3  # of one notebook: who wants to go on from an earlier one has its results, and runs it anew


@dataclass(frozen=True, slots=True)
class RanCell:
    """A code cell as it was run: `code` tells its code and tags from others, `index` is its number in the notebook.

    `index` is None for the cell of injected parameters.
    """

    position: int
    index: int | None
    code: str
    count: int | None
    outputs: tuple[Any, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """What happened from one point to the next: lines of the journal, cells, and which outputs have display names."""

    events: tuple[str, ...]
    cells: tuple[RanCell, ...]
    displays: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Packed:
    """One parcel in the store."""

    names: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Point:
    """`python` and `packages` are the versions that the values were made with; `count` is the last execution count."""

    position: int
    at: float
    pages: tuple[str, ...] = ()
    parcels: tuple[Packed, ...] = ()
    ambient: str = ""
    count: int = 0
    python: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    refused: str = ""
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Story:
    """All that happened up to a point."""

    events: tuple[Event, ...]
    cells: tuple[RanCell, ...]
    displays: Mapping[str, Any]


def folder_of(run: str) -> str:
    return f"{RUNS}{run}/points/"


def name_of(run: str, position: int) -> str:
    return f"{folder_of(run)}{position:06d}.json"


def is_point(name: str) -> bool:
    return name.startswith(RUNS) and "/points/" in name


def forget_earlier(store: Store, run: str) -> bool:
    """Remove the points of a notebook's earlier runs, but for the last ones. Whether there were any."""
    notebook = _notebook_of(run)
    names = [name for name in store.names(RUNS) if is_point(name)]
    runs = sorted({one for name in names if _notebook_of(one := name.split("/")[1]) == notebook})
    earlier = set(runs[:-KEPT_RUNS]) - {run}
    gone = [name for name in names if name.split("/")[1] in earlier]
    for name in gone:
        store.remove(name)
    return bool(gone)


def _notebook_of(run: str) -> str:
    """What a run's name says of its notebook, between the time and the number at random."""
    return "-".join(run.split("-")[2:-1])


def written(store: Store, name: str, point: Point) -> None:
    store.write(name, json.dumps(codec.plain(point)).encode())


def read(store: Store, name: str) -> Point | None:
    """A point; None when there is none of that name, or it was written by another version of nb2prod."""
    record = store.read(name)
    if record is None:
        return None
    try:
        content = json.loads(record)
        return cast(Point, codec.build(Point, content)) if content["format"] == FORMAT else None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the record {name} is damaged", fix="start the run anew, without --resume") from error


def of_run(where: str | Path, run: str) -> Iterator[Point]:
    """The points of a run, the last first."""
    store = open_store(where)
    for name in sorted(store.names(folder_of(run)), reverse=True):
        point = read(store, name)
        if point is not None:
            yield point


def put_page(store: Store, page: Page) -> str:
    return store.put(json.dumps(codec.plain(page), ensure_ascii=False).encode("utf-8", "surrogatepass"))


def story_of(where: str | Path, point: Point) -> Story:
    """Raises StoreError when a page is missing or damaged."""
    store = open_store(where)
    pages = [_page(store, digest) for digest in point.pages]
    # a later page has the newer outputs of a cell whose display was updated
    cells = {cell.position: cell for page in pages for cell in page.cells}
    return Story(
        tuple(journal.decode(line) for page in pages for line in page.events),
        tuple(cells[position] for position in sorted(cells)),
        pages[-1].displays if pages else {},
    )


def _page(store: Store, digest: str) -> Page:
    content = json.loads(store.get(digest).decode("utf-8", "surrogatepass"))
    return cast(Page, codec.build(Page, content))


def refused(position: int, at: float, reason: str) -> Point:
    return Point(position, at, refused=reason)


def moved(story: Story, cells: Mapping[int, int]) -> tuple[Event, ...]:
    """The events with the cells' numbers in another version of the notebook (`cells`: old number -> new)."""
    return tuple(_moved(event, cells) for event in story.events)


def _moved(event: Any, cells: Mapping[int, int]) -> Event:
    if hasattr(event, "cell") and event.cell in cells:
        return dataclasses.replace(event, cell=cells[event.cell])  # type: ignore[no-any-return]
    if hasattr(event, "test") and event.test.cell in cells:
        test = dataclasses.replace(event.test, cell=cells[event.test.cell])
        return dataclasses.replace(event, test=test)  # type: ignore[no-any-return]
    return event  # type: ignore[no-any-return]
