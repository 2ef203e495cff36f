"""A package's model files, made the same bytes whenever and wherever the same model is written.

Libraries write more than the model. A skops file is written without that from the start (`storage/skops_file.py`). In
pickles sets get an order of their own (`steady_pickle`), and attributes in which scikit-learn keeps an address in
memory become 0, which no process has for an address. MLflow draws a random id and takes the clock: `MLmodel` gets an id
made from what it describes, and the moment only where `SOURCE_DATE_EPOCH` says which one is meant.

What comes out is proved like any model: it is this file that the fresh process loads.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nb2prod.core.errors import UsageError
from nb2prod.stages.provenance.steady_pickle import steady_pickle
from nb2prod.storage.files import digest_of, write_bytes

MODEL = "MLmodel"
EPOCH = "SOURCE_DATE_EPOCH"
PROOF = "parity"  # what is in there is named by its digest already, and is written by nb2prod


def make_steady(folder: Path) -> None:
    """Rewrite what was written into `folder` by pickle and MLflow. Nothing else of the package is there yet."""
    change = 0
    for path in sorted(folder.rglob("*")):
        rewrite = _REWRITES.get(path.suffix) if path.parent.name != PROOF else None
        if rewrite is None or not path.is_file():
            continue
        before = path.read_bytes()
        after = rewrite(before)
        if after != before:
            write_bytes(path, after)
            change += len(after) - len(before)
    _steady_description(folder, change)


def created() -> dict[str, str]:
    """What `package.json` says of the moment: nothing, where none is meant."""
    when = moment()
    return {} if when is None else {"created": when.isoformat(timespec="seconds")}


def moment() -> datetime | None:
    """The moment that `SOURCE_DATE_EPOCH` names, as other makers of reproducible files take it; else None."""
    text = os.environ.get(EPOCH, "")
    if not text:
        return None
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"{EPOCH} is {text!r}, not a number of seconds", fix="give the seconds since 1970, or unset it"
        ) from error


# -- MLmodel --------------------------------------------------------------------------------------------------------


def _steady_description(folder: Path, change: int) -> None:
    """`change` is by how many bytes the model's files grew since MLflow counted them."""
    import yaml

    path = folder / MODEL
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name in ("model_uuid", "utc_time_created", "run_id"):
        content.pop(name, None)
    if "model_size_bytes" in content:
        content["model_size_bytes"] += change
    when = moment()
    if when is not None:
        content["utc_time_created"] = str(when.replace(tzinfo=None))
    content["model_uuid"] = _identity(folder, content)
    write_bytes(path, yaml.safe_dump(content, allow_unicode=True, default_flow_style=False).encode())


def _identity(folder: Path, content: dict[str, Any]) -> str:
    """An id that is the same for the same content, as MLflow writes one."""
    files = {
        path.relative_to(folder).as_posix(): digest_of(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name != MODEL
    }
    text = json.dumps([content, sorted(files.items())], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


_REWRITES: dict[str, Callable[[bytes], bytes]] = {".pkl": steady_pickle}
