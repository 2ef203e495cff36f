"""A failure of the notebook's code gets its explanation, where one is known: what lies behind it, and what to do.

The rules are `language.failures`; here is the look at the machine that they need. Nothing of the notebook runs, and no
library of it is imported: versions are read from the installed packages' metadata, in the kernel's own environment.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nb2prod.core.pipeline import Plan
from nb2prod.core.result import Failure
from nb2prod.language import failures

MOST_NAMES = 5000  # of a folder: what a person could have meant is among them


def explain(failure: Failure | None, plan: Plan) -> Failure | None:
    """The same failure with its explanation; as it is when nothing is known of it."""
    if failure is None or failure.explanation is not None:
        return failure
    machine = Here(_python_of(plan.kernel or plan.pipeline.notebook.kernel or "python3"))
    return dataclasses.replace(failure, explanation=failures.explained(failure, plan.pipeline, machine))


@dataclass(frozen=True, slots=True)
class Here:
    """This machine. `python` is the interpreter of the kernel."""

    python: str = sys.executable

    @property
    def pip(self) -> str:
        return "pip install" if _same_environment(self.python) else f"{self.python} -m pip install"

    def version(self, distribution: str) -> str:
        name = distribution.partition("<")[0]
        folders = None if _same_environment(self.python) else _packages(self.python)
        found = next(iter(_distributions(name, folders)), None)
        return found.version if found is not None else ""

    def names(self, folder: Path) -> tuple[str, ...]:
        try:
            entries = [
                f"{path.name}/" if path.is_dir() else path.name
                for path, _ in zip(folder.iterdir(), range(MOST_NAMES), strict=False)
            ]
        except OSError:
            return ()  # it is not there, or not ours to read: nothing can be said of it
        return tuple(sorted(entries))


def _distributions(name: str, folders: list[str] | None) -> list[importlib.metadata.Distribution]:
    search = importlib.metadata.distributions
    return list(search(name=name) if folders is None else search(name=name, path=folders))


@cache
def _same_environment(python: str) -> bool:
    """Whether an interpreter sees the packages that this process sees."""
    here = Path(sys.executable)
    there = Path(python)
    return there == here or (there.parent == here.parent and there.exists())


def _packages(python: str) -> list[str]:
    """The folders of packages beside an interpreter of another environment."""
    prefix = Path(python).parent.parent
    return [
        str(path) for pattern in ("lib/python3*/site-packages", "Lib/site-packages") for path in prefix.glob(pattern)
    ]


def _python_of(kernel: str) -> str:
    """The interpreter that a kernel's specification starts; this one when it does not say."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        words = KernelSpecManager().get_kernel_spec(kernel).argv
    except NoSuchKernel:
        return sys.executable
    named = Path(words[0]).name if words else ""
    # `python` in a specification is whatever starts the kernel: this interpreter
    return words[0] if named.startswith("python") and Path(words[0]).is_absolute() else sys.executable
