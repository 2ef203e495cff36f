"""Folders of processes that are gone go; those of living ones, and of others, stay."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nb2prod.storage import scratch


def test_folders_of_processes_that_are_gone_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine = Path(tempfile.mkdtemp(prefix=scratch.prefix()))
    code = "import tempfile; from nb2prod.storage import scratch; tempfile.mkdtemp(prefix=scratch.prefix(), dir='.')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    other = tmp_path / "nb2prod-of-somebody"
    other.mkdir()
    assert len(list(tmp_path.iterdir())) == 3
    scratch.sweep()
    assert sorted(tmp_path.iterdir()) == sorted([mine, other])


def test_a_folder_of_another_container_of_the_pod_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the same host name and /tmp, and counts its processes apart: the number of one of its own says nothing."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = "import tempfile; from nb2prod.storage import scratch; tempfile.mkdtemp(prefix=scratch.prefix(), dir='.')"
    apart = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    made = subprocess.run([*apart, sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False)
    if made.returncode:
        pytest.skip("this machine gives no process a namespace of its own")
    (theirs,) = tmp_path.iterdir()
    scratch.sweep()
    assert theirs.exists()
