"""The paths that take more than one process: another run of the notebook, an environment of its own, a file of rows.

Each is made for one certificate as a `Way`: it tries the path when it is called, or says why it cannot be tried.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nb2prod.core.errors import NotProved, WorkerLost
from nb2prod.core.outcome import Outcome
from nb2prod.core.parity import BATCH, CLEAN, ISOLATED, LeftOut
from nb2prod.core.result import Result
from nb2prod.stages import proof
from nb2prod.stages.certificate import compare, paths, probe
from nb2prod.stages.certificate.compare import TOLERANCE, compared, path_of
from nb2prod.stages.certificate.paths import Evidence, Found
from nb2prod.storage import artifacts, scratch
from nb2prod.storage.files import digest_of
from nb2prod.storage.row_answers import rows_of_answer

LOCK = "requirements.lock"
SHARED = ("core", "storage")  # what `_prove` needs of us, which imports nothing of anyone else's by itself
SECONDS = 1800.0


# -- the pipeline in isolated steps ----------------------------------------------------------------------------------


def isolated(again: Callable[[], Result]) -> Callable[[Evidence], Found]:
    """The notebook run `again`, each step in a process of its own: its object asked the same."""

    def way(evidence: Evidence) -> Found:
        result = again()
        if result.failure is not None:
            return LeftOut(ISOLATED, f"the notebook has no isolated run: {result.failure.message}")
        predictions = result.artifact("predictions")
        other = probe.kept(result)
        if predictions is None or (other is None) != (evidence.probe is None):
            return LeftOut(ISOLATED, "its run kept no predictions, or no probe set")
        run = Path(result.directory)
        expected = artifacts.read(run / predictions.path, predictions.digest)
        outcomes = by_name(evidence, other, other.rows.expected if other is not None else ())
        return as_fresh(ISOLATED, evidence, expected, outcomes, versions_of_run(result))

    return way


def by_name(evidence: Evidence, other: probe.ProbeSet | None, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes of another probe set in the order of the package's, which may have fewer rows."""
    if evidence.probe is None or other is None:
        return []
    found = dict(zip(other.rows.what, outcomes, strict=True))
    nothing = Outcome("raises", reason="the run has no such row")
    return [found.get(what, nothing) for what in evidence.probe.rows.what]


def versions_of_run(result: Result) -> dict[str, str]:
    model = result.artifact("model")
    pins = model.details.get("requirements", ()) if model is not None else ()
    return {name: version for name, _, version in (str(pin).partition("==") for pin in pins)}


def as_fresh(
    path: str, evidence: Evidence, predictions: Any, outcomes: Sequence[Outcome], versions: dict[str, str]
) -> Found:
    whole = compared(evidence.predictions, predictions, path=path)
    whole = dataclasses.replace(whole, versions=versions, inputs=paths.inputs_of(evidence, with_example=True))
    if evidence.probe is None:
        return whole
    return paths.joined(whole, path_of(path, evidence.probe.rows, outcomes, TOLERANCE, versions))


# -- a clean environment, built from the lock ------------------------------------------------------------------------


def clean_environment(evidence: Evidence) -> Found:
    """An environment with nothing but what the lock names; pip fetches it, from wherever it is set to."""
    if not (evidence.package / LOCK).is_file():
        return LeftOut(CLEAN, f"the package has no {LOCK}")
    with scratch.folder() as folder:
        home = Path(folder)
        refusal = _built(home / "environment", evidence.package / LOCK)
        if refusal:
            return LeftOut(CLEAN, refusal)
        try:
            with proof.Prover(_pins(evidence), python=_python(home / "environment")) as prover:
                about = _as_pickles(evidence, home)
                paths.begin_fresh(prover, about)
                path, _ = paths.fresh(prover, about, path=CLEAN)
        except WorkerLost as error:
            raise NotProved(f"in a clean environment the package cannot predict: {error.what}") from error
    return dataclasses.replace(path, inputs=paths.inputs_of(evidence, with_example=True))


