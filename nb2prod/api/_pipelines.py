"""A notebook as a pipeline, and what stands against it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from nb2prod import plugins
from nb2prod.core.finding import Finding, in_order
from nb2prod.core.pipeline import Pipeline

if TYPE_CHECKING:
    from nb2prod.stages.check_settings import Wanted
    from nb2prod.stages.fix import Offer


def load_pipeline(notebook: Path | str, *, resolve: bool = False) -> Pipeline:
    """Read and compile a notebook; nothing of it runs.

    With `resolve`, the modules of its star imports are imported in a process of their own, to learn what they bind.
    """
    from nb2prod.stages.compile import compile
    from nb2prod.stages.read import read

    there = read(Path(notebook))
    if not resolve:
        return compile(there)
    from nb2prod.stages.resolve import star_names

    names, problems = star_names(there)
    pipeline = compile(there, names)
    return dataclasses.replace(pipeline, findings=in_order((*pipeline.findings, *problems)))


def findings(pipeline: Pipeline) -> tuple[Finding, ...]:
    """Everything that stands against a pipeline, whatever comments and settings say: what a run is refused by."""
    from nb2prod.stages.check import check as check_pipeline

    return check_pipeline(pipeline, [module for _, module in plugins.every("checks")])


def told(pipeline: Pipeline) -> tuple[Finding, ...]:
    """What a person is told of a pipeline: `findings` without what comments and settings silence."""
    return told_with(pipeline)[0]


def told_with(pipeline: Pipeline, wanted: Wanted | None = None) -> tuple[tuple[Finding, ...], bool]:
    """(what is told, whether it is worse than the settings allow)."""
    from nb2prod.stages import check as stage
    from nb2prod.stages.check_settings import Wanted, settings_for

    checks = plugins.every("checks")
    codes = {*stage.COMPILED, *(name for name, _ in checks)}
    errors = {name for name, module in checks if module.SEVERITY == "error"} | stage.ALWAYS_ERRORS
    settings = settings_for(pipeline.notebook.path, wanted or Wanted(), codes, errors)
    heard = settings.applied(stage.heard(pipeline, findings(pipeline), codes))
    return heard, settings.failed(heard)


def offers() -> dict[str, Offer]:
    """The checks that know a correction, by code."""
    return {name: module.fixes for name, module in plugins.every("checks") if hasattr(module, "fixes")}
