"""The project as its own tools want it: formatted, and what they still find in the author's lines named as such.

ruff formats the modules. What ruff and mypy find after that is the author's style (`l = []`, a name that holds a list
and then an array): `pyproject.toml` says of which file, so that `make check` passes and goes on finding what is new.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import platformdirs

from nb2prod.core.errors import StoreError

NEVER_IGNORED = ("F821", "F822", "F823", "E999")  # of ruff: a name that is not there is no matter of style


@dataclass(frozen=True, slots=True)
class Excused:
    """The rules that ruff leaves alone in a file, and the kinds of errors that mypy does in a module."""

    rules: Mapping[str, Sequence[str]] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


def formatted(folder: Path, *, isolated: bool = False) -> None:
    """Without ruff the text stays as it is."""
    if importlib.util.find_spec("ruff") is None:
        return
    if isolated:
        _ruff(folder, "format", "--quiet", "--isolated", "--line-length", "120", ".")
        return
    _ruff(folder, "check", "--quiet", "--select", "I", "--fix", "--exit-zero", ".")
    _ruff(folder, "format", "--quiet", ".")


def excused(folder: Path, declared: Sequence[str]) -> Excused:
    """What the tools that are installed find. Names that are `declared` have no value before the pipeline sets them.

    Raises StoreError for what is no style, but a project that would not run.
    """
    rules: dict[str, set[str]] = {}
    for name, code, message in _found_by_ruff(folder):
        only_declared = message in {f"Undefined name `{word}`" for word in declared}
        if (code in NEVER_IGNORED and not only_declared) or not code:
            raise StoreError(f"the project would be broken: {message}", where=name, fix="report this notebook")
        rules.setdefault(name, set()).add(code)
    errors: dict[str, set[str]] = {}
    for name, code in _found_by_mypy(folder):
        if _is_the_authors(name, code):
            errors.setdefault(_module(name), set()).add(code)
    return Excused(
        {name: sorted(codes) for name, codes in sorted(rules.items())},
        {name: sorted(codes) for name, codes in sorted(errors.items())},
    )


def _found_by_ruff(folder: Path) -> Iterator[tuple[str, str, str]]:
    if importlib.util.find_spec("ruff") is None:
        return
    for finding in json.loads(_ruff(folder, "check", "--quiet", "--exit-zero", "--output-format", "json", ".")):
        name = Path(finding["filename"]).relative_to(folder.resolve()).as_posix()
        yield name, finding["code"] or "", finding["message"]


def _ruff(folder: Path, *words: str) -> str:
    done = _called(folder, "ruff", *words, "--no-cache")
    if done.returncode != 0:
        raise StoreError(f"ruff does not format the project: {done.stderr.strip()[:500]}")
    return done.stdout


def _found_by_mypy(folder: Path) -> Iterator[tuple[str, str]]:
    """(file, kind of error). What mypy knows of libraries is kept for the next export: reading it takes seconds."""
    if importlib.util.find_spec("mypy") is None:
        return
    cache = platformdirs.user_cache_path("nb2prod") / "mypy"
    # several exports may run at a time, and a database would lock
    words = ("--output", "json", "--no-error-summary", "--no-sqlite-cache", "--cache-dir", str(cache))
    config = folder / "mypy.toml"
    config.write_text((folder / "pyproject.toml").read_text(encoding="utf-8") + _without_stubs(), encoding="utf-8")
    try:
        done = _called(folder, "mypy", *words, "--config-file", config.name)
    finally:
        config.unlink()
    if done.returncode not in (0, 1):
        said = (done.stderr.strip() or done.stdout.strip())[:500]
        raise StoreError(f"mypy does not read the project: {said}", fix="report this notebook")
    for line in done.stdout.splitlines():
        found = json.loads(line)
        if found["severity"] == "error":
            yield PurePosixPath(found["file"]).as_posix(), found["code"]


def _without_stubs() -> str:
    """Types that this environment has in packages of their own (`pandas-stubs`) are not in the project's."""
    places = [Path(place) for place in sys.path if place]
    stubs = {path.name.removesuffix("-stubs") for place in places for path in place.glob("*-stubs") if path.is_dir()}
    modules = [module for name in sorted(stubs) for module in (name, f"{name}.*")]
    skipped = {"module": modules, "follow_imports": "skip", "follow_imports_for_stubs": True}
    lines = [f"{name} = {json.dumps(value)}" for name, value in skipped.items()]
    return "\n".join(["", "[[tool.mypy.overrides]]", *lines, ""]) if stubs else ""


def _is_the_authors(name: str, code: str) -> bool:
    """Whether the author wrote what is found there, and not we; of the settings the defaults are the author's."""
    file = PurePosixPath(name).name
    return (
        file in ("functions.py", "steps.py")
        or file.startswith("test_")
        or (file, code) == ("settings.py", "assignment")
    )


def _module(name: str) -> str:
    """What mypy calls a file of the project."""
    return ".".join(PurePosixPath(name).with_suffix("").parts[1:]).removesuffix(".__init__")


def _called(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder.resolve(), capture_output=True, text=True, check=False)
