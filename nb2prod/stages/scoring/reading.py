"""Tables from files, a block of rows at a time, so that a file of any length takes the memory of a block.

Parquet has its types. A CSV file has texts: every column is read as text and nothing is guessed; a cell with nothing
in it is missing, one with `""` in it is an empty text, and other words mean "missing" only when the caller says so.
"""

from __future__ import annotations

import functools
import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nb2prod.core.errors import StoreError, UsageError

FORMATS = (".parquet", ".csv")
CSV_BYTES = 4 << 20  # read at a time; the longest line must fit
PARQUET_BYTES = 64 << 10  # read at a time, of each column
FIX_CSV = "correct the file: CSV in UTF-8, with a header, fields with line ends in quotes"


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was found. When size or time of change are others later, it is another file."""

    path: str
    size: int
    changed: int  # nanoseconds

    @property
    def is_text(self) -> bool:
        return self.path.endswith(".csv")


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of a file, the first of which is row `start` of it, counted from 0.

    `numbers` are the rows' numbers, and `broken` rows that could not be read, with the reason: they are not in `table`.
    """

    start: int
    table: Any
    numbers: Any
    broken: tuple[tuple[int, str], ...] = ()
    share: float = 1.0

    @property
    def rows(self) -> int:
        return int(self.table.num_rows) + len(self.broken)


def sources(data: Sequence[Path | str]) -> tuple[Source, ...]:
    """The files that were named: files, folders (every table in them) and patterns (`2024-*.csv`), each once."""
    found = [path for given in data for path in _files(str(given))]
    doubled = {path for path in found if found.count(path) > 1}
    if doubled:
        raise UsageError("the file is named twice", where=str(min(doubled)), fix="name it once")
    return tuple(found_now(path) for path in found)


def found_now(path: Path) -> Source:
    try:
        there = path.stat()
    except OSError as error:
        raise StoreError(f"it cannot be read: {error.strerror}", where=str(path)) from error
    return Source(str(path), there.st_size, there.st_mtime_ns)


def _files(given: str) -> list[Path]:
    path = Path(given)
    if path.is_dir():
        found = sorted(one for one in path.iterdir() if one.suffix in FORMATS and one.is_file())
        if not found:
            raise StoreError("the folder has no .parquet or .csv file", where=given)
        return found
    if path.is_file():
        if path.suffix not in FORMATS:
            raise UsageError(
                f"data is a .parquet or a .csv file, not {path.suffix or 'one without an ending'}", where=given
            )
        return [path]
    found = sorted(Path(one) for one in glob.glob(given) if one.endswith(FORMATS) and Path(one).is_file())  # noqa: PTH207
    if not found:
        raise StoreError(
            "there is no such file", where=given, fix="name a .parquet or .csv file, a folder or a pattern"
        )
    return found


def columns(source: Source) -> tuple[str, ...]:
    """The names of a file's columns. Raises StoreError when it cannot be read, or two have one name."""
    names = list(_parquet(source).schema_arrow.names if not source.is_text else _first_line(source))
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise StoreError(f"two columns are named {doubled[0]!r}", where=source.path, fix="give each its own name")
    return tuple(names)


def schema(source: Source, names: Sequence[str]) -> Any:
    """Arrow's schema of these columns of a Parquet file."""
    import pyarrow

    every = _parquet(source).schema_arrow
    return pyarrow.schema([every.field(name) for name in names], every.metadata)


def blocks(
    source: Source, rows: int, names: Sequence[str], *, missing: Sequence[str] = (), skip: int = 0
) -> Iterator[Block]:
    """The file's rows from row `skip` on, `rows` at a time: the last block may be shorter."""
    made = _csv_blocks if source.is_text else _parquet_blocks
    yield from made(source, rows, names, missing, skip)


# -- Parquet ----------------------------------------------------------------------------------------------------------


def _parquet(source: Source) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        # the reader's own reading ahead keeps all that it has read until the file is closed; and a row group may be
        # the whole file, so that it is read through a buffer and not at once
        return pyarrow.parquet.ParquetFile(source.path, pre_buffer=False, buffer_size=PARQUET_BYTES)
    except (pyarrow.ArrowException, OSError) as error:
        raise StoreError(f"it is no Parquet file that can be read: {error}", where=source.path) from error


def _parquet_blocks(source: Source, rows: int, names: Sequence[str], _: Sequence[str], skip: int) -> Iterator[Block]:
    import numpy
    import pyarrow

    file = _parquet(source)
    total = file.metadata.num_rows
    groups, before = _row_groups(file, skip)
    start = skip
    try:
        batches = file.iter_batches(batch_size=rows, row_groups=groups, columns=list(names)) if groups else ()
        for table in _of_size(batches, rows, skip - before):
            done = start + table.num_rows
            yield Block(start, table, numpy.arange(start, done), share=done / total)
            start = done
    except (pyarrow.ArrowException, OSError) as error:
        raise StoreError(f"it cannot be read from row {start} on: {error}", where=source.path) from error


