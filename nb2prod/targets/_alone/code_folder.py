"""The folder of code that travels with every step: the project's package, with a module that runs one step."""

from __future__ import annotations

import gzip
import importlib.util
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.errors import StoreError
from nb2prod.core.pipeline import Pipeline, Step
from nb2prod.targets._alone.fields import left_out
from nb2prod.targets._alone.module import one_step_module
from nb2prod.targets._alone.wiring import Wired, wired
from nb2prod.targets._project import environment
from nb2prod.targets._project.cells import prose_above
from nb2prod.targets._project.modules import docstring_of
from nb2prod.targets._project.problems import Problems
from nb2prod.targets.project import Content, content_of


@dataclass(frozen=True, slots=True)
class Alone:
    """A pipeline whose steps run by themselves: what the project has, and the wires between steps."""

    pipeline: Pipeline
    content: Content
    steps: tuple[Wired, ...]
    packages: tuple[str, ...]
    notes: tuple[str, ...]

    def secrets_of(self, wires: Wired) -> tuple[tuple[str, str, str], ...]:
        """(secret, key, environment variable) of the parameters that are secret."""
        own = [p.name for p in self.pipeline.parameters if p.secret and p.name in wires.parameters]
        name = self.content.package.replace("_", "-")
        return tuple((name, word.upper(), word.upper()) for word in own)

    def prose_of(self, step: Step) -> str:
        """The first line of what the notebook says of a step, as a docstring may have it."""
        prose = docstring_of(prose_above(self.pipeline, step.cells[0]))
        return prose.split("\n")[0].replace("\\", "").replace('"', "'")

    def described(self) -> dict[str, Any]:
        """What every target's README says."""
        return {
            "title": self.content.title,
            "package": self.content.package,
            "notebook": self.pipeline.notebook.path.name,
            "data": self.content.data.copied,
            "notes": self.notes,
        }


def of(pipeline: Pipeline, problems: Problems, *, allow_shell: bool) -> Alone:
    """Raises FindingsError when the notebook says what separate steps cannot."""
    content = content_of(pipeline, None, allow_shell)
    steps = wired(content.found, content.units, problems)
    for path, size in content.data.left:
        what = f"{path} ({size // 1_000_000} MB) is too large to travel with the code"
        problems.add(None, None, what, "put it where a URL finds it (s3://…) and make the URL a parameter")
    problems.refuse()
    wanted, unknown = environment.needs([*content.modules.values(), "import cloudpickle"])
    packages = tuple(f"{need.name}=={need.version}" if need.version else need.name for need in wanted)
    return Alone(pipeline, content, steps, packages, tuple(_notes(content, pipeline, unknown)))


def _notes(content: Content, pipeline: Pipeline, unknown: Iterable[str]) -> Iterable[str]:
    kept = left_out(pipeline)
    if kept:
        yield f"{', '.join(kept)}: no scheduler can give such a value, so the notebook's default holds"
    for name in unknown:
        if name != content.package:
            yield f"{name} is imported, and no installed package offers it"
    if pipeline.all_tests:
        yield "The notebook's tests are not part of it: run them before, with `nb2prod test`"


def write(alone: Alone, folder: Path) -> None:
    """The package and its data."""
    source = folder / alone.content.package
    source.mkdir(parents=True)
    modules = {name: text for name, text in alone.content.modules.items() if name not in ("__main__.py", "pipeline.py")}
    modules["one_step.py"] = one_step_module(alone.content.found, alone.steps, alone.content.package)
    for name, text in modules.items():
        (source / name).write_text(text, encoding="utf-8")
    for path in alone.content.data.copied:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(alone.pipeline.notebook.folder / path, target)


def in_style(folder: Path) -> None:
    """Formatted by ruff where it is installed. Raises StoreError when a module is no Python."""
    if importlib.util.find_spec("ruff") is not None:
        options = ["--no-cache", "--quiet", "--line-length", "120", "."]
        for words in (["check", "--select", "I", "--fix", "--exit-zero"], ["format"]):
            command = [sys.executable, "-m", "ruff", *words, *options]
            done = subprocess.run(command, cwd=folder.resolve(), capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise StoreError(f"ruff does not format it: {done.stderr.strip()[:300]}", fix="report this notebook")
    for path in sorted(folder.rglob("*.py")):
        try:
            compile(path.read_text(encoding="utf-8"), path.name, "exec", dont_inherit=True)
        except SyntaxError as error:
            what = f"it would be broken: {error.msg}, line {error.lineno}"
            raise StoreError(what, where=path.name, fix="report this notebook") from error


def compressed_size(folder: Path) -> int:
    """Bytes of the folder as one compressed archive."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(folder, arcname=".")
    return len(gzip.compress(archive.getvalue()))
