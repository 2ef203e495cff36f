"""What there is to judge a failure by: the exception taken apart, the notebook, and a look at the machine."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nb2prod.core.pipeline import Pipeline
from nb2prod.core.result import Failure

LONGEST_MESSAGE = 20_000
LONGEST_TRACE = 100_000
_SAID = re.compile(r"(?P<error>[A-Za-z_][\w.]*)(?::\s*(?P<said>.*))?", re.DOTALL)
_FRAME = re.compile(r"^(?:(?P<cell>Cell In\[\d+\], line \d+)|File )", re.MULTILINE)
_OWN = re.compile(r"\s*(?:%time\s+)?(?:raise|assert)\b")
_ARROW = re.compile(r"^-+> ?\d+ (.*)$", re.MULTILINE)


class Machine(Protocol):
    """What can be seen of the place where the kernel works, without running anything there."""

    def version(self, distribution: str) -> str:
        """The installed version in the kernel's environment; empty when it is not installed or not known."""
        ...

    def names(self, folder: Path) -> tuple[str, ...]:
        """The names in a folder, with `/` behind those of folders; empty when it cannot be read."""
        ...

    @property
    def pip(self) -> str:
        """The command that installs into the kernel's environment: `pip install`."""
        ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """`error` is the exception's class without its module, `said` its message; both empty when no cell raised."""

    failure: Failure
    pipeline: Pipeline
    machine: Machine
    error: str
    said: str
    trace: str

    @property
    def folder(self) -> Path:
        """Where the kernel starts."""
        return self.pipeline.notebook.folder

    @property
    def frames(self) -> tuple[str, ...]:
        """The traceback, one text a frame, the innermost last."""
        starts = [match.start() for match in _FRAME.finditer(self.trace)]
        return tuple(self.trace[start:end] for start, end in itertools.pairwise([*starts, len(self.trace)]))

    @property
    def own_words(self) -> bool:
        """Whether a `raise` or `assert` of the notebook's own code said it."""
        frames = self.frames
        if not frames:
            return False
        if frames[-1].startswith("File <timed"):
            return _OWN.match(self.line) is not None
        arrows = _ARROW.findall(frames[-1])
        return frames[-1].startswith("Cell In[") and bool(arrows) and _OWN.match(arrows[-1]) is not None

    @property
    def source(self) -> str:
        """The failed cell's source; empty when no cell failed."""
        cells = self.pipeline.notebook.cells
        cell = self.failure.cell
        return cells[cell].source if cell is not None and 0 <= cell < len(cells) else ""

    @property
    def line(self) -> str:
        """The line that failed."""
        lines = self.source.split("\n")
        number = self.failure.line
        return lines[number - 1] if number is not None and 0 < number <= len(lines) else ""

    def through(self, library: str) -> bool:
        """Whether a frame of the library is in the traceback."""
        return any(_of(library, frame) for frame in self.frames)

    def innermost(self, library: str) -> bool:
        """Whether the exception came out of the library itself."""
        return bool(self.frames) and _of(library, self.frames[-1])

    def imports(self, module: str) -> bool:
        """Whether any cell imports the module or a part of it."""
        pattern = re.compile(rf"^\s*(?:import|from)\s[^\n#]*\b{re.escape(module)}\b", re.MULTILINE)
        return any(pattern.search(cell.source) for cell in self.pipeline.notebook.cells if cell.kind == "code")

    def defines(self, name: str) -> bool:
        """Whether the notebook itself has a function or class of that name."""
        return any(binding.name == name and binding.kind in ("function", "class") for binding in self.pipeline.bindings)


def _of(library: str, frame: str) -> bool:
    return re.match(rf"File (?:[^\n]*[/\\])?{re.escape(library)}[/\\]", frame) is not None


def evidence_of(failure: Failure, pipeline: Pipeline, machine: Machine) -> Evidence:
    message = failure.message[:LONGEST_MESSAGE]
    match = _SAID.fullmatch(message) if failure.kind == "cell" else None
    error, said = (match["error"].rpartition(".")[2], match["said"] or "") if match else ("", "")
    return Evidence(failure, pipeline, machine, error, said, failure.traceback[-LONGEST_TRACE:])
