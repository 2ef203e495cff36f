"""A notebook is verified: its isolated steps are proved to give what the notebook gives in one kernel.

    isolated run      each step in a process of its own; what it read, made and changed is noted when it ends
    linear run        the whole notebook in one kernel; the same names are noted at the same places
    comparison        every pair, value by value; printed text, metrics, tests and predictions as well
    only when something differs:
    linear run again    do two linear runs agree? if not, the notebook itself gives no fixed values
    isolated run again  does it agree now? then the runs leave something behind that the next one finds

Nothing of the values stays on disk: runs, notes and executed notebooks are in a private folder that goes at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nb2prod.core.equality import ISOLATED_STEPS, Boundary, Difference, Equality
from nb2prod.core.errors import UsageError
from nb2prod.core.events import Event, StepFinished
from nb2prod.core.finding import Finding
from nb2prod.core.pipeline import Pipeline, Plan
from nb2prod.core.ports import Publish
from nb2prod.core.result import Failure, Result
from nb2prod.kernel import boundary as notes
from nb2prod.stages.causes import Evidence, cause
from nb2prod.stages.verifying.comparison import Comparison, key_of
from nb2prod.stages.verifying.edges import edges
from nb2prod.stages.verifying.noted import ISOLATED, ISOLATED_AGAIN, LINEAR, LINEAR_AGAIN, Noted, positions_of

Way = Callable[[Mapping[str, Any], Path], Result]  # (the engine's options, the folder for runs)
Tell = Callable[[str], None]
SAID = {
    ISOLATED: "isolated steps",
    LINEAR: "the whole notebook in one kernel",
    LINEAR_AGAIN: "they differ: the notebook in one kernel once more, to see whether it is the same each time",
    ISOLATED_AGAIN: "it is: isolated steps once more, to see whether a run leaves something behind",
}
HASH_SEED = "PYTHONHASHSEED"
RESULTS = ("cell", "timeout", "input", "keep")  # failures of the notebook's own code


def verify_notebook(
    pipeline: Pipeline,
    refusing: Iterable[Finding],
    isolated: Way,
    linear: Way,
    tell: Tell = lambda _: None,
    other: str = ISOLATED_STEPS,
) -> Equality:
    """Compare the two ways to run a pipeline. `refusing` are the findings that isolated steps cannot have.

    `other` says in the report what `isolated` is, when it is another way than that.

    Raises UsageError when there are no steps, and what a run raises. The notebook's own failures are in the result.
    """
    refused = tuple(refusing)
    steps = tuple(step.name for step in pipeline.steps)
    path = str(pipeline.notebook.path)
    if refused:
        return Equality(path, "refused", steps, findings=refused, other=other)
    if not steps:
        fix = "tag cells step:NAME; `nb2prod suggest` proposes tags"
        raise UsageError("the notebook has no steps, so that there is nothing to compare", where=path, fix=fix)
    with tempfile.TemporaryDirectory(prefix="nb2prod-") as folder, _one_hash_seed():
        return _Verifying(pipeline, Path(folder), isolated, linear, tell, other).done()


@dataclass(frozen=True, slots=True)
class Progress:
    """A tracker for the runs of a verification: tells of each step that ends."""

    tell: Tell

    def open(self, plan: Plan, publish: Publish) -> Progress:
        return self

    def hear(self, event: Event) -> None:
        if isinstance(event, StepFinished):
            self.tell(f"  step {event.step} {event.status} in {event.seconds:.1f} s")

    def environment(self, step: str) -> Mapping[str, str]:
        return {}

    def close(self) -> None:
        """Nothing is open."""


@contextlib.contextmanager
def _one_hash_seed() -> Iterator[None]:
    """Meanwhile the hashes of texts, and with them the order of sets, are the same in every process of ours."""
    if os.environ.get(HASH_SEED, "random") != "random":
        yield
        return
    before = os.environ.get(HASH_SEED)
    os.environ[HASH_SEED] = "0"
    try:
        yield
    finally:
        del os.environ[HASH_SEED]
        os.environ |= {HASH_SEED: before} if before is not None else {}


@dataclass(slots=True)
class _Verifying:
    """One verification: the runs, and what was compared."""

    pipeline: Pipeline
    folder: Path
    isolated: Way
    linear: Way
    tell: Tell
    other: str
    seconds: dict[str, float] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    noted: Noted = field(init=False)  # when both runs are over
    comparison: Comparison = field(init=False)

    def done(self) -> Equality:
        mine = self.run(ISOLATED)
        if mine.failure is not None and mine.failure.kind not in RESULTS:
            return self.equality("refused" if mine.failure.kind == "isolation" else "failed", failure=mine.failure)
        whole = self.run(LINEAR, like=ISOLATED)
        if whole.failure is not None:
            return self.equality("failed", failure=whole.failure)
        self.noted = Noted(self.pipeline, str(self.folder), positions_of(whole))
        self.comparison = Comparison(self.pipeline, self.noted, self.results)
        self.tell("comparing")
        found = self.comparison.boundaries(ISOLATED, LINEAR)
        if mine.failure is not None:
            found.append(_failed_alone(mine.failure))
        if any(one.verdict == "different" for one in found):
            found = self.explained(found)
        worst = {one.verdict for one in found}
        status = "different" if "different" in worst else "tolerant" if "tolerant" in worst else "equal"
        return self.equality(status, found)

    def run(self, name: str, like: str = "", watch: Sequence[str] = ()) -> Result:
        began = time.monotonic()
        self.tell(SAID[name].replace(ISOLATED_STEPS, self.other))
        way = self.isolated if name in (ISOLATED, ISOLATED_AGAIN) else self.linear
        options = notes.options(notes.Wanted(str(self.folder), name, like, tuple(watch)))
        self.results[name] = way(options, self.folder / "runs")
        self.seconds[name] = time.monotonic() - began
        failure = self.results[name].failure
        if failure is not None and failure.kind == "interrupted":
            raise KeyboardInterrupt
        return self.results[name]

    def equality(self, status: Any, found: Iterable[Boundary] = (), failure: Failure | None = None) -> Equality:
        boundaries = tuple(_in_words(self.other, one) for one in found)
        return Equality(
            str(self.pipeline.notebook.path),
            status,
            tuple(step.name for step in self.pipeline.steps),
            boundaries,
            edges(self.pipeline, boundaries),
            failure=failure,
            seconds=dict(self.seconds),
            other=self.other,
        )

    # -- when something differs --------------------------------------------------------------------------------------

    def explained(self, found: list[Boundary]) -> list[Boundary]:
        """The same boundaries, the first difference with its likely cause, and unseeded streams not held against it."""
        names = [one.name for one in found if one.verdict == "different" and one.kind == "value"]
        again = self.run(LINEAR_AGAIN, like=ISOLATED, watch=names[:1])
        if again.failure is not None:
            return found
        anew = {key_of(one): one.verdict for one in self.comparison.boundaries(LINEAR_AGAIN, LINEAR)}
        found = [_own_stream(one) if _is_own_stream(one, anew) else one for one in found]
        different = [one for one in found if one.verdict == "different"]
        if not different or self.other != ISOLATED_STEPS:  # the causes that are known are those of isolated steps
            return found
        first = different[0]
        reproducible = anew.get(key_of(first), "equal") != "different"
        repeated = self.repeated(first) if reproducible else None
        evidence = self.evidence(found, first, reproducible, repeated)
        why = dataclasses.replace(first, cause=cause(self.pipeline, first, evidence))
        return [why if one is first else one for one in found]

    def repeated(self, first: Boundary) -> bool:
        """Whether isolated steps, run again after the notebook, still differ from it at that place."""
        mine = self.run(ISOLATED_AGAIN)
        if first.kind == "failure":
            return mine.failure is not None
        later = {key_of(one): one.verdict for one in self.comparison.boundaries(ISOLATED_AGAIN, LINEAR_AGAIN)}
        return later.get(key_of(first), "different") == "different"

    def evidence(self, found: list[Boundary], first: Boundary, reproducible: bool, repeated: bool | None) -> Evidence:
        step = next((one for one in self.pipeline.steps if one.name == first.step), None)
        cells = step.cells if step is not None else ()
        bound = any(b.name == first.name and b.cell in cells for b in self.pipeline.bindings)
        before = found[: found.index(first)]
        left = [one for one in before if one.name == first.name and one.kind == "value"]
        history, older = self.noted.history(first, self.noted.position_of(left[-1]) if left else -1)
        return Evidence(reproducible, repeated, history, left[-1].step if left else None, not bound, older)


def _in_words(other: str, boundary: Boundary) -> Boundary:
    """The boundary, where something else than isolated steps was compared."""
    text = boundary.difference.text.replace(ISOLATED_STEPS, other)
    return dataclasses.replace(boundary, difference=dataclasses.replace(boundary.difference, text=text))


def _is_own_stream(boundary: Boundary, anew: Mapping[Any, str]) -> bool:
    return boundary.kind == "random" and anew.get(key_of(boundary)) == "different"


def _own_stream(boundary: Boundary) -> Boundary:
    """A stream that nothing seeds is another in every run: whether that matters, the values say."""
    reason = f"{boundary.name}: nothing seeds it, so that every run has its own"
    return dataclasses.replace(boundary, difference=Difference("uncompared", uncompared=(reason,)))


def _failed_alone(failure: Failure) -> Boundary:
    """Isolated steps fail where the notebook does not."""
    text = f"the notebook goes on, isolated steps fail: {failure.message}"
    difference = Difference("different", text, count=1, items=1)
    return Boundary(failure.step or "", "failure", "failure", difference, failure.cell, failure.line)
