"""Small tagged notebooks and their runs, without Jupyter: in this process, or in one where `__main__` is theirs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nb2prod.core.events import fold
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.result import Artifact, Result
from nb2prod.stages.compile import compile as compile_notebook
from nb2prod.stages.read import read
from nb2prod.storage import artifacts, journal
from tests import simulated_kernel
from tests.notebook_maker import write_notebook


@dataclass(frozen=True)
class Ran:
    pipeline: Pipeline
    result: Result
    folder: Path
    printed: str = ""
    namespace: dict[str, Any] = field(default_factory=dict)

    def artifact(self, kind: str, name: str) -> Artifact:
        found = self.result.artifact(kind, name)
        assert found is not None, f"no {kind} {name} among {self.result.artifacts}"
        return found

    def value(self, kind: str, name: str) -> Any:
        """A kept value, read from its file."""
        found = self.artifact(kind, name)
        return artifacts.read(self.folder / found.path, found.digest)

    @property
    def refusal(self) -> str:
        assert self.result.failure is not None, "nothing was refused"
        return self.result.failure.message


def run(folder: Path, *cells: tuple[str, str], name: str = "small", own_process: bool = False) -> Ran:
    """Run a notebook of these cells; the run's folder is `folder/run-NAME`."""
    path, home = write_notebook(folder / f"{name}.ipynb", cells), folder / f"run-{name}"
    pipeline = compile_notebook(read(path))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    if own_process:
        command = [sys.executable, "-m", "tests.simulated_kernel", str(path), str(home)]
        done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    else:
        simulated_kernel.play(pipeline, home, namespace)
    return Ran(pipeline, fold(journal.read(home)), home, printed, namespace)
