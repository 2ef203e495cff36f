"""What leaves the notebook: packages, exports, a service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb2prod import plugins
from nb2prod.api._pipelines import findings, load_pipeline
from nb2prod.api.running import load_result, run
from nb2prod.core.errors import StoreError, UsageError

if TYPE_CHECKING:
    from nb2prod.core.model_package import ModelPackage

TRACKERS = ("mlflow", "console")


def package(
    source: Path | str,
    destination: Path | str,
    *,
    parameters: Mapping[str, Any] | None = None,
    texts: Mapping[str, str] | None = None,
    name: str | None = None,
    version: str = "1",
    register: str | None = None,
    trackers: Sequence[str] = TRACKERS,
) -> ModelPackage:
    """The model package of a run's directory, or of a notebook, which is then run first.

    Raises NotProved (and leaves nothing at `destination`) unless the package answers as the notebook did.
    """
    import json

    from nb2prod.core.pipeline import Plan
    from nb2prod.stages import package as packaging
    from nb2prod.stages.run import PLAN
    from nb2prod.storage import codec

    path = Path(source)
    if (path / PLAN).exists():
        if parameters or texts:
            raise UsageError("a run has its parameters already", fix="name the notebook to run it with others")
        result = load_result(path)
    else:
        result = run(path, parameters, texts=texts, trackers=trackers)
    plan: Plan = codec.build(Plan, json.loads((Path(result.directory) / PLAN).read_text(encoding="utf-8")))
    made = packaging.package(plan.pipeline, result, Path(destination), name=name, version=version)
    if register:
        packaging.register(
            made, result.tracked.get("mlflow.tracking_uri"), register, result.tracked.get("mlflow.run_id")
        )
    return made


def export(notebook: Path | str, target: str, destination: Path | str) -> tuple[Path, ...]:
    """The notebook's pipeline as `target` writes it. Raises FindingsError when it has findings of severity error."""
    from nb2prod.stages.check import refuse_errors
    from nb2prod.stages.export import export as export_pipeline

    chosen = plugins.find("targets", target)
    pipeline = load_pipeline(notebook)
    refuse_errors(pipeline, findings(pipeline))
    return export_pipeline(pipeline, chosen, Path(destination))


def serve(source: Path | str, *, host: str = "127.0.0.1", port: int = 8080, token: str | None = None) -> None:
    """Serve a package over HTTP until it is told to stop: a folder, or `models:/NAME@ALIAS` of the MLflow registry."""
    from nb2prod.serving.errors import ServingError
    from nb2prod.serving.server import serve as serve_folder

    with _folder_of(str(source)) as folder:
        try:
            serve_folder(folder, host=host, port=port, token=token)
        except ServingError as error:
            # the service knows nothing of our tree, so that a package can carry it alone
            kind = StoreError if error.exit_code == StoreError.exit_code else UsageError
            raise kind(error.what, where=error.where, fix=error.fix) from error


@contextmanager
def _folder_of(source: str) -> Iterator[Path]:
    if not source.startswith("models:/"):
        yield Path(source)
        return
    import tempfile

    import mlflow

    with tempfile.TemporaryDirectory(prefix="nb2prod-") as folder:
        try:
            yield Path(mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=folder))
        except mlflow.exceptions.MlflowException as error:
            from nb2prod.core.errors import StoreError

            raise StoreError(f"the registry does not give it: {error.message}", where=source) from error