def _built(environment: Path, lock: Path) -> str:
    """Make the environment; why it cannot be made, empty when it was."""
    for command in (
        [sys.executable, "-m", "venv", str(environment)],
        [str(_python(environment)), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(lock)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode:
            what = "venv" if "venv" in command else "pip"
            return f"its environment cannot be built: {what} ended with exit code {done.returncode}"
    (site,) = (
        environment.glob("lib/python*/site-packages") if os.name != "nt" else environment.glob("Lib/site-packages")
    )
    ours = Path(proof.__file__).parents[1]
    for part in SHARED:
        shutil.copytree(ours / part, site / "nb2prod" / part, ignore=shutil.ignore_patterns("__pycache__"))
    (site / "nb2prod" / "__init__.py").write_text("")
    return ""


def _python(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _pins(evidence: Evidence) -> list[str]:
    return (evidence.package / LOCK).read_text(encoding="utf-8").split()


def _as_pickles(evidence: Evidence, home: Path) -> Evidence:
    """The lock need not have what reads our files; Python is there, and pandas of the same version."""
    import pickle

    def stored(name: str, value: Any) -> artifacts.Stored:
        path = home / f"{name}.pkl"
        path.write_bytes(pickle.dumps(plain_text(value)))
        return artifacts.Stored(path, digest_of(path))

    example = stored("example", artifacts.read(evidence.example.path, evidence.example.digest))
    table = evidence.probe
    asked = dataclasses.replace(table, stored=stored("rows", table.table)) if table is not None else None
    return dataclasses.replace(evidence, example=example, probe=asked)


def plain_text(table: Any) -> Any:
    """A frame whose text is kept by Python: unpickling the other kind takes pyarrow, which a model seldom needs."""
    if not hasattr(table, "columns"):
        return table
    import numpy as np
    import pandas as pd

    kind = pd.StringDtype("python", na_value=np.nan)
    texts = [place for place, dtype in enumerate(table.dtypes) if isinstance(dtype, pd.StringDtype)]
    made = table.copy()
    for place in texts:
        made.isetitem(place, made.iloc[:, place].astype(kind))
    for axis in ("columns", "index"):
        labels = getattr(made, axis)
        if isinstance(labels.dtype, pd.StringDtype):
            setattr(made, axis, labels.astype(kind))
    return made


# -- batch scoring ---------------------------------------------------------------------------------------------------


def batch(evidence: Evidence) -> Found:
    """`nb2prod score` of the probe set in a file, in a process of its own. Rows that it rejects are refused."""
    if evidence.probe is None or not hasattr(evidence.probe.table, "columns"):
        return LeftOut(BATCH, "batch scoring reads tables with named columns")
    with scratch.folder() as folder:
        home = Path(folder)
        data, out = home / "rows.parquet", home / "scored.parquet"
        evidence.probe.table.reset_index(drop=True).to_parquet(data, index=False)
        command = [sys.executable, "-m", "nb2prod", "score", str(evidence.package.absolute()), str(data)]
        done = subprocess.run(
            [*command, "--output", str(out), "--keep", "", "--json"],
            cwd=home,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode not in (0, 3) or not out.is_file():
            last = (done.stderr.strip().splitlines() or ["no reason was given"])[0]
            raise NotProved(f"batch scoring fails on the probe set: {last}")
        said = json.loads(done.stdout)
        outcomes = list(scored(out, said.get("rejected_to") or "", evidence.probe.count))
    tolerance = paths.translated(evidence.package) if said["runtime"] == "onnx" else TOLERANCE
    versions = {"runtime": str(said["runtime"])}
    rows = dataclasses.replace(evidence.probe.rows, expected=[paths.in_json(o) for o in evidence.probe.rows.expected])
    made = compare.path_of(BATCH, rows, [paths.in_json(one) for one in outcomes], tolerance, versions)
    return dataclasses.replace(made, inputs=paths.inputs_of(evidence), environment=paths.environment_digest(versions))


def scored(out: Path, rejected_to: str, count: int) -> Iterator[Outcome]:
    """The rows of the output in their order, with the rejected ones in their places."""
    import pandas as pd

    answers = pd.read_parquet(out)
    rejected = _rejected(Path(rejected_to)) if rejected_to else {}
    values = iter(rows_of_answer(answers, len(answers)))
    for row in range(count):
        yield rejected[row] if row in rejected else Outcome("answer", next(values))


def _rejected(path: Path) -> dict[int, Outcome]:
    import pandas as pd

    told = pd.read_parquet(path)
    found: dict[int, Outcome] = {}
    for row, column, reason in zip(told["row"].tolist(), told["column"].tolist(), told["reason"].tolist(), strict=True):
        kind: Any = "raises" if "the model raises" in str(reason) else "refused"
        found.setdefault(int(row), Outcome(kind, reason=f"{column}: {reason}"))
    return found
