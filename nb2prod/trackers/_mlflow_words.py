"""What nb2prod's values are called in MLflow: tags, parameters, datasets, and the test report. Pure translation."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from nb2prod.core.events import RunStarted
from nb2prod.core.pipeline import Plan
from nb2prod.core.result import Dataset, Failure, TestResult
from nb2prod.language import requirements
from nb2prod.storage.codec import plain
from nb2prod.storage.mlflow_store import OWNER_TAG

HIDDEN = "***"
PARENT_TAG = "mlflow.parentRunId"
NAME_TAG = "mlflow.runName"
_GIT_SECONDS = 5.0
_MESSAGE_LENGTH = 3000  # of a failure that is explained below its message
_TAG_LENGTH = 5000  # what every store of MLflow takes
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_TYPES = (
    ("datetime64", "datetime"),
    ("bool", "boolean"),
    ("int64", "long"),
    ("int", "integer"),
    ("uint8", "integer"),
    ("uint16", "integer"),
    ("float64", "double"),
    ("float", "float"),
    ("str", "string"),
    ("category", "string"),
    ("object", "string"),
)


def run_tags(plan: Plan, event: RunStarted) -> dict[str, str]:
    """The tags of the parent run, all but its name; every run below it has those of `shared_tags`."""
    return {
        **shared_tags(event),
        **git_tags(Path(event.notebook)),
        "nb2prod.notebook.sha256": event.digest,
        "nb2prod.engine": event.engine,
        "nb2prod.executor": event.executor,
        "nb2prod.directory": str(Path(plan.directory).absolute()),
    }


def shared_tags(event: RunStarted) -> dict[str, str]:
    return {
        "mlflow.source.name": event.notebook,
        "mlflow.source.type": "NOTEBOOK" if event.notebook.endswith(".ipynb") else "LOCAL",
        "mlflow.user": _user(),
        "nb2prod.run": event.run,
        OWNER_TAG: event.owner,
    }


def git_tags(notebook: Path) -> dict[str, str]:
    """The commit of the notebook's repository, and whether a tracked file or the notebook itself differs from it."""
    folder = notebook.absolute().parent
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    untracked = _git(folder, "ls-files", "--", notebook.name) == ""
    return {"mlflow.source.git.commit": commit, "nb2prod.git.dirty": str(bool(changed) or untracked).lower()}


def parameter_text(name: str, value: Any, secrets: Iterable[str], limit: int) -> str:
    """A parameter's value as MLflow keeps it: as its text, or as that text's digest when it is too long to keep."""
    if name in secrets:
        return HIDDEN
    text = str(value)
    if len(text) <= limit:
        return text
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()} ({len(text)} characters)"


def parameter_json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False)


def dataset_input(dataset: Dataset, notebook: str) -> Any:
    """The dataset as an input of its step's run. MLflow takes 36 characters of a digest; the tag has all of it."""
    from mlflow.entities import Dataset as Entity
    from mlflow.entities import DatasetInput, InputTag
    from mlflow.utils.validation import MAX_DATASET_NAME_SIZE, MAX_DATASET_SCHEMA_SIZE

    schema = json.dumps({"mlflow_colspec": [_column(name, kind) for name, kind in dataset.columns]})
    entity = Entity(
        name=dataset.name[:MAX_DATASET_NAME_SIZE],
        digest=dataset.digest[:36],
        source_type="code",
        source=json.dumps({"tags": {"mlflow.source.name": notebook, "nb2prod.step": dataset.step}}),
        schema=schema if len(schema) <= MAX_DATASET_SCHEMA_SIZE else None,
        profile=json.dumps({"num_rows": dataset.rows, "num_elements": dataset.rows * len(dataset.columns)}),
    )
    tags = [InputTag("mlflow.data.context", dataset.step), InputTag("nb2prod.digest", dataset.digest)]
    return DatasetInput(entity, tags)


def failure_text(failure: Failure | None, tests: Sequence[TestResult]) -> str:
    """What the tag `nb2prod.failure` says: place and message of the failure, else of the tests that failed."""
    if failure is not None:
        text = f"{failure.place}: {failure.message}" if failure.place else failure.message
        if failure.explanation is not None:
            known = failure.explanation
            text = f"{text[:_MESSAGE_LENGTH]}\n{known.kind}: {known.what}\nfix: {known.fix}"
    else:
        text = "; ".join(f"test {test.id}: {_first_line(test.message)}" for test in tests)
    text = _CONTROL.sub("", text)
    return text if len(text) <= _TAG_LENGTH else f"{text[: _TAG_LENGTH - 1]}…"


def requirements_text(plan: Plan) -> str:
    """What the notebook declares that it needs, as a requirements file, with the lines of the files that it names.

    Files outside of the notebook's folder are only named.
    """
    declared = requirements.declared(plan.pipeline)
    parts = [requirements.as_file(declared)] if declared else []
    folder = plan.pipeline.notebook.folder.resolve()
    for wanted in declared:
        file = (folder / wanted.requirement.removeprefix("-r ")).resolve()
        if wanted.requirement.startswith("-r ") and file.is_relative_to(folder) and file.is_file():
            text = requirements.public(file.read_text(encoding="utf-8", errors="replace"))
            parts.append(f"# {file.relative_to(folder)}\n{text}")
    return "\n".join(parts)


def count(tests: Iterable[TestResult]) -> dict[str, float]:
    outcomes = [test.outcome for test in tests]
    failed = sum(outcome in ("failed", "error") for outcome in outcomes)
    return {"tests_passed": float(outcomes.count("passed")), "tests_failed": float(failed)}


def test_report(run: str, tests: Sequence[TestResult]) -> str:
    numbers: Mapping[str, float] = count(tests)
    summary = {"passed": int(numbers["tests_passed"]), "failed": int(numbers["tests_failed"]), "total": len(tests)}
    return json.dumps({"run": run, **summary, "tests": plain(tests)}, ensure_ascii=False, indent=1)


def junit(run: str, tests: Sequence[TestResult]) -> str:
    """The tests as JUnit XML, one case each; characters that XML cannot hold are left out."""
    by_outcome = {kind: sum(test.outcome == kind for test in tests) for kind in ("failed", "error", "skipped")}
    suite = ElementTree.Element(
        "testsuite",
        name=run,
        tests=str(len(tests)),
        failures=str(by_outcome["failed"]),
        errors=str(by_outcome["error"]),
        skipped=str(by_outcome["skipped"]),
        time=f"{sum(test.seconds for test in tests):.3f}",
    )
    suite.extend(_case(test) for test in tests)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _case(test: TestResult) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase", name=_CONTROL.sub("", test.id), classname=test.step or "pipeline", time=f"{test.seconds:.3f}"
    )
    element = {"failed": "failure", "error": "error", "skipped": "skipped"}.get(test.outcome)
    if element:
        message = _CONTROL.sub("", test.message)
        ElementTree.SubElement(case, element, message=_first_line(message)).text = message
    return case


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _column(name: str, kind: str) -> dict[str, Any]:
    lowered = kind.lower()
    found = next((word for prefix, word in _TYPES if lowered.startswith(prefix)), "any")
    return {"type": found, "name": name, "required": True}


def _user() -> str:
    given = os.environ.get("MLFLOW_TRACKING_USERNAME")
    try:
        return given or getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may run under a number that has no name
        return "unknown"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers; None when the folder is in no repository, or there is no git."""
    # LC_ALL and no optional locks: git must neither ask nor write while others use the repository
    environment = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            encoding=sys.getfilesystemencoding(),
            errors="replace",
            timeout=_GIT_SECONDS,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
