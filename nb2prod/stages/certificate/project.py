"""The path `exported project`: the notebook exported, its project's own pipeline run, and its model asked.

The model is the project's, trained anew by the step functions that engineers go on with. It is asked in the notebook's
own types, about the rows as the run kept them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nb2prod.core.errors import Nb2prodError
from nb2prod.core.outcome import from_json
from nb2prod.core.parity import PROJECT, LeftOut
from nb2prod.core.pipeline import Plan
from nb2prod.core.result import Result
from nb2prod.stages.certificate import probe
from nb2prod.stages.certificate.elsewhere import SECONDS, as_fresh, by_name, versions_of_run
from nb2prod.stages.certificate.paths import Evidence, Found
from nb2prod.storage import artifacts, scratch

SCRIPT = Path(__file__).with_name("_project.py")
Export = Callable[[Path], Any]


def exported(plan: Plan, result: Result, export: Export) -> Callable[[Evidence], Found]:
    """`export` writes the project of the plan's notebook into a folder that is not there yet."""

    def way(evidence: Evidence) -> Found:
        hindrance = _hindrance(plan, result)
        if hindrance:
            return LeftOut(PROJECT, hindrance)
        with scratch.folder() as folder:
            project = Path(folder) / "project"
            try:
                export(project)
            except Nb2prodError as error:
                return LeftOut(PROJECT, f"the notebook cannot be exported: {error.what}")
            reply = _asked(project, _request(plan, result, Path(folder)))
            if isinstance(reply, str):
                return LeftOut(PROJECT, f"its pipeline does not run: {reply}")
            predictions = artifacts.read(Path(reply["path"]), reply["digest"])
            own = probe.kept(result)
            found = [from_json(one) for one in reply.get("outcomes", ())]
            outcomes = by_name(evidence, own, found)
        return as_fresh(PROJECT, evidence, predictions, outcomes, versions_of_run(result))

    return way


def _hindrance(plan: Plan, result: Result) -> str:
    model = result.artifact("model", plan.pipeline.model[1] if plan.pipeline.model else None)
    asking = model.details.get("asking") or {} if model is not None else {}
    if asking.get("function") or list(asking.get("methods") or ["predict"]) != ["predict"]:
        return "the project's model is asked by its method predict, and the package's otherwise"
    secret = [one.name for one in plan.pipeline.parameters if one.secret]
    return f"its pipeline needs the secret {secret[0]}" if secret else ""


def _request(plan: Plan, result: Result, folder: Path) -> dict[str, Any]:
    run = Path(result.directory)
    example = result.artifact("example", plan.pipeline.example[1] if plan.pipeline.example else None)
    assert example is not None  # a package has one
    request: dict[str, Any] = {
        "given": dict(plan.given),
        "example": str((run / example.path).absolute()),
        "digest": example.digest,
        "answer": str(folder / "answer"),
    }
    rows, own = result.artifact("probe", "rows"), probe.kept(result)
    if rows is not None and own is not None:
        where = {"rows": str((run / rows.path).absolute()), "rows_digest": rows.digest}
        request |= {**where, "real": own.rows.real, "count": own.count}
    return request


def _asked(project: Path, request: Mapping[str, Any]) -> dict[str, Any] | str:
    """The reply, or the last line of what the project said instead."""
    (source,) = project.glob("src/*/pipeline.py")
    about = {**request, "source": str(project / "src"), "name": source.parent.name}
    done = subprocess.run(
        [sys.executable, "-B", str(SCRIPT)],
        cwd=project,
        input=json.dumps(about) + "\n",
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode == 0 and done.stdout:
        return dict(json.loads(done.stdout))
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
