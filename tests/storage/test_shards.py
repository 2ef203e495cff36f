"""Models of a map in shards: read back as written, safe from a kill at any byte, never read when damaged."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nb2prod.core.errors import StoreError
from nb2prod.core.mapping import sample_of
from nb2prod.storage.shards import ShardReader, Shards, open_shards, proofs, records


def shard(directory: Path, number: int = 0) -> Path:
    return directory / "models" / f"shard-{number:05d}.bin"


def contents(directory: Path) -> list[tuple[int, bytes]]:
    with ShardReader(directory) as reader:
        files = sorted((directory / "models").glob("shard-*.bin"))
        return [(found.number, reader.read(found.reference)) for file in files for found in records(file)]


def test_every_model_is_read_back_as_it_was_put(tmp_path):
    models = [os.urandom(size) for size in (0, 1, 1000, 100_000)]
    with open_shards(tmp_path) as shards:
        kept = [shards.put(model, number) for number, model in enumerate(models)]
    with ShardReader(tmp_path) as reader:
        assert [reader.read(reference) for reference in reversed(kept)] == models[::-1]
    assert contents(tmp_path) == list(enumerate(models))


def test_a_full_shard_is_followed_by_the_next_also_by_a_later_writer(tmp_path):
    for _ in range(2):
        with Shards(tmp_path, limit=1000) as shards:
            for number in range(3):
                shards.put(bytes(400), number)
    assert [path.name for path in sorted((tmp_path / "models").glob("*.bin"))] == [
        f"shard-{number:05d}.bin" for number in range(3)
    ]
    assert [number for number, _ in contents(tmp_path)] == [0, 1, 2, 0, 1, 2]


def test_nothing_is_written_before_the_first_model(tmp_path):
    open_shards(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_a_torn_end_is_cut_at_every_byte_where_it_may_tear_and_the_rest_is_kept(tmp_path):
    with open_shards(tmp_path) as shards:
        first = shards.put(b"the first model", 7)
        shards.put(b"torn", 8)
    whole = shard(tmp_path).read_bytes()
    for end in range(first.offset + first.length, len(whole)):
        shard(tmp_path).write_bytes(whole[:end])
        with open_shards(tmp_path) as shards:
            assert shards.put(b"the next one", 9).offset == first.offset + first.length + 56
        assert contents(tmp_path) == [(7, b"the first model"), (9, b"the next one")]


def test_zeros_at_the_end_as_a_power_cut_leaves_them_are_cut(tmp_path):
    with open_shards(tmp_path) as shards:
        shards.put(b"one", 1)
    with shard(tmp_path).open("ab") as file:
        file.write(bytes(5000))
    with open_shards(tmp_path) as shards:
        shards.put(b"two", 2)
    assert contents(tmp_path) == [(1, b"one"), (2, b"two")]


def test_damage_that_no_kill_makes_is_refused_and_nothing_is_cut(tmp_path):
    with open_shards(tmp_path) as shards:
        reference = shards.put(b"first", 1)
        shards.put(b"second", 2)
    whole = shard(tmp_path).read_bytes()
    for place in range(reference.offset + reference.length):
        damaged = whole[:place] + bytes([whole[place] ^ 128]) + whole[place + 1 :]
        shard(tmp_path).write_bytes(damaged)
        with pytest.raises(StoreError, match="damaged"), open_shards(tmp_path) as shards:
            shards.put(b"third", 3)
        assert shard(tmp_path).read_bytes() == damaged


def test_a_changed_model_is_never_handed_out(tmp_path):
    with open_shards(tmp_path) as shards:
        reference = shards.put(b"as it was")
    content = shard(tmp_path).read_bytes()
    shard(tmp_path).write_bytes(content[:-1] + b"!")
    with ShardReader(tmp_path) as reader:
        with pytest.raises(StoreError, match="SHA-256 differs"):
            reader.read(reference)
        with pytest.raises(StoreError, match="no name of a shard"):
            reader.read(dataclasses.replace(reference, shard="../secret"))
        with pytest.raises(StoreError, match="cannot be read"):
            reader.read(dataclasses.replace(reference, shard="shard-00009.bin"))


def test_a_second_writer_is_refused_while_the_first_one_writes(tmp_path):
    with open_shards(tmp_path) as shards:
        shards.put(b"mine")
        with pytest.raises(StoreError, match="another process is writing"), open_shards(tmp_path) as other:
            other.put(b"theirs")
    assert contents(tmp_path) == [(0, b"mine")]


def test_of_two_proofs_of_an_item_the_later_counts(tmp_path):
    assert proofs(tmp_path) == {}
    with open_shards(tmp_path) as shards:
        shards.put_proof(3, b"before the kill")
        shards.put_proof(5, b"other")
        shards.put_proof(3, b"after it")
    assert proofs(tmp_path) == {3: b"after it", 5: b"other"}


WRITER = """
import itertools, sys
from pathlib import Path
from nb2prod.storage.shards import Shards
shards = Shards(Path(sys.argv[1]), limit=200_000)
for number in itertools.count(int(sys.argv[2])):
    shards.put(number.to_bytes(8, "big") * (number % 999), number)
    print(number, flush=True)
"""


def test_a_killed_writer_loses_no_model_that_it_had_put(tmp_path):
    told = -1
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(told + 1)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for line in writer.stdout:
            told = int(line)
            if told % 60 == 59:
                break
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split("\n")
        told = max([told, *(int(line) for line in rest[:-1])])
        writer.wait()
        writer.stdout.close()
        with open_shards(tmp_path) as shards:
            shards.put(b"", 10**9)
        found = [pair for pair in contents(tmp_path) if pair[0] != 10**9]
        assert {number for number, _ in found} >= set(range(told + 1))
        assert all(content == number.to_bytes(8, "big") * (number % 999) for number, content in found)


def test_the_sample_is_spread_over_all_items_and_always_the_same():
    numbers = [number * 2 for number in range(1000)]
    sample = sample_of(numbers)
    assert sample == sample_of(numbers)
    assert len(sample) == 50
    assert {0, 1998} <= sample <= set(numbers)
    assert sample_of(numbers[:30]) == set(numbers[:30])
    assert sample_of([]) == frozenset()
