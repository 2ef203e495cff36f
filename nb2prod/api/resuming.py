"""A run that goes on from an earlier one: what was asked for, and what that leads to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nb2prod.core.pipeline import Pipeline, Plan

if TYPE_CHECKING:
    from nb2prod.stages.resume import Earlier, GoingOn


@dataclass(frozen=True)
class Asked:
    """`resume` names the run of the notebook that goes on (None: none), `step` the one that a new run begins with."""

    notebook: Path
    runs: Path
    resume: str | None
    step: str | None

    def __bool__(self) -> bool:
        return self.resume is not None or self.step is not None

    def given_again(self, pipeline: Pipeline, given: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
        """The parameters of the earlier run that nobody gave now."""
        if not self:
            return {}
        from nb2prod.stages import resume

        return resume.given_again(pipeline, self._earlier, given, texts)

    def going_on(self, plan: Plan) -> GoingOn:
        from nb2prod.stages import resume

        if self.step is None:
            return resume.resumed(plan, self._earlier)
        going_on = resume.branched(plan, self._earlier, self.step)
        going_on.copy_artifacts()
        return going_on

    @cached_property
    def _earlier(self) -> Earlier:
        from nb2prod.stages import resume

        return resume.earlier_run(self.runs, self.resume or "", self.notebook)


def points_in(where: Path | str | None, engine: str) -> dict[str, Any]:
    """The plan's options for resume points; the engine `steps` has its cache instead."""
    if where is None or engine not in ("papermill", "inprocess"):
        return {}
    return {"checkpoints": {"store": str(where) if "://" in str(where) else str(Path(where).absolute())}}
