"""Joins the stages, one call each. The only module that names plug-ins; the front doors call nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nb2prod import plugins
from nb2prod.core.errors import NotANotebook, StoreError, UsageError
from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.result import Result

if TYPE_CHECKING:
    from nb2prod.core.equality import Equality
    from nb2prod.core.model_package import ModelPackage, Parity
    from nb2prod.core.ports import Engine
    from nb2prod.core.result import TestResult
    from nb2prod.stages.check import Checked
    from nb2prod.stages.check_settings import Wanted
    from nb2prod.stages.fix import Offer
    from nb2prod.stages.suggest import Suggestion

TRACKERS = ("mlflow", "console")
SHELL = "shell-in-step"  # the finding that `allow_shell` answers
ROUNDS = 20  # of correcting a notebook: more than ever meet at one place


def load_pipeline(notebook: Path | str) -> Pipeline:
    """Read and compile a notebook; nothing of it runs."""
    from nb2prod.stages.compile import compile
    from nb2prod.stages.read import read

    return compile(read(Path(notebook)))


def check(notebook: Path | str) -> tuple[Finding, ...]:
    """The findings about a notebook, without those that its comments or the project's settings silence."""
    return _told(load_pipeline(notebook))[0]


def check_all(
    paths: Sequence[Path | str],
    *,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    fail_on: Severity | None = None,
) -> tuple[Checked, ...]:
    """Every notebook, also those in folders. One that cannot be read is told as such, and the rest is checked."""
    from nb2prod.stages.check import Checked
    from nb2prod.stages.check_settings import Wanted
    from nb2prod.stages.fix import fixes_for

    wanted = Wanted(tuple(ignore), tuple(select), fail_on)
    offers = _offers()
    done: list[Checked] = []
    for path in _notebooks(paths):
        try:
            pipeline = load_pipeline(path)
        except (NotANotebook, StoreError) as problem:
            done.append(Checked(str(path), problem=problem, failed=True))
            continue
        told, failed = _told(pipeline, wanted)
        done.append(Checked(str(path), told, pipeline, None, failed, len(fixes_for(pipeline, told, offers))))
    return tuple(done)


def findings(pipeline: Pipeline) -> tuple[Finding, ...]:
    """Everything that stands against a pipeline, whatever comments and settings say: what a run is refused by."""
    from nb2prod.stages.check import check as check_pipeline

    return check_pipeline(pipeline, [module for _, module in plugins.every("checks")])


def told(pipeline: Pipeline) -> tuple[Finding, ...]:
    """What a person is told of a pipeline: `findings` without what comments and settings silence."""
    return _told(pipeline)[0]


def _told(pipeline: Pipeline, wanted: Wanted | None = None) -> tuple[tuple[Finding, ...], bool]:
    """(what is told, whether it is worse than the settings allow)."""
    from nb2prod.stages import check as stage
    from nb2prod.stages.check_settings import Wanted, settings_for

    checks = plugins.every("checks")
    codes = {*stage.COMPILED, *(name for name, _ in checks)}
    errors = {name for name, module in checks if module.SEVERITY == "error"} | stage.ALWAYS_ERRORS
    settings = settings_for(pipeline.notebook.path, wanted or Wanted(), codes, errors)
    heard = settings.applied(stage.heard(pipeline, findings(pipeline), codes))
    return heard, settings.failed(heard)


def _offers() -> dict[str, Offer]:
    """The checks that know a correction, by code."""
    return {name: module.fixes for name, module in plugins.every("checks") if hasattr(module, "fixes")}


def _notebooks(paths: Sequence[Path | str]) -> Iterator[Path]:
    """The files named, and for a folder all notebooks in it that are not hidden or a checkpoint."""
    for path in map(Path, paths):
        if not path.is_dir():
            yield path
            continue
        inside = sorted(p for p in path.rglob("*.ipynb") if p.is_file())
        seen = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        if not seen:
            raise UsageError(
                "there is no notebook in the folder", where=str(path), fix="name another folder, or a file"
            )
        yield from seen


def fix(
    notebook: Path | str, output: Path | str | None = None, *, select: Sequence[str] = (), ignore: Sequence[str] = ()
) -> tuple[Path | None, str, int]:
    """Correct what is certain in a copy: (the copy, what it changes as a diff, how many findings it corrects).

    The copy is `NAME.fixed.ipynb` beside the notebook unless `output` is given. None when there is nothing to correct.
    """
    import tempfile

    from nb2prod.stages import fix as stage
    from nb2prod.stages.check_settings import Wanted
    from nb2prod.storage import files

    source = Path(notebook)
    destination = Path(output) if output is not None else source.with_name(f"{source.stem}.fixed.ipynb")
    before = load_pipeline(source)
    stage.refuse_other_formats(source, before.notebook)
    wanted = Wanted(tuple(ignore), tuple(select))
    corrected, content, after = 0, source.read_bytes(), before
    with tempfile.TemporaryDirectory(prefix="nb2prod-") as folder:
        copy = Path(folder) / source.name
        for _ in range(ROUNDS):
            # settings are the original's: the copy that is read again lies elsewhere
            placed = dataclasses.replace(after, notebook=dataclasses.replace(after.notebook, path=source))
            fixes = stage.fixes_for(placed, _told(placed, wanted)[0], _offers())
            if not fixes:
                break
            corrected += len(fixes)
            content = stage.fixed(content, fixes)
            copy.write_bytes(content)
            after = load_pipeline(copy)
    if not corrected:
        return None, "", 0
    if destination.exists():
        raise UsageError(
            "the copy is there already", where=str(destination), fix="take it away, or name another with -o"
        )
    files.write_text(destination, content.decode())
    return destination, stage.difference(before.notebook, after.notebook), corrected


