"""Proofs: that isolated steps equal their notebook, that a package is what was packed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb2prod.api._pipelines import findings, load_pipeline
from nb2prod.api.running import engine_on
from nb2prod.core.equality import ISOLATED_STEPS
from nb2prod.core.errors import UsageError
from nb2prod.core.result import Result

if TYPE_CHECKING:
    from nb2prod.core.equality import Equality
    from nb2prod.core.model_package import Parity
    from nb2prod.core.ports import Engine

SHELL = "shell-in-step"
OTHERS = {"inprocess": "the cells without a kernel", "papermill": "the cells in a second kernel"}


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
