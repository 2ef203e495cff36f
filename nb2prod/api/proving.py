"""Proofs: that isolated steps equal their notebook, that a package is what was packed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb2prod.api._pipelines import findings, load_pipeline
from nb2prod.api.running import engine_on
from nb2prod.core.equality import ISOLATED_STEPS
from nb2prod.core.errors import UsageError
from nb2prod.core.result import Result

if TYPE_CHECKING:
    from nb2prod.core.equality import Equality
    from nb2prod.core.model_package import Parity, PathParity
    from nb2prod.core.ports import Engine
    from nb2prod.stages.certificate.examine import Examined

SHELL = "shell-in-step"
OTHERS = {"inprocess": "the cells without a kernel", "papermill": "the cells in a second kernel"}


def verify(
    folder: Path | str,
    *,
    paths: Iterable[str] = (),
    allow_other_versions: bool = False,
    policy: Path | str | None = None,
) -> Parity:
    """Check a package's checksums and compute its certificate again. Raises NotProved when a path does not hold.

    `paths` are those to try, all that can be tried offline when there are none; `allow_other_versions` takes libraries
    of other versions than certified for no fault while the numbers hold. `policy` is as in `inspect_package`.
    """
    from nb2prod.stages.admission import policy_of
    from nb2prod.stages.verify import verify_package

    told = policy_of(policy)
    return verify_package(Path(folder), only=paths, other_versions=allow_other_versions, policy=told)


def examine(
    folder: Path | str,
    *,
    paths: Iterable[str] = (),
    allow_other_versions: bool = False,
    policy: Path | str | None = None,
) -> Examined:
    """As `verify`, but what does not hold is in the answer: all of it, by path and row."""
    from nb2prod.stages.admission import policy_of
    from nb2prod.stages.verify import examine_package

    told = policy_of(policy)
    return examine_package(Path(folder), only=paths, other_versions=allow_other_versions, policy=told)


def check_client(
    folder: Path | str, client: Callable[[Any], bytes | str] | str, *, policy: Path | str | None = None
) -> PathParity:
    """Hold a client against a package's probe set: `client` writes a body for `/invocations` from a frame of one row.

    A text names one: `FILE.py:FUNCTION`, or a command that reads a row as JSON and writes the body. Raises NotProved,
    naming row and column, when a row does not arrive as it is, or is not answered as in the notebook.
    """
    from nb2prod.stages.admission import policy_of
    from nb2prod.stages.certificate.own_client import client_named
    from nb2prod.stages.verify import verify_client

    chosen = client_named(client) if isinstance(client, str) else client
    return verify_client(Path(folder), chosen, policy=policy_of(policy))


def examine_client(folder: Path | str, client: str, *, policy: Path | str | None = None) -> Examined:
    """As `check_client` with a text, but what does not hold is in the answer: all of it, by path and row."""
    from nb2prod.stages import verify as stage
    from nb2prod.stages.admission import policy_of
    from nb2prod.stages.certificate.own_client import client_named

    return stage.examine_client(Path(folder), client_named(client), policy=policy_of(policy))


def certificate_report(
    folder: Path | str, examined: Examined, *, format: str = "text", width: int = 100, color: bool = False
) -> str:
    """What verifying a package came to, as `text` for a terminal or as one `html` page."""
    from nb2prod.drawing import certificate_page
    from nb2prod.stages.certificate.papers import names_of

    if format == "html":
        problems = [problem.what for problem in examined.problems]
        return certificate_page.as_html(examined.found, Path(folder).name, names_of(Path(folder)), problems)
    if format == "text":
        return certificate_page.as_text(examined.found, width=width, color=color)
    raise UsageError(f"there is no format {format!r}", fix="text or html")


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

    `engine` is the one that isolates, or another that is to be compared; `tell` hears how it goes. What stands against
    isolated steps is in the result, and so is what the notebook's own code does wrong. Raises UsageError when there are
    no steps, BadParameter.
    """
    from nb2prod.stages import verify_notebook as stage
    from nb2prod.stages.plan import plan as make_plan
    from nb2prod.stages.run import run as run_plan

    pipeline = load_pipeline(notebook)
    found = [one for one in findings(pipeline) if not (allow_shell and one.code == SHELL)]
    isolates = getattr(engine_on(engine, "serial"), "ISOLATED", False)
    refusing = [finding for finding in found if finding.severity == "error" or (finding.isolated and isolates)]
    other = ISOLATED_STEPS if isolates else OTHERS.get(str(engine), f"the engine {engine}")

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
            return run_plan(plan, engine_on(chosen, "serial"), [stage.Progress(tell)])

        return run

    return stage.verify_notebook(pipeline, refusing, way(engine), way("papermill"), tell, other)


def equality_report(equality: Equality, *, format: str = "text", width: int = 100, color: bool = False) -> str:
    """What verifying a notebook came to, as `text` for a terminal or as one `html` page."""
    from nb2prod.drawing import parity_page

    pipeline = load_pipeline(equality.notebook)
    if format == "html":
        return parity_page.as_html(equality, pipeline)
    if format == "text":
        return parity_page.as_text(equality, pipeline, width=width, color=color)
    raise UsageError(f"there is no format {format!r}", fix="text or html")
