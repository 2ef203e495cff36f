"""Real failures: code runs in a real kernel, and what it says is judged by the rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nb2prod.core.notebook import Cell, Notebook
from nb2prod.core.pipeline import Pipeline
from nb2prod.core.result import Explanation, Failure
from nb2prod.engines._outputs import failure_of
from nb2prod.language import failures
from nb2prod.stages.compile import compile as compile_notebook
from nb2prod.stages.explain import Here
from tests.live_kernel import LiveKernel, Said

Explained = Callable[..., Explanation | None]


def notebook_of(folder: Path, *cells: tuple[str, str]) -> Pipeline:
    """A pipeline of (tags, source) cells in a folder."""
    made = tuple(Cell(index, "code", source, tuple(tags.split())) for index, (tags, source) in enumerate(cells))
    return compile_notebook(Notebook(folder / "nb.ipynb", made))


def failure_from(said: Said, source: str, cell: int) -> Failure:
    """What the engine makes of a cell's outputs."""
    outputs: list[dict[str, Any]] = [
        {"output_type": "stream", "name": name, "text": text} for name, text in said.streams
    ]
    if said.error:
        name, _, value = said.error.partition(": ")
        outputs.append(
            {"output_type": "error", "ename": name, "evalue": value, "traceback": said.traceback.split("\n")}
        )
    count = re.search(r"Cell In\[(\d+)\]", said.traceback)
    node = {"outputs": outputs, "execution_count": int(count[1]) if count else None}
    return failure_of(_Cell(node), "a", cell, source, 0, ())


class _Cell(dict[str, Any]):
    @property
    def execution_count(self) -> Any:
        return self["execution_count"]


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A kernel, and the folder where it works, which is the notebook's."""
    folder = tmp_path_factory.mktemp("around") / "project"
    folder.mkdir()
    (folder / "nb.ipynb").touch()
    with LiveKernel(folder, MPLBACKEND="agg") as live:
        yield SimpleNamespace(live=live, folder=folder)


@pytest.fixture
def explained(kernel: SimpleNamespace) -> Explained:
    """Runs the last of some cells in the kernel, which must fail, and gives the explanation."""

    def explain(source: str, *before: tuple[str, str], after: tuple[tuple[str, str], ...] = ()) -> Explanation | None:
        pipeline = notebook_of(kernel.folder, *before, ("step:a", source), *after)
        failure = failure_from(kernel.live.run(source), source, len(before))
        assert failure.message != "the cell failed without saying how", f"{source!r} did not fail"
        return failures.explained(failure, pipeline, Here())

    return explain