def report(checked: Sequence[Checked], *, format: str = "lines", width: int = 100, color: bool = False) -> str:
    """What was checked as `lines` (one a finding), a `page` for a terminal, `json`, `sarif` or `github` annotations."""
    from nb2prod.stages.reports import github, sarif, text

    if format == "page":
        return text.as_page(checked, width=width, color=color)
    if format == "lines":
        return text.as_lines(checked)
    if format == "github":
        return github.as_annotations(checked)
    from importlib.metadata import version

    from nb2prod.stages import documents
    from nb2prod.stages.check import pages

    if format == "json":
        return documents.as_text(documents.checked(checked))
    if format == "sarif":
        return documents.as_text(sarif.as_sarif(checked, pages(plugins.every("checks")), version("nb2prod")))
    raise UsageError(f"there is no format {format!r}", fix="lines, page, json, sarif or github")


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


def suggest(notebook: Path | str, output: Path | str | None = None, *, overwrite: bool = False) -> Suggestion:
    """Tags for the untagged cells of a notebook, with reasons; nothing runs, and the notebook stays as it is.

    With `output`, also write the tagged copy there (a notebook file, whatever the input is).
    """
    from nb2prod.stages import suggest as suggesting
    from nb2prod.stages.read import read
    from nb2prod.storage import files

    suggestion = suggesting.suggest(read(Path(notebook)), findings)
    if output is not None:
        path = Path(output)
        if path.exists() and path.samefile(notebook):
            raise UsageError("the output would overwrite the input", where=str(path), fix="name another file")
        if path.exists() and not overwrite:
            raise UsageError("there is such a file already", where=str(path), fix="name another, or say --overwrite")
        files.write_text(path, suggesting.document_of(suggestion))
    return suggestion


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
    allow_shell: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Result:
    """Run a notebook headless. `parameters` are values; `texts` are a command line's words for more of them.

    `allow_shell` lets isolated steps call the shell; `options` are the engine's own. Raises FindingsError when the
    notebook has findings of severity error (for isolated steps also those that speak of them), BadParameter before a
    kernel starts. What the notebook's own code does wrong is in the result.
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
        options=options or {},
    )
    runner = _runner(engine, executor)
    found = [one for one in findings(pipeline) if not (allow_shell and one.code == SHELL)]
    refuse_errors(pipeline, found, isolated=getattr(runner, "ISOLATED", False))
    return run_plan(plan, runner, [plugins.find("trackers", tracker) for tracker in trackers])


def _runner(engine: str | Engine, executor: str) -> Engine:
    """The engine, with its steps where the executor runs them."""
    runner: Any = plugins.find("engines", engine) if isinstance(engine, str) else engine
    where = plugins.find("executors", executor)
    if hasattr(runner, "on"):
        runner = runner.on(where)
    elif executor != "serial":
        raise UsageError(
            f"the engine {engine} runs everything in one process", fix=f"--engine steps --executor {executor}"
        )
    return cast("Engine", runner)


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


def verify_notebook(
    notebook: Path | str,
    parameters: Mapping[str, Any] | None = None,
    *,
    texts: Mapping[str, str] | None = None,
    engine: str | Engine = "steps",
    kernel: str | None = None,
    timeout: float | None = None,
    allow_shell: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Equality:
    """Run a notebook in isolated steps and in one kernel, and compare all that its steps hand to each other.

    `engine` is the one that isolates, `tell` hears how it goes. What stands against isolated steps is in the result,
    and so is what the notebook's own code does wrong. Raises UsageError when there are no steps, BadParameter.
    """
    from nb2prod.stages import verify_notebook as stage
    from nb2prod.stages.plan import plan as make_plan
    from nb2prod.stages.run import run as run_plan

    pipeline = load_pipeline(notebook)
    found = [one for one in findings(pipeline) if not (allow_shell and one.code == SHELL)]
    refusing = [finding for finding in found if finding.severity == "error" or finding.isolated]

    def way(chosen: str | Engine) -> stage.Way:
        def run(options: Mapping[str, Any], runs: Path) -> Result:
            name = chosen if isinstance(chosen, str) else "steps"
            plan = make_plan(
                pipeline,
                parameters or {},
                texts=texts,
                engine=name,
                runs=runs,
                kernel=kernel,
                timeout=timeout,
                options=options,
            )
            return run_plan(plan, _runner(chosen, "serial"), [stage.Progress(tell)])

        return run

    return stage.verify_notebook(pipeline, refusing, way(engine), way("papermill"), tell)


def equality_report(equality: Equality, *, format: str = "text", width: int = 100, color: bool = False) -> str:
    """What verifying a notebook came to, as `text` for a terminal or as one `html` page."""
    from nb2prod.drawing import parity_page

    pipeline = load_pipeline(equality.notebook)
    if format == "html":
        return parity_page.as_html(equality, pipeline)
    if format == "text":
        return parity_page.as_text(equality, pipeline, width=width, color=color)
    raise UsageError(f"there is no format {format!r}", fix="text or html")


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
