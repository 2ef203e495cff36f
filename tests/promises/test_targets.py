"""What every target promises, whichever targets there are; and what exporting promises whatever a target does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from nb2prod import api, plugins
from nb2prod.core.errors import PluginError, StoreError, UsageError
from nb2prod.core.pipeline import Pipeline
from nb2prod.stages.export import export

MORTGAGE = Path(__file__).parents[2] / "notebooks" / "mortgage.ipynb"


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_target_writes_below_its_folder_and_the_same_twice(tmp_path: Path) -> None:
    for target in plugins.names("targets"):
        written = api.export(MORTGAGE, target, tmp_path / target)
        assert written, target
        assert all(path.exists() and tmp_path / target in path.parents for path in written)
        api.export(MORTGAGE, target, tmp_path / f"{target}-again")
        assert digests(tmp_path / target) == digests(tmp_path / f"{target}-again"), target


class Names:
    """A target of one file."""

    def export(self, pipeline: Pipeline, destination: Path) -> tuple[Path, ...]:
        path = destination / "names.txt"
        path.write_text("\n".join(step.name for step in pipeline.steps))
        return (path,)


class Broken:
    def export(self, pipeline: Pipeline, destination: Path) -> tuple[Path, ...]:
        (destination / "half").write_text("half")
        raise StoreError("the disk is full")


class Astray:
    def export(self, pipeline: Pipeline, destination: Path) -> tuple[Path, ...]:
        return (destination / ".." / "elsewhere",)


def test_an_export_is_whole_or_not_there(tmp_path: Path) -> None:
    pipeline = api.load_pipeline(MORTGAGE)
    (path,) = export(pipeline, Names(), tmp_path / "out")
    assert (path, path.read_text()) == (tmp_path / "out" / "names.txt", "load\nsplit\ntrain\nevaluate")
    with pytest.raises(UsageError, match="something already"):
        export(pipeline, Names(), tmp_path / "out")
    with pytest.raises(StoreError, match="disk is full"):
        export(pipeline, Broken(), tmp_path / "broken")
    with pytest.raises(StoreError, match="outside its folder"):
        export(pipeline, Astray(), tmp_path / "astray")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="no target named 'nowhere'"):
        api.export(MORTGAGE, "nowhere", tmp_path / "out")
