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
