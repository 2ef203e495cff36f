"""A folder is whole when its checksums hold; every way in which it is not is found, and named."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nb2prod.core.errors import NotProved, StoreError
from nb2prod.storage import checksums
from nb2prod.storage.files import digest_of
from nb2prod.storage.folders import replacing_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "inner").mkdir(parents=True)
    (made / "a.txt").write_text("one")
    (made / "inner" / "b c.bin").write_bytes(bytes(range(32)))
    checksums.write(made)
    return made


def test_sha256sum_reads_the_checksums(folder: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", "checksums"], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "a.txt: OK\ninner/b c.bin: OK\n"


def test_the_folders_digest_is_that_of_its_checksums(folder: Path) -> None:
    assert checksums.verify(folder) == digest_of(folder / "checksums") == checksums.write(folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_one_bit_flipped_in_any_file_is_found(folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["a.txt", "inner/b c.bin", "checksums"]))
    path = folder / name
    before = path.read_bytes()
    place = data.draw(st.integers(0, 8 * len(before) - 1))
    changed = bytearray(before)
    changed[place // 8] ^= 1 << place % 8
    try:
        path.write_bytes(bytes(changed))
        with pytest.raises(NotProved):
            checksums.verify(folder)
    finally:
        path.write_bytes(before)


def test_a_missing_an_added_and_a_changed_file_are_named(folder: Path) -> None:
    (folder / "inner" / "new.py").write_text("")
    with pytest.raises(NotProved, match=r"the file inner/new\.py was added"):
        checksums.verify(folder)
    (folder / "inner" / "new.py").unlink()
    (folder / "a.txt").write_text("two")
    with pytest.raises(NotProved, match=r"the file a\.txt was changed; nothing of it was loaded"):
        checksums.verify(folder)
    (folder / "a.txt").unlink()
    with pytest.raises(NotProved, match=r"the file a\.txt is missing"):
        checksums.verify(folder)


def test_links_and_pipes_are_refused(folder: Path) -> None:
    """Also a link to a file with the very same content, and a link to a folder."""
    shutil.copy(folder / "a.txt", folder.parent / "same.txt")
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(folder.parent / "same.txt")
    with pytest.raises(NotProved, match=r"a\.txt is a link"):
        checksums.verify(folder)
    (folder / "a.txt").unlink()
    (folder / "more").symlink_to(folder / "inner")
    with pytest.raises(NotProved, match="more is a link"):
        checksums.verify(folder)
    (folder / "more").unlink()
    os.mkfifo(folder / "a.txt")
    with pytest.raises(NotProved, match=r"a\.txt is neither a file nor a folder"):
        checksums.verify(folder)


def test_a_folder_without_checksums_and_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(NotProved, match="no file checksums"):
        checksums.verify(tmp_path)
    with pytest.raises(StoreError, match="no such folder"):
        checksums.verify(tmp_path / "nowhere")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_folder_takes_the_place_of_an_earlier_one_as_a_whole(tmp_path: Path) -> None:
    place = tmp_path / "place"
    for text in ("first", "second"):
        with replacing_folder(place) as made:
            (made / f"{text}.txt").write_text(text)
    assert (_names(tmp_path), _names(place)) == (["place"], ["second.txt"])


def test_a_folder_that_fails_in_the_making_leaves_the_earlier_one(tmp_path: Path) -> None:
    place = tmp_path / "place"
    with replacing_folder(place) as made:
        (made / "first.txt").write_text("first")
    with pytest.raises(StoreError, match="cannot write"), replacing_folder(place) as made:
        (made / "missing" / "second.txt").write_text("second")
    assert (_names(tmp_path), _names(place)) == (["place"], ["first.txt"])


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"), replacing_folder(tmp_path / "file" / "place"):
        pass
