"""Joins the stages, one call each. The only module that names plug-ins; the front doors call nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb2prod import plugins
from nb2prod.core.errors import UsageError
from nb2prod.core.finding import Finding
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.result import Result

if TYPE_CHECKING:
    from nb2prod.core.model_package import ModelPackage, Parity
    from nb2prod.core.ports import Engine
    from nb2prod.core.result import TestResult

TRACKERS = ("mlflow", "console")


def load_pipeline(notebook: Path | str) -> Pipeline:
    """Read and compile a notebook; nothing of it runs."""
    from nb2prod.stages.compile import compile
    from nb2prod.stages.read import read

    return compile(read(Path(notebook)))


def check(notebook: Path | str) -> tuple[Finding, ...]:
    """All findings about a notebook."""
    return findings(load_pipeline(notebook))


def findings(pipeline: Pipeline) -> tuple[Finding, ...]:
    from nb2prod.stages.check import check as check_pipeline

    return check_pipeline(pipeline, [module for _, module in plugins.every("checks")])


def explain(code: str = "") -> str:
    """The page of one code of findings as Markdown, or of all. Raises UsageError for a code that there is not."""
    from nb2prod.stages.check import pages

    there = pages(plugins.every("checks"))
    if code and code not in there:
        raise UsageError(f"no finding has the code {code!r}", fix=f"there are: {', '.join(there)}")
    chosen = {code: there[code]} if code else there
    return "\n\n".join(f"## {name}\n\n{page}" for name, page in chosen.items())


def inspect(notebook: Path | str, *, format: str = "text", width: int = 80, color: bool = False) -> str:
    """The pipeline as text, json, svg or mermaid."""
    pipeline = load_pipeline(notebook)
    if format == "json":
        from nb2prod.stages import documents

        return documents.as_text(documents.inspected(pipeline))
    from nb2prod.drawing import draw

    if format == "svg":
        return draw.as_svg(pipeline)
    if format == "mermaid":
        return draw.as_mermaid(pipeline)
    if format == "text":
        return draw.as_text(pipeline, width=width, color=color)
    raise UsageError(f"there is no format {format!r}", fix="text, json, svg or mermaid")


def run(
    notebook: Path | str,
    parameters: Mapping[str, Any] | None = None,
    *,
    texts: Mapping[str, str] | None = None,
    engine: str | Engine = "papermill",
    executor: str = "serial",
    trackers: Sequence[str] = TRACKERS,
    runs: Path | str = "runs",
    output: Path | str | None = None,
    kernel: str | None = None,
    experiment: str = "",
    timeout: float | None = None,
    only_steps: bool = False,
) -> Result:
    """Run a notebook headless. `parameters` are values; `texts` are a command line's words for more of them.

    Raises FindingsError when the notebook has findings of severity error, BadParameter before a kernel starts. What
    the notebook's own code does wrong is in the result.
    """
    from nb2prod.stages.check import refuse_errors
    from nb2prod.stages.plan import plan as make_plan
    from nb2prod.stages.run import run as run_plan

    pipeline = load_pipeline(notebook)
    name = engine if isinstance(engine, str) else "papermill"
    plan = make_plan(
        pipeline,
        parameters or {},
        texts=texts,
        engine=name,
        executor=executor,
        runs=Path(runs),
        output=None if output is None else Path(output),
        kernel=kernel,
        experiment=experiment,
        timeout=timeout,
        only_steps=only_steps,
    )
    refuse_errors(pipeline, findings(pipeline))
    runner = plugins.find("engines", engine) if isinstance(engine, str) else engine
    return run_plan(plan, runner, [plugins.find("trackers", tracker) for tracker in trackers])


def load_result(directory: Path | str) -> Result:
    """The result of an earlier run, from its journal."""
    from nb2prod.core.events import fold
    from nb2prod.storage import journal

    return fold(journal.read(Path(directory)))


def test(
    notebooks: Sequence[Path | str],
    *,
    junit: Path | None = None,
    select: str | None = None,
    parameters: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> tuple[tuple[TestResult, ...], int]:
    """The notebooks' tests through pytest: what came of each, and the exit code (0, 1, 3, 4 …)."""
    from nb2prod.stages.test import run_pytest

    paths = [Path(notebook) for notebook in notebooks]
    return run_pytest(paths, junit=junit, select=select, parameters=parameters or {}, quiet=quiet)


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


def verify(folder: Path | str) -> Parity:
    """Check a package's checksums and compute its proof again."""
    from nb2prod.stages.verify import verify_package

    return verify_package(Path(folder))


def serve(source: Path | str, *, host: str = "127.0.0.1", port: int = 8080, token: str | None = None) -> None:
    """Serve a package over HTTP until it is told to stop: a folder, or `models:/NAME@ALIAS` of the MLflow registry."""
    from nb2prod.core.errors import StoreError
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
