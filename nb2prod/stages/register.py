"""A package becomes a version of a registered model, whole: with its proof, its card and its checksums."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nb2prod.core.errors import NotProved, StoreError
from nb2prod.core.model_package import ModelPackage
from nb2prod.stages import proof
from nb2prod.storage import checksums


def register(package: ModelPackage, tracking_uri: str | None, registered_name: str, run_id: str | None = None) -> str:
    """Make a version of a registered model from the whole folder; returns `models:/NAME/VERSION`.

    The folder becomes a logged model, of the run when there is one, byte for byte: the version has `package.json` and
    the proof, and its checksums hold. Raises StoreError when the registry cannot be reached or refuses.
    """
    from mlflow.exceptions import MlflowException

    folder = Path(package.directory)
    if checksums.verify(folder) != package.digest:
        raise NotProved("the folder is another package now", where=str(folder), fix="make the package again")
    try:
        with proof.mlflow_settings(), _store(tracking_uri):
            return _registered(package, folder, registered_name, run_id)
    except MlflowException as error:
        raise StoreError(
            f"MLflow refuses to register {registered_name}: {error.message}",
            where=tracking_uri or "",
            fix="a registered model's name has no / and no :",
        ) from error


def _registered(package: ModelPackage, folder: Path, name: str, run_id: str | None) -> str:
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = client.get_run(run_id).info.experiment_id if run_id else "0"
    tags = {
        "nb2prod.digest": package.digest,
        "nb2prod.version": package.version,
        "nb2prod.parity": package.parity.verdict,
        # a package says neither, see `provenance.origin`
        **({"nb2prod.run": package.run} if package.run else {}),
        "nb2prod.made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if not client.search_registered_models(f"name = '{name.replace(chr(39), chr(39) * 2)}'"):
        _create_model(client, name)
    model = client.create_logged_model(experiment, name=package.name, source_run_id=run_id, tags=tags)
    try:
        client.log_model_artifacts(model.model_id, str(folder))
    except BaseException:
        client.finalize_logged_model(model.model_id, "FAILED")
        raise
    client.finalize_logged_model(model.model_id, "READY")
    version = client.create_model_version(
        name, source=f"models:/{model.model_id}", run_id=run_id, tags=tags, model_id=model.model_id
    )
    return f"models:/{name}/{version.version}"


def _create_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        # another process was first
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


@contextmanager
def _store(uri: str | None) -> Iterator[None]:
    """MLflow uses this store meanwhile, also where it asks itself which one; None: the one that it uses anyway."""
    # `set_tracking_uri` alone cannot go back to "none was set"
    from mlflow.tracking._tracking_service.utils import _use_tracking_uri

    if uri is None:
        yield
        return
    before = os.environ.get("MLFLOW_TRACKING_URI")
    try:
        with _use_tracking_uri(uri):
            yield
    finally:
        if before is not None:
            os.environ["MLFLOW_TRACKING_URI"] = before
