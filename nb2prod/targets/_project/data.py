"""Files that the notebook reads, found by the texts in its code: relative paths go on working in the project."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nb2prod.core.pipeline import Pipeline
from nb2prod.targets._project.problems import Problems

LARGEST = 20_000_000  # bytes of one file that is copied
MANY = 5_000  # files of the folder that are looked at


@dataclass(frozen=True, slots=True)
class DataFiles:
    """`copied` travel with the project, `left` (path, bytes) are too large and must be put in their place."""

    copied: tuple[str, ...]
    left: tuple[tuple[str, int], ...]


def data_files(pipeline: Pipeline, trees: Iterable[ast.AST], prose: str, problems: Problems) -> DataFiles:
    """What the code reads, and what the prose that goes along links to."""
    folder = pipeline.notebook.folder
    constants = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    texts = {value for value in constants if isinstance(value, str) and _may_be_path(value)}
    texts |= {path for step in pipeline.steps for path in step.reads}
    found: set[str] = set()
    for text in texts:
        found |= set(_named(folder, text, problems))
    found |= set(_by_last_part(folder, texts - found, pipeline.notebook.path))
    found |= set(_linked(folder, prose))
    sizes = {path: (folder / path).stat().st_size for path in sorted(found)}
    return DataFiles(
        tuple(path for path, size in sizes.items() if size <= LARGEST),
        tuple((path, size) for path, size in sizes.items() if size > LARGEST),
    )


def _may_be_path(text: str) -> bool:
    return 0 < len(text) < 300 and "\n" not in text and "://" not in text and ("." in text or "/" in text)


def _named(folder: Path, text: str, problems: Problems) -> Iterator[str]:
    """The files that a relative path, or a pattern, of the code names."""
    try:
        path = folder / text
        if PurePosixPath(text).is_absolute() or text in (".", "./", ".."):
            return
        there = sorted(folder.glob(text)) if re.search(r"[*?\[]", text) else [path] if path.exists() else []
    except (OSError, ValueError, IndexError, NotImplementedError):
        return  # no path after all
    for found in there:
        inside = found.resolve().is_relative_to(folder.resolve())
        if found.is_file() and inside:
            yield found.resolve().relative_to(folder.resolve()).as_posix()
        elif not inside:
            what = f"the code names {text}, which is outside of the notebook's folder"
            problems.add(None, None, what, "put the file beside the notebook, or make its absolute path a parameter")
        elif found.is_dir():
            files = [inner for inner in sorted(found.rglob("*")) if inner.is_file()]
            yield from (inner.relative_to(folder).as_posix() for inner in files[:MANY])


def _linked(folder: Path, prose: str) -> Iterator[str]:
    """The files below the folder that relative links of Markdown lead to; those beside the notebook are its own."""
    for target in re.findall(r"\]\(([^)\s#?]+)", prose):
        path = folder / target
        if (
            "/" in target
            and _may_be_path(target)
            and path.is_file()
            and path.resolve().is_relative_to(folder.resolve())
        ):
            yield path.resolve().relative_to(folder.resolve()).as_posix()


def _by_last_part(folder: Path, texts: Iterable[str], notebook: Path) -> Iterator[str]:
    """`hmda.csv` of `DATA / "hmda.csv"`: files below the folder that a text names by the end of their path."""
    plain = {text for text in texts if re.fullmatch(r"[\w .\-/]+\.\w{1,8}", text)}
    if not plain:
        return
    for count, path in enumerate(folder.rglob("*")):
        if count > MANY:
            return
        relative = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in Path(relative).parts)
        if not hidden and path.is_file() and path != notebook and any(f"/{relative}".endswith(f"/{t}") for t in plain):
            yield relative
