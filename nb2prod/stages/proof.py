"""The process that proves: it has nothing of the notebook, loads the package and is asked what the notebook was asked.

It is started early and imports MLflow meanwhile, see `_prove`. What it answers `certificate` compares value by value.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nb2prod.core.errors import NotProved, WorkerLost
from nb2prod.core.outcome import Outcome, from_json
from nb2prod.storage import artifacts, scratch
from nb2prod.storage.artifacts import Stored

log = logging.getLogger(__name__)
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
    """What a package predicts on the example, and what becomes of the rows of the probe set."""

    predictions: Any
    environment: Mapping[str, str]
    outcomes: tuple[Outcome, ...] = ()


class NotInstalled(Exception):
    """The process that proves lacks this module."""


def imported_early(requirements: Iterable[str]) -> tuple[str, ...]:
    """What a process that proves imports while nobody waits for it: of what is required, and nothing else.

    An environment made from a package's lock has no more than that.
    """
    pinned = {pin.partition("==")[0] for pin in requirements}
    early = (("scikit-learn", "mlflow.sklearn"), ("skops", "skops.io"))
    return ("mlflow.pyfunc", *(module for name, module in early if name in pinned))


class Prover:
    """One fresh process for one package with these requirements; it ends with the `with`."""

    def __init__(self, requirements: Iterable[str] | None, *, python: Path | None = None) -> None:
        """None as `requirements`: the model itself is not asked for, and nothing is imported for it."""
        self._python = str(python or sys.executable)
        self._modules = () if requirements is None else imported_early(requirements)

    def __enter__(self) -> Self:
        self._folder = scratch.folder()
        home = Path(self._folder.name)
        (home / "empty").mkdir()
        self._said = (home / "said").open("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [self._python, "-I", "-B", str(SCRIPT), *self._modules],
            cwd=home / "empty",
            env={**os.environ, **MLFLOW},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            encoding="utf-8",
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asking, self._told = self._process.stdin, self._process.stdout
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self._said.close()
        self._folder.cleanup()

    def send(self, package: Path, what: str, **details: Any) -> None:
        """Ask without waiting for the reply: the process works while we do. One `reply` for each."""
        line = json.dumps({"do": what, "package": str(package.absolute()), **details}) + "\n"
        try:
            self._asking.write(line)
            self._asking.flush()
        except (BrokenPipeError, ValueError):
            log.debug("the process that proves has ended; its reply will say so")

    def reply(self, package: Path) -> dict[str, Any]:
        """Raises WorkerLost when the process has died, NotInstalled when it lacks a module."""
        line = self._told.readline()
        if not line:
            self._process.wait()
            raise WorkerLost(f"the process that proves the package died: {self._last_words()}", where=str(package))
        found: dict[str, Any] = json.loads(line)
        if "missing" in found:
            raise NotInstalled(str(found["missing"]).partition(".")[0])
        return found

    def about_example(self, example: Stored) -> dict[str, str]:
        place = str(Path(self._folder.name) / "answer")
        return {"example": str(example.path.absolute()), "digest": example.digest, "answer": place}

    def answer(self, package: Path) -> Answer:
        """The reply to a question about the example."""
        try:
            found = self.reply(package)
        except NotInstalled as error:
            found = {"error": f"the module {error} is not installed"}
        if "error" in found:
            raise NotProved(f"in a fresh process the package cannot predict on the example: {found['error']}")
        predictions = artifacts.read(Path(found["path"]), found["digest"])
        return Answer(predictions, found["environment"], tuple(map(from_json, found.get("outcomes", ()))))

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
