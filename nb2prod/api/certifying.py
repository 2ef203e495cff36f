"""The paths of a certificate that take more than a process: a run of the notebook, an environment, a project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nb2prod import plugins
from nb2prod.core.errors import UsageError

if TYPE_CHECKING:
    from nb2prod.core.pipeline import Plan
    from nb2prod.core.result import Result
    from nb2prod.stages.certificate.certify import Way

ALL = "all"


def ways(plan: Plan, result: Result, wanted: Iterable[str], tell: Callable[[str], None]) -> list[Way]:
    """How the `wanted` paths are tried, `all` for each there is. Raises UsageError for a name that is none."""
    from nb2prod.core.parity import BATCH, CLEAN, ISOLATED, PROJECT
    from nb2prod.stages.certificate import elsewhere, project

    known: dict[str, Way] = {
        ISOLATED: elsewhere.isolated(lambda: _run_in_steps(plan)),
        CLEAN: elsewhere.clean_environment,
        BATCH: elsewhere.batch,
        PROJECT: project.exported(plan, result, lambda target: _export(plan, target)),
    }
    return _chosen(known, wanted, tell)


def map_ways(wanted: Iterable[str], tell: Callable[[str], None]) -> list[Way]:
    """The same of a map, whose items were isolated from each other from the start, and which no project has."""
    from nb2prod.core.parity import BATCH, CLEAN
    from nb2prod.stages.certificate import elsewhere

    return _chosen({CLEAN: elsewhere.clean_environment, BATCH: elsewhere.batch}, wanted, tell)


def _chosen(known: dict[str, Way], wanted: Iterable[str], tell: Callable[[str], None]) -> list[Way]:
    names = tuple(wanted)
    unknown = next((name for name in names if name not in (*known, ALL)), None)
    if unknown is not None:
        raise UsageError(f"there is no path {unknown!r} to prove", fix=f"one of: {ALL}, {', '.join(known)}")
    return list(_told({name: way for name, way in known.items() if ALL in names or name in names}, tell))


def _told(chosen: dict[str, Way], tell: Callable[[str], None]) -> Iterator[Way]:
    for name, way in chosen.items():

        def said(evidence, name=name, way=way):  # type: ignore[no-untyped-def]
            tell(f"proving the path: {name}")
            return way(evidence)

        yield said


def _run_in_steps(plan: Plan) -> Result:
    from nb2prod.api.running import run

    return run(plan.pipeline.notebook.path, plan.given, engine="steps", trackers=(), runs=Path(plan.directory).parent)


def _export(plan: Plan, target: Path) -> None:
    from nb2prod.stages.export import export

    export(plan.pipeline, plugins.find("targets", "project"), target)
