"""Where MLflow's runs rest: which store, made ready by one process at a time, and freed of runs whose process is gone.

MLflow fills a fresh SQLite store with tables on first use, and two processes that do so at once break each other; here
the first one holds a file lock meanwhile. A killed process leaves its runs RUNNING for ever: each run of nb2prod
carries a tag that names its owner, `host:pid:start of the process`, so that a later one can tell a run that still goes
on from one that does not. The start time tells a process from a later one with the same number.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nb2prod.core.errors import StoreError
from nb2prod.storage.owner import is_gone

OWNER_TAG = "nb2prod.owner"
_LOCK_SECONDS = 300.0
_NOISY = ("mlflow.store.db.utils", "alembic", "alembic.runtime.migration")
_log = logging.getLogger("nb2prod.mlflow")


def refuse_file_store() -> None:
    """Raise StoreError when MLflow would fall back to an old file store, which it no longer writes. Loads no MLflow."""
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1"):
        return
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri and ("://" not in uri or uri.startswith("file:")) and not uri.startswith("databricks"):
        raise StoreError(
            f"MLFLOW_TRACKING_URI={uri} names a file store, which MLflow no longer writes",
            fix="set MLFLOW_TRACKING_URI=sqlite:///mlflow.db, or MLFLOW_ALLOW_FILE_STORE=true to keep the file store",
        )
    if not uri and any(Path("mlruns").glob("[0-9]*/meta.yaml")):
        raise StoreError(
            "an old MLflow file store is here, which MLflow prefers to mlflow.db and no longer writes",
            where=str(Path("mlruns").absolute()),
            fix="mlflow migrate-filestore --source . --target sqlite:///mlflow.db, and then set "
            "MLFLOW_TRACKING_URI=sqlite:///mlflow.db (or MLFLOW_ALLOW_FILE_STORE=true to keep the file store)",
        )


def tracking_uri() -> str:
    """The store that MLflow would use here, so written that it means the same in another working directory."""
    import mlflow

    uri = str(mlflow.get_tracking_uri())
    file = sqlite_file(uri)
    return uri if file is None or _is_absolute(uri) else f"sqlite:///{file}"


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite store, absolute; None for any other store, and for one in memory."""
    from sqlalchemy.engine import make_url

    if not uri.startswith("sqlite:"):
        return None
    database = make_url(uri).database
    return Path(database).absolute() if database and database != ":memory:" else None


def make_ready(uri: str) -> None:
    """Open a SQLite store, with its tables made when it is new, one process at a time. Other stores need nothing.

    Raises StoreError when the file cannot be written, or another process holds the lock for long.
    """
    from filelock import FileLock, Timeout
    from mlflow import MlflowClient

    file = sqlite_file(uri)
    if file is None:
        return
    _refuse_unwritable(file)
    lock = file.with_name(f".{file.name}.lock")
    try:
        with FileLock(lock, timeout=_LOCK_SECONDS), _quiet():
            MlflowClient(tracking_uri=uri).search_experiments(max_results=1)
    except Timeout as error:
        raise StoreError(
            f"another process has been making the MLflow store for more than {_LOCK_SECONDS:.0f} seconds",
            where=str(file),
            fix=f"end it, or remove {lock} when there is none",
        ) from error


def close_orphans(client: Any, experiment_id: str) -> tuple[str, ...]:
    """Set RUNNING runs whose owner is gone to KILLED, and their unfinished models to FAILED; return the runs' ids."""
    condition = f"attributes.status = 'RUNNING' and tags.`{OWNER_TAG}` LIKE '{socket.gethostname()}:%'"
    closed = []
    for run in every_run(client, experiment_id, condition):
        if is_gone(run.data.tags[OWNER_TAG]):
            client.set_terminated(run.info.run_id, "KILLED")
            fail_pending_models(client, experiment_id, run.info.run_id)
            closed.append(run.info.run_id)
    if closed:
        _log.info("closed %d MLflow run(s) that a killed process had left running", len(closed))
    return tuple(closed)


def fail_pending_models(client: Any, experiment_id: str, run_id: str) -> None:
    """A model that was being logged when its process died stays PENDING for ever, unless someone says it failed."""
    for model in client.search_logged_models([experiment_id], filter_string=f"source_run_id = '{run_id}'"):
        if str(model.status).rpartition(".")[2] == "PENDING":
            client.finalize_logged_model(model.model_id, "FAILED")


def every_run(client: Any, experiment_id: str, condition: str) -> list[Any]:
    """All runs of a search. They are read before the first is changed: changing them moves the pages."""
    runs: list[Any] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], condition, page_token=token)
        runs.extend(page)
        token = page.token
        if not token:
            return runs


def _is_absolute(uri: str) -> bool:
    return uri.startswith("sqlite:////") or uri[len("sqlite:///") :][1:2] == ":"


def _refuse_unwritable(file: Path) -> None:
    # asked first, because MLflow itself tries ten times, for more than a minute and a half
    folder = next(parent for parent in file.parents if parent.exists())
    target = file if file.exists() else folder
    if file.is_dir() or not folder.is_dir() or not os.access(target, os.W_OK):
        raise StoreError(
            "the MLflow store cannot be written",
            where=str(file),
            fix="make it writable, or set MLFLOW_TRACKING_URI to another store",
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow tells each of its table migrations, which is news to nobody who starts a notebook."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
