"""However long the data is, no more than a few blocks of it are held at the same time."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from nb2prod.stages.scoring import reading
from nb2prod.stages.scoring.in_order import ahead, worked

ROWS, COLUMNS, BLOCK = 100_000, 4, 2_000


class Held:
    """Counts the things that are alive."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()

    def seen(self, thing: object) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        weakref.finalize(thing, self._gone)

    def _gone(self) -> None:
        with self._lock:
            self.now -= 1


class Thing:
    pass


@pytest.mark.parametrize("width", [1, 3])
def test_a_slow_reader_of_parts_holds_up_those_who_make_them(width: int) -> None:
    held = Held()

    def things() -> Iterator[Thing]:
        for _ in range(50):
            thing = Thing()
            held.seen(thing)
            yield thing

    assert sum(1 for _ in worked(ahead(things()), lambda _: None, width)) == 50
    # those that are worked on, one that waits for its turn, one read ahead, one that is handed on
    assert held.most <= width + 4


@pytest.mark.parametrize("groups", [1, 20])
def test_parquet_is_held_a_block_at_a_time_in_one_group_of_rows_or_in_many(groups: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = pa.table({f"x{place}": rng.normal(size=ROWS) for place in range(COLUMNS)})
    pages = {"data_page_size": 16_000, "use_dictionary": False}  # a page of each column is held, whatever its length
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=ROWS // groups, **pages)
    size = table.nbytes
    del table
    assert most_held(tmp_path / "rows.parquet") < size / 3


def test_csv_is_held_a_block_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CSV_BYTES", 1 << 16)
    rng = np.random.default_rng(0)
    table = pa.table({f"x{place}": rng.normal(size=ROWS) for place in range(COLUMNS)})
    pa.csv.write_csv(table, tmp_path / "rows.csv")
    del table
    assert most_held(tmp_path / "rows.csv") < (tmp_path / "rows.csv").stat().st_size / 2


def most_held(path: Path) -> int:
    """The most bytes that Arrow held, by its own count, while the file was read to its end."""
    (source,) = reading.sources([path])
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for block in reading.blocks(source, BLOCK, reading.columns(source)):
        most, rows = max(most, pa.total_allocated_bytes() - before), rows + block.rows
    assert rows == ROWS
    return most
