"""A pipeline is exported: a target writes it as something else, whole or not at all."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from pathlib import Path

from nb2prod.core.errors import StoreError, UsageError
from nb2prod.core.origin import FILE
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.ports import Target


def export(pipeline: Pipeline, target: Target, destination: Path) -> tuple[Path, ...]:
    """What the target wrote, below `destination`, where nothing must be yet. Raises UsageError or StoreError."""
    destination = destination.absolute()
    _refuse_what_is_there(destination, pipeline)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    except OSError as error:
        raise StoreError(f"cannot write: {error.strerror}", where=str(destination)) from error
    try:
        written = target.export(pipeline, partial)
        outside = [path for path in written if partial not in path.resolve().parents]
        if outside:
            raise StoreError("the target wrote outside its folder", where=str(outside[0]))
        partial.chmod(0o777 & ~_umask())
        partial.replace(destination)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return tuple(destination / path.relative_to(partial) for path in written)


def _refuse_what_is_there(destination: Path, pipeline: Pipeline) -> None:
    """An empty folder is as good as none; in any other there may be somebody's work."""
    if not destination.exists() or (destination.is_dir() and not any(destination.iterdir())):
        return
    fix = "name a folder that is not there"
    if (destination / FILE).is_file():
        words = shlex.join(["nb2prod", "sync", str(destination), str(pipeline.notebook.path), "--update"])
        fix = f"bring that project up to date with `{words}`, which keeps what was changed there, or {fix}"
    raise UsageError("there is something already", where=str(destination), fix=fix)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
