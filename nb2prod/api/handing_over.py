"""What leaves the notebook: packages, exports, a service."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from nb2prod import plugins
from nb2prod.api._pipelines import findings, load_pipeline
from nb2prod.api.running import load_result, result_of, run
from nb2prod.core.errors import StoreError, UsageError

if TYPE_CHECKING:
    from nb2prod.core.finding import Finding
    from nb2prod.core.model_package import ModelPackage
    from nb2prod.core.ports import Target

TRACKERS = ("mlflow", "console")
SHELL = "shell-in-step"
# checks whose findings say that a step depends on what no target takes along
LEFT_BEHIND = ("exploration-name", "exploration-random")
# what a step changes beside its values, which no file takes to a step that runs elsewhere
NOT_IN_FILES = ("ambient-state",)


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
    fallback: str | None = None,
    lock: str = "pins",
    sign: Path | str | None = None,
    prove: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> ModelPackage:
    """The model package of a run's directory, or of a notebook, which is then run first.

    Of a map it is one model that asks the model of each row's key; `fallback` says what a key without one gets (None:
    it is refused). `lock` is `pins`, `hashed` (pip asks its index for hashes that it has not been asked for) or a lock
    that has them; `sign` a private key, whose signature the package then carries. `prove` are paths to put into the
    certificate beside the quick ones (`all`; see docs/certificate.md). `tell` hears how far it is.

    Raises NotProved (and leaves nothing at `destination`) unless the package answers as the notebook did.
    """
    import json

    from nb2prod.core.pipeline import Plan
    from nb2prod.stages import package as packaging
    from nb2prod.stages.map import is_map
    from nb2prod.stages.provenance import provable
    from nb2prod.stages.run import PLAN
    from nb2prod.storage import codec

    path = Path(source)
    carried: dict[str, Any] = provable(lock, sign)
    if is_map(path):
        if parameters or texts:
            raise UsageError("a map has its parameters already", fix="start another map with others")
        if prove:
            from nb2prod.api.certifying import map_ways

            carried["further"] = map_ways(prove, tell)
        return _package_map(path, Path(destination), name, version, register, fallback or "refuse", tell, carried)
    if fallback is not None:
        raise UsageError("a fallback is for the models of a map", where=str(path), fix="leave out --fallback")
    if (path / PLAN).exists():
        if parameters or texts:
            raise UsageError("a run has its parameters already", fix="name the notebook to run it with others")
        result = load_result(path)
    else:
        result = run(path, parameters, texts=texts, trackers=trackers)
    plan: Plan = codec.build(Plan, json.loads((Path(result.directory) / PLAN).read_text(encoding="utf-8")))
    if prove:
        from nb2prod.api.certifying import ways

        carried["further"] = ways(plan, result, prove, tell)
    made = packaging.package(plan.pipeline, result, Path(destination), name=name, version=version, **carried)
    if register:
        packaging.register(
            made, result.tracked.get("mlflow.tracking_uri"), register, result.tracked.get("mlflow.run_id")
        )
    return made


def _package_map(
    run: Path,
    destination: Path,
    name: str | None,
    version: str,
    register: str | None,
    fallback: str,
    tell: Callable[[str], None],
    carried: Mapping[str, Any],
) -> ModelPackage:
    from nb2prod.stages import map_package, routes
    from nb2prod.stages.mapping.finished import read_finished
    from nb2prod.stages.package import register as register_package

    wanted = routes.fallback_of(fallback)
    finished = read_finished(run)
    if wanted.kind == "pooled":
        from nb2prod.api.mapping import pooled_model

        tell("the notebook runs once more, on the whole table")
        model, told = pooled_model(run)
        tell(told)
        finished = dataclasses.replace(finished, pooled=model, told=told)
    made = map_package.package(finished, destination, name=name, version=version, fallback=wanted, tell=tell, **carried)
    if register:
        register_package(made, finished.tracked.get("tracking_uri"), register, finished.tracked.get("run_id"))
    return made


def export(
    notebook: Path | str,
    target: str,
    destination: Path | str,
    *,
    run: Path | str | None = None,
    allow_shell: bool = False,
) -> tuple[Path, ...]:
    """The notebook's pipeline as `target` writes it; nothing is executed.

    `run` is the folder of a run of this notebook, for targets that compare with it; `allow_shell` lets shell lines
    become calls of the shell. Raises FindingsError when the notebook has findings of severity error, or when a step
    depends on a cell that stays behind.
    """
    from nb2prod.stages.check import refuse_errors
    from nb2prod.stages.export import export as export_pipeline

    chosen = plugins.find("targets", target)
    pipeline = load_pipeline(notebook)
    there = findings(pipeline)
    refuse_errors(pipeline, there)
    refuse_errors(pipeline, _against(there, chosen, allow_shell), isolated=True)
    options = {} if run is None else {"run": result_of(pipeline, run)}
    return export_pipeline(pipeline, _told(chosen, target, options, allow_shell), Path(destination))


def _against(findings: Iterable[Finding], target: Any, allow_shell: bool) -> list[Finding]:
    """The findings that refuse a target, errors apart. One whose steps run by themselves says so: `ISOLATED`."""
    if not getattr(target, "ISOLATED", False):
        return [finding for finding in findings if finding.code in LEFT_BEHIND]
    said = [finding for finding in findings if not (allow_shell and finding.code == SHELL)]
    return [dataclasses.replace(f, isolated=True) if f.code in NOT_IN_FILES else f for f in said]


def _told(target: Any, name: str, options: Mapping[str, Any], allow_shell: bool) -> Target:
    """The target with the options that it offers as parameters of its own."""
    import inspect
    from functools import partial
    from types import SimpleNamespace

    offered = inspect.signature(target.export).parameters
    unknown = next((option for option in options if option not in offered), None)
    if unknown:
        raise UsageError(f"the target {name} takes no --{unknown}", fix="leave it out")
    shell = {"allow_shell": allow_shell} if "allow_shell" in offered else {}
    return cast("Target", SimpleNamespace(export=partial(target.export, **options, **shell)))


def serve(
    source: Path | str,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token: str | None = None,
    runtime: Literal["auto", "onnx", "mlflow"] = "auto",
    log: Literal["text", "json"] = "text",
    policy: Path | str | None = None,
) -> None:
    """Serve a package over HTTP until it is told to stop: a folder, or `models:/NAME@ALIAS` of the MLflow registry.

    `runtime` is what answers: the model through `mlflow`, its proved translation by `onnx`, or the first that there is.
    `policy` is as in `inspect_package`.
    """
    from nb2prod.serving import logs
    from nb2prod.serving.errors import ServingError
    from nb2prod.serving.server import serve as serve_folder

    if log == "json":
        logs.write_log("json")
    from nb2prod.stages import admission

    with (
        _folder_of(str(source)) as given,
        admission.unpacked(given, admission.policy_of(policy)) as folder,
    ):
        digest = admission.judged(folder, admission.policy_of(policy))
        try:
            serve_folder(folder, host=host, port=port, token=token, runtime=runtime, digest=digest)
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
