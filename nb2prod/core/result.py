"""A result: what a run came to. Made by `core.events.fold`, never by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

RunStatus = Literal["running", "finished", "failed", "killed"]
StepStatus = Literal["waiting", "running", "finished", "failed", "skipped"]
Outcome = Literal["passed", "failed", "skipped", "error"]
FailureKind = Literal["cell", "timeout", "kernel", "input", "keep", "interrupted", "start", "isolation"]
ArtifactKind = Literal["model", "example", "predictions", "truths", "probe", "plot", "notebook", "report", "parameter"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What lies behind a failure and what to do about it, where that is known.

    `kind` is its class (`missing-package`, `removed-api`, …; docs/failures.md lists them).
    """

    kind: str
    what: str
    fix: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The user's code failed, or was ended: where, and what it said.

    kind: `cell` an exception · `timeout` · `kernel` the kernel died · `input` it waited for input · `keep` a tagged
    metric, plot, model or example is not there or not usable · `interrupted` · `start` the kernel did not start ·
    `isolation` what isolated steps cannot do as the notebook does.
    `line` counts from 1 within the cell; None when unknown.
    """

    kind: FailureKind
    message: str
    step: str | None = None
    cell: int | None = None
    line: int | None = None
    traceback: str = ""
    explanation: Explanation | None = None

    @property
    def place(self) -> str:
        words = [f"step {self.step}" if self.step else "", f"cell {self.cell}" if self.cell is not None else ""]
        words.append(f"line {self.line}" if self.line else "")
        return ", ".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A value at rest: `path` is relative to the run's directory, `digest` the SHA-256 of the file.

    `details` says what reading it needs: the type of a model, the versions of its libraries, the rows of a frame.
    """

    kind: ArtifactKind
    name: str
    path: str
    digest: str
    step: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A table that a step read. `digest` covers every row and column."""

    name: str
    step: str
    digest: str
    rows: int
    columns: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TestResult:
    """`message` is empty for a passed test, else what pytest reports."""

    __test__ = False  # pytest: this is no test class

    id: str
    step: str | None
    outcome: Outcome
    seconds: float
    message: str = ""
    cell: int | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a run would do with a step: take what an earlier one left, or run it, and why."""

    step: str
    taken: bool
    reason: str


@dataclass(frozen=True, slots=True)
class StepResult:
    """`printed` is what the step wrote to stdout; `reason` why it ran or was skipped.

    `cpu` are seconds of one processor, `memory` is the most that its process held, in bytes; 0 when nothing ran.
    `retries` is how often it was tried again.
    """

    name: str
    status: StepStatus = "waiting"
    seconds: float = 0.0
    printed: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    cpu: float = 0.0
    memory: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """`computed` names the parameters whose values the notebook computed from others."""

    run: str
    status: RunStatus
    engine: str
    executor: str
    directory: str
    notebook: str
    started: float
    ended: float | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    computed: tuple[str, ...] = ()
    steps: tuple[StepResult, ...] = ()
    tests: tuple[TestResult, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    datasets: tuple[Dataset, ...] = ()
    failure: Failure | None = None
    tracked: Mapping[str, str] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, float]:
        """All metrics by name; of two steps' metrics with one name the later step's."""
        return {name: value for step in self.steps for name, value in step.metrics.items()}

    @property
    def failed_tests(self) -> tuple[TestResult, ...]:
        return tuple(test for test in self.tests if test.outcome in ("failed", "error"))

    def artifact(self, kind: ArtifactKind, name: str | None = None) -> Artifact | None:
        """The last artifact of that kind (and name), or None."""
        found = [a for a in self.artifacts if a.kind == kind and name in (None, a.name)]
        return found[-1] if found else None

    @property
    def exit_code(self) -> int:
        """0 done · 1 the code failed · 3 steps cannot be isolated · 4 a test failed · 6 lost · 130 interrupted."""
        if self.failure is not None:
            return {"kernel": 6, "start": 6, "interrupted": 130, "isolation": 3}.get(self.failure.kind, 1)
        return 4 if self.failed_tests else 0