def _row_groups(file: Any, skip: int) -> tuple[list[int], int]:
    """The row groups from the one with row `skip` on, and how many rows come before them."""
    before = 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if before + count > skip:
            return list(range(group, file.num_row_groups)), before
        before += count
    return [], before


def _of_size(batches: Iterable[Any], rows: int, skip: int) -> Iterator[Any]:
    import pyarrow

    waiting: list[Any] = []
    count = 0
    for batch in batches:
        if skip >= batch.num_rows:
            skip -= batch.num_rows
            continue
        waiting.append(batch.slice(skip))
        count, skip = count + batch.num_rows - skip, 0
        while count >= rows:
            table = pyarrow.Table.from_batches(waiting)
            yield table.slice(0, rows)
            waiting, count = table.slice(rows).to_batches(), count - rows
    if count:
        yield pyarrow.Table.from_batches(waiting)


# -- CSV --------------------------------------------------------------------------------------------------------------


def _csv(source: Source, missing: Sequence[str], names: Sequence[str], broken: Callable[[Any], str]) -> tuple[Any, Any]:
    """A reader of batches in which every column is text, and the file, whose position says how far it is."""
    import pyarrow
    from pyarrow import csv

    try:
        file = pyarrow.OSFile(source.path)
        # with threads the parser cannot say which row is broken
        reader = csv.open_csv(
            file,
            read_options=csv.ReadOptions(block_size=CSV_BYTES, use_threads=False),
            parse_options=csv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=broken, ignore_empty_lines=len(_first_line(source)) > 1
            ),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pyarrow.string()),
                include_columns=list(names),
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=["", *missing],
            ),
        )
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise StoreError(f"it is no CSV that can be read: {error}", where=source.path, fix=FIX_CSV) from error
    return reader, file


@functools.lru_cache(maxsize=8)
def _first_line(source: Source) -> tuple[str, ...]:
    import csv

    try:
        with Path(source.path).open(encoding="utf-8-sig", newline="") as file:
            names = tuple(next(csv.reader(file, strict=True), ()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"it is no CSV that can be read: {error}", where=source.path, fix=FIX_CSV) from error
    if not names:
        raise StoreError("the file has no header", where=source.path, fix=FIX_CSV)
    return names


@dataclass
class _Broken:
    """Lines with too many or too few values, as the parser meets them: it is ahead of the rows that we have."""

    found: list[tuple[int, str]] = field(default_factory=list)

    def __call__(self, row: Any) -> str:
        reason = f"{row.actual_columns} values, and the header names {row.expected_columns} columns"
        self.found.append((int(row.number) - 2, reason))  # the header is 1, and we count from 0
        return "skip"


def _csv_blocks(source: Source, rows: int, names: Sequence[str], missing: Sequence[str], skip: int) -> Iterator[Block]:
    import pyarrow

    broken = _Broken()
    reader, file = _csv(source, missing, names, broken)
    start = 0
    try:
        for table, numbers, bad in _numbered(reader, broken, rows):
            count = len(numbers) + len(bad)
            if start >= skip:
                yield Block(start, table, numbers, bad, share=min(1.0, file.tell() / max(1, source.size)))
            start += count
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise StoreError(f"it cannot be read from row {start} on: {error}", where=source.path, fix=FIX_CSV) from error


def _numbered(reader: Any, broken: _Broken, rows: int) -> Iterator[tuple[Any, Any, tuple[tuple[int, str], ...]]]:
    """(table, its rows' numbers, broken lines among them), `rows` lines of the file at a time, broken ones counted."""
    import numpy
    import pyarrow

    waiting: list[Any] = []
    count = first = told = 0

    def taken(size: int) -> tuple[Any, Any, tuple[tuple[int, str], ...]]:
        nonlocal waiting, count, first, told
        bad = tuple(one for one in broken.found[told:] if one[0] < first + size)
        table = pyarrow.Table.from_batches(waiting, reader.schema)
        good = size - len(bad)
        numbers = numpy.setdiff1d(numpy.arange(first, first + size), [row for row, _ in bad], assume_unique=True)
        waiting, count = table.slice(good).to_batches(), count - good
        first, told = first + size, told + len(bad)
        return table.slice(0, good), numbers, bad

    for batch in reader:
        waiting.append(batch)
        count += batch.num_rows
        while count + _among(broken, told, first + rows) >= rows:
            yield taken(rows)
    # broken lines at the end come with no batch
    while left := count + len(broken.found) - told:
        yield taken(min(rows, left))


def _among(broken: _Broken, told: int, end: int) -> int:
    return sum(1 for row, _ in broken.found[told:] if row < end)
