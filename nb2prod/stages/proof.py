"""The proof: a fresh process that has nothing of the notebook loads the package and predicts what the notebook did.

The process is started early and imports MLflow meanwhile, see `_prove`. What it answers is compared value by value:
`equal` when all are the same, `tolerant` when floats differ by no more than one part in 10^12, else `different`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nb2prod.core.errors import NotProved, WorkerLost
from nb2prod.core.model_package import Parity, PathParity, Verdict
from nb2prod.storage import artifacts, digests
from nb2prod.storage.artifacts import Stored

PATH = "fresh process"
TOLERANCE = 1e-12
SCRIPT = Path(__file__).with_name("_prove.py")
# MLflow tells nobody, draws no bars, looks at no uv.lock of the folder we are in, and asks no package index
MLFLOW = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_LOG_UV_FILES": "false",
    "MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK": "true",
}


@dataclass(frozen=True, slots=True)
class Answer:
    predictions: Any
    environment: Mapping[str, str]


class Prover:
    """One fresh process for one package with these requirements; it ends with the `with`."""

    def __init__(self, requirements: Iterable[str]) -> None:
        uses_sklearn = any(pin.startswith("scikit-learn==") for pin in requirements)
        self._modules = ("mlflow.pyfunc", "mlflow.sklearn", "skops.io") if uses_sklearn else ("mlflow.pyfunc",)

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="nb2prod-proof-")
        home = Path(self._folder.name)
        (home / "empty").mkdir()
        self._said = (home / "said").open("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", str(SCRIPT), *self._modules],
            cwd=home / "empty",
            env={**os.environ, **MLFLOW},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self._said.close()
        self._folder.cleanup()

    def ask(self, package: Path, example: Stored) -> Answer:
        """What the package predicts on the example. Raises NotProved when it cannot be loaded or cannot predict."""
        request = {
            "package": str(package.absolute()),
            "example": str(example.path.absolute()),
            "digest": example.digest,
            "answer": str(Path(self._folder.name) / "answer"),
        }
        try:
            reply, _ = self._process.communicate(json.dumps(request) + "\n")
        except BrokenPipeError:
            reply = ""
        if not reply:
            raise WorkerLost(f"the process that proves the package died: {self._last_words()}", where=str(package))
        answer = json.loads(reply)
        if "error" in answer:
            raise NotProved(f"in a fresh process the package cannot predict on the example: {answer['error']}")
        return Answer(artifacts.read(Path(answer["path"]), answer["digest"]), answer["environment"])

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.returncode}"


@contextmanager
def mlflow_settings() -> Iterator[None]:
    """`MLFLOW` in this process meanwhile; what the user has set stays as it is."""
    added = {name: value for name, value in MLFLOW.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def prove(prover: Prover, package: Path, example: Stored, expected: Any) -> Parity:
    """The package's answer compared with the notebook's `expected`. Raises NotProved when there is no answer."""
    answer = prover.ask(package, example)
    path = compared(expected, answer.predictions)
    return Parity(
        verdict=path.verdict,
        input_digest=example.content or example.digest,
        output_digest=digests.digest(expected),
        paths=(path,),
        environment=dict(answer.environment),
    )


def compared(expected: Any, actual: Any) -> PathParity:
    """Two answers of a model, row by row. Raises NotProved when they are not of one shape and kind."""
    import numpy as np

    if _labels(expected) != _labels(actual):
        raise NotProved(f"the package predicts {_labels(actual)}, the notebook {_labels(expected)}")
    one, other = np.asarray(expected), np.asarray(actual)
    if one.shape != other.shape or _kind(one) != _kind(other):
        raise NotProved(
            f"the package predicts {other.dtype} of shape {other.shape}, the notebook {one.dtype} of shape {one.shape}"
        )
    rows = one.shape[0] if one.ndim else 1
    same = _same(one, other).reshape(rows, -1).all(axis=1)
    exact = int(same.sum())
    if one.dtype.kind not in "fc":
        return PathParity(PATH, rows, exact, _difference(one, other), rows - exact, _verdict(exact == rows, False))
    close = bool(np.isclose(other, one, rtol=TOLERANCE, atol=0.0, equal_nan=True).all())
    return PathParity(PATH, rows, exact, _difference(one, other), 0, _verdict(exact == rows, close))


def _verdict(equal: bool, close: bool) -> Verdict:
    return "equal" if equal else "tolerant" if close else "different"


def _labels(value: Any) -> str:
    """What is not in the values: the kind of container, and a frame's columns."""
    columns = f" with columns {list(value.columns)}" if hasattr(value, "columns") else ""
    return f"{type(value).__name__}{columns}"


def _kind(array: Any) -> str:
    kind = str(array.dtype.kind)
    return "text or objects" if kind in "OUT" else kind


def _same(one: Any, other: Any) -> Any:
    import numpy as np

    equal = np.asarray(one == other)
    if one.dtype.kind in "fc":
        return equal | (np.isnan(one) & np.isnan(other))
    return equal


def _difference(one: Any, other: Any) -> float:
    """The largest absolute difference; 0.0 for what is not a number, whose differences are counted as flips."""
    import numpy as np

    if one.dtype.kind not in "iufc" or not one.size:
        return 0.0
    kind = np.complex128 if one.dtype.kind == "c" else np.float64
    gap = np.abs(one.astype(kind) - other.astype(kind))
    gap[_same(one, other)] = 0.0
    return float(np.nanmax(gap)) if not np.isnan(gap).all() else 0.0
