"""What `--json` prints: one document a verb, each with a versioned `schema`. The contract is docs/json.md."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nb2prod.core.equality import Boundary, Equality
from nb2prod.core.model_package import ModelPackage
from nb2prod.core.pipeline import Parameter, Pipeline, Step
from nb2prod.core.result import Failure, Result, TestResult
from nb2prod.core.scored import Scored
from nb2prod.language import requirements
from nb2prod.language.requirements import Requirement
from nb2prod.stages.check import Checked
from nb2prod.storage.codec import plain

if TYPE_CHECKING:
    from nb2prod.stages.certificate.examine import Examined
    from nb2prod.stages.suggest import Suggestion


def as_text(document: Mapping[str, Any]) -> str:
    """A document as JSON that every reader takes: NaN and infinity, which JSON lacks, are the texts of their names."""
    finite = _finite(document)
    text = json.dumps(finite, ensure_ascii=False, indent=2, allow_nan=False)
    # half a surrogate pair (a file name that is no UTF-8) has no place in a text of UTF-8
    return text if text.isascii() or _is_unicode(text) else json.dumps(finite, indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def inspected(pipeline: Pipeline) -> dict[str, Any]:
    return {
        "schema": "nb2prod/inspect/1",
        "notebook": str(pipeline.notebook.path),
        "parameters": [_parameter(parameter) for parameter in pipeline.parameters],
        "steps": [_step(step) for step in pipeline.steps],
        "tests": [test.id for test in pipeline.tests],
        "requirements": [_requirement(wanted) for wanted in requirements.declared(pipeline)],
    }


def checked(notebooks: Iterable[Checked]) -> dict[str, Any]:
    there = tuple(notebooks)
    return {
        "schema": "nb2prod/check/1",
        "findings": [{"notebook": one.notebook, **plain(finding)} for one in there for finding in one.findings],
        "unreadable": [
            {"notebook": one.notebook, "message": one.problem.what, "fix": one.problem.fix}
            for one in there
            if one.problem is not None
        ],
    }


def suggested(suggestion: Suggestion, output: str | None) -> dict[str, Any]:
    """Cells count as in the input; `parameters` is the new cell that the copy has before cell `before` of it."""
    moved = [{"name": line.name, "cell": line.cell, "line": line.line} for line in suggestion.moved]
    new = {"before": suggestion.parameters_at, "source": suggestion.parameters_source, "moved": moved}
    return {
        "schema": "nb2prod/suggest/1",
        "notebook": str(suggestion.notebook.path),
        "output": output,
        "cells": [
            {"cell": found.cell, "tags": list(found.tags), "why": found.why, "kept": found.kept}
            for found in suggestion.cells
        ],
        "parameters": new if suggestion.moved else None,
        "notes": list(suggestion.notes),
        "findings": [plain(finding) for finding in suggestion.refused],
    }


def ran(result: Result) -> dict[str, Any]:
    return {
        "schema": "nb2prod/run/1",
        "run": result.run,
        "status": result.status,
        "engine": result.engine,
        "executor": result.executor,
        "parameters": plain(result.parameters),
        "steps": [plain(step) for step in result.steps],
        "metrics": result.metrics,
        "tests": [_test(test) for test in result.tests],
        "notebook": result.notebook,
        "directory": result.directory,
        "mlflow": _mlflow(result),
        "failure": _failure(result.failure),
    }


def tested(results: Iterable[TestResult]) -> dict[str, Any]:
    return {"schema": "nb2prod/test/1", "tests": [_test(test) for test in results]}


def packaged(package: ModelPackage) -> dict[str, Any]:
    return {
        "schema": "nb2prod/package/1",
        "name": package.name,
        "version": package.version,
        "directory": package.directory,
        "digest": package.digest,
        "format": plain(package.format),
        "parity": plain(package.parity),
        "onnx": dict(package.onnx),
        "registered": package.registered,
    }


def scored(scored: Scored) -> dict[str, Any]:
    return {"schema": "nb2prod/score/1", **plain(scored)}


def verified(folder: str, examined: Examined) -> dict[str, Any]:
    """`status` is `different` when anything does not hold; `problems` say what, by path and row."""
    return {
        "schema": "nb2prod/verify/1",
        "package": folder,
        "status": examined.found.verdict if examined.holds else "different",
        "parity": plain(examined.found),
        "problems": plain(examined.problems),
        "notes": list(examined.notes),
    }


def verified_notebook(equality: Equality) -> dict[str, Any]:
    """`cause` is a sentence, `cause_kind` its word; numbers are the largest within the value."""
    return {
        "schema": "nb2prod/verify/1",
        "notebook": equality.notebook,
        "status": equality.status,
        "steps": list(equality.steps),
        "boundaries": [_boundary(boundary) for boundary in equality.boundaries],
        "first": None if equality.first is None else _boundary(equality.first),
        "edges": [
            {"step": e.step, "name": e.name, "from": e.source, "kind": e.kind, "verdict": e.verdict, "reason": e.reason}
            for e in equality.edges
        ],
        "findings": [plain(finding) for finding in equality.findings],
        "failure": _failure(equality.failure),
        "seconds": plain(equality.seconds),
    }


def _boundary(boundary: Boundary) -> dict[str, Any]:
    difference, cause = boundary.difference, boundary.cause
    return {
        "step": boundary.step,
        "name": boundary.name,
        "kind": boundary.kind,
        "verdict": boundary.verdict,
        "difference": difference.text,
        "absolute": difference.absolute,
        "relative": difference.relative,
        "ulps": difference.ulps,
        "count": difference.count,
        "tolerance": difference.tolerance,
        "uncompared": list(difference.uncompared),
        "cause": None if cause is None else cause.message,
        "cause_kind": None if cause is None else cause.kind,
        "cause_cell": None if cause is None else cause.cell,
        "cause_line": None if cause is None else cause.line,
        "fix": None if cause is None else cause.fix,
        "cell": boundary.cell,
        "line": boundary.line,
    }


def _requirement(wanted: Requirement) -> dict[str, Any]:
    return {
        "requirement": wanted.requirement,
        "manager": wanted.manager,
        "cell": wanted.cell,
        "line": wanted.line,
        "problem": wanted.problem,
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "type": parameter.type.name,
        "default": "********" if parameter.secret else plain(parameter.default),
        "expression": "********" if parameter.secret else parameter.expression,
        "help": parameter.help,
        "required": parameter.required,
        "secret": parameter.secret,
        "derived_from": list(parameter.derived_from),
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "cells": list(step.cells),
        "inputs": list(step.inputs),
        "outputs": list(step.outputs),
        "parameters": list(step.parameters),
        "after": list(step.after),
        "metrics": list(step.metrics),
        "plots": list(step.plots),
        "tests": [test.id for test in step.tests],
        "model": step.model,
        "example": step.example,
        "predicts": list(step.predicts),
        "edges": [
            {"name": e.name, "from": e.source, "version": e.version, "kind": e.kind, "reason": e.reason}
            for e in step.edges
        ],
    }


def _test(test: TestResult) -> dict[str, Any]:
    return {
        "id": test.id,
        "step": test.step,
        "outcome": test.outcome,
        "seconds": test.seconds,
        "message": test.message,
        "cell": test.cell,
        "line": test.line,
    }


def _mlflow(result: Result) -> dict[str, str] | None:
    where = {key.removeprefix("mlflow."): value for key, value in result.tracked.items() if key.startswith("mlflow.")}
    return where or None


def _failure(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "kind": failure.kind,
        "step": failure.step,
        "cell": failure.cell,
        "line": failure.line,
        "message": failure.message,
        "explanation": plain(failure.explanation),
    }
