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
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nb2prod.core.equality import ISOLATED_STEPS, Boundary, BoundaryKind, Compared, Difference, Equality, ProvenEdge
from nb2prod.core.errors import UsageError, WorkerLost
from nb2prod.core.events import Event, StepFinished
from nb2prod.core.finding import Finding
from nb2prod.core.pipeline import PARAMETERS, RANDOM, SHARED, Edge, EdgeKind, Pipeline, Plan, Step
from nb2prod.core.ports import Publish
from nb2prod.core.result import Failure, Result
from nb2prod.kernel import boundary as notes
from nb2prod.kernel.ambient import WHAT
from nb2prod.kernel.compare_text import compare_text
from nb2prod.stages.causes import Evidence, cause
from nb2prod.storage import codec

Way = Callable[[Mapping[str, Any], Path], Result]  # (the engine's options, the folder for runs)
Tell = Callable[[str], None]
ISOLATED, LINEAR, ISOLATED_AGAIN, LINEAR_AGAIN = "isolated", "linear", "isolated-again", "linear-again"
SAID = {
    ISOLATED: "isolated steps",
    LINEAR: "the whole notebook in one kernel",
    LINEAR_AGAIN: "they differ: the notebook in one kernel once more, to see whether it is the same each time",
    ISOLATED_AGAIN: "it is: isolated steps once more, to see whether a run leaves something behind",
}
HASH_SEED = "PYTHONHASHSEED"
ORDER: tuple[BoundaryKind, ...] = ("value", "random", "predictions", "metric", "test", "printed", "failure")
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


@dataclass(frozen=True, slots=True)
class _Pair:
    """One name at one place, noted by two runs; a digest is None where the name is not bound."""

    position: int
    step: str
    name: str
    one: str | None
    other: str | None
    blanks: bool
    handed: bool  # whether a step was given it or hands it on

    @property
    def asks(self) -> bool:
        """Whether somebody has to look: equal digests are equal values, unless parts of them are blank."""
        return self.one is not None and self.other is not None and (self.one != self.other or self.blanks)


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
    cells: dict[int, int] = field(default_factory=dict)  # position in the executed notebook -> number in the author's

    def done(self) -> Equality:
        mine = self.run(ISOLATED)
        if mine.failure is not None and mine.failure.kind not in RESULTS:
            return self.equality("refused" if mine.failure.kind == "isolation" else "failed", failure=mine.failure)
        whole = self.run(LINEAR, like=ISOLATED)
        if whole.failure is not None:
            return self.equality("failed", failure=whole.failure)
        self.cells = _positions(whole)
        self.tell("comparing")
        found = self.compared(ISOLATED, LINEAR)
        if mine.failure is not None:
            found.append(self.failed_alone(mine.failure))
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

    # -- what is compared --------------------------------------------------------------------------------------------

    def compared(self, mine: str, whole: str) -> list[Boundary]:
        """All boundaries, in the notebook's order."""
        made = {step.name: self.end_of(step) for step in self.pipeline.steps}
        found = [
            *self.values(mine, whole),
            *((made[one.step], one) for one in self.told(self.results[mine], self.results[whole])),
        ]
        found.sort(key=lambda one: (one[0], ORDER.index(one[1].kind), *_place(one[1])))
        return [one for _, one in found]

    def values(self, mine: str, whole: str) -> Iterator[tuple[int, Boundary]]:
        pairs = list(self.pairs(mine, whole))
        looked = self.looked_at([pair for pair in pairs if pair.asks])
        for pair in pairs:
            difference = looked.get((pair.name, pair.one, pair.other)) or _by_digest(pair)
            if pair.handed or difference.verdict != "uncompared":
                yield pair.position, self.boundary(pair, difference)

    def pairs(self, mine: str, whole: str) -> Iterator[_Pair]:
        """The linear run's digest first."""
        folder = str(self.folder)
        for position in notes.positions(folder, mine):
            here, there = notes.read(folder, mine, position), notes.read(folder, whole, position)
            for name, noted in here["names"].items() if there else ():
                other = there["names"].get(name)
                blanks = bool(noted and noted["blanks"]) or bool(other and other["blanks"])
                handed = name in here["handed"] or name in WHAT
                yield _Pair(position, here["step"], name, _digest(other), _digest(noted), blanks, handed)

    def looked_at(self, pairs: Iterable[_Pair]) -> dict[tuple[str, str | None, str | None], Difference]:
        """The differences of pairs, found by a process of its own."""
        asked = list(dict.fromkeys((pair.name, pair.one, pair.other) for pair in pairs))
        if not asked:
            return {}
        lines = [json.dumps({"name": WHAT.get(name, name), "one": one, "other": other}) for name, one, other in asked]
        command = [sys.executable, "-P", "-m", "nb2prod.kernel.compare", str(self.folder)]
        done = subprocess.run(
            command,
            input="\n".join(lines),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            cwd=self.pipeline.notebook.folder,
            env={**os.environ, "PYTHONPATH": _with_ourselves(), "PYTHONIOENCODING": "utf-8"},
        )
        answers = done.stdout.splitlines()
        if done.returncode or len(answers) != len(asked):
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise WorkerLost(f"the process that compares the values died: {last}", fix="run it again")
        return {key: codec.build(Difference, json.loads(line)) for key, line in zip(asked, answers, strict=True)}

    def boundary(self, pair: _Pair, difference: Difference) -> Boundary:
        if pair.name in WHAT:
            cells = self.piece(pair)
            return Boundary(pair.step, WHAT[pair.name], "random", difference, cells[0] if cells else None)
        cell, line = self.place(pair)
        return Boundary(pair.step, pair.name, "value", difference, cell, line)

    def piece(self, pair: _Pair) -> list[int]:
        """The cells whose end the pair was noted at: those of its step, or of no step, since the piece before."""
        before = [position for position in notes.positions(str(self.folder), ISOLATED) if position < pair.position]
        start = before[-1] if before else -1
        inside = [cell for position, cell in sorted(self.cells.items()) if start < position <= pair.position]
        return [cell for cell in inside if self.step_of(cell) == pair.step] or inside

    def step_of(self, cell: int) -> str:
        role = self.pipeline.roles[cell]
        return role.name if role is not None and role.kind == "step" else ""

    def place(self, pair: _Pair) -> tuple[int | None, int | None]:
        """Where the cells last give the name a value or change it; else where they read it."""
        cells = self.piece(pair)
        bound = [(b.cell, b.line) for b in self.pipeline.bindings if b.name == pair.name and b.cell in cells]
        used = [(r.cell, r.line) for r in self.pipeline.reads if r.name == pair.name and r.cell in cells]
        return max(bound, default=None) or min(used, default=None) or ((cells[0], None) if cells else (None, None))

    def told(self, mine: Result, whole: Result) -> Iterator[Boundary]:
        """What is no value of a name: metrics, tests, predictions, and what was printed."""
        yield from self.metrics(mine, whole)
        yield from self.tests(mine, whole)
        yield from self.predictions(mine, whole)
        for step in self.pipeline.steps:
            yield self.printed(step, _step(mine, step.name).printed, _step(whole, step.name).printed)

    def metrics(self, mine: Result, whole: Result) -> Iterator[Boundary]:
        from nb2prod.kernel.compare import compare  # loads numpy

        for step in self.pipeline.steps:
            here, there = _step(mine, step.name).metrics, _step(whole, step.name).metrics
            for name in there:
                difference = compare(name, there[name], here.get(name))
                cell, line = self.last_binding(step, name)
                yield Boundary(step.name, name, "metric", difference, cell, line)

    def last_binding(self, step: Step, name: str) -> tuple[int, int | None]:
        bound = [(b.cell, b.line) for b in self.pipeline.bindings if b.name == name and b.cell in step.cells]
        return max(bound, default=(step.cells[0], None))

    def tests(self, mine: Result, whole: Result) -> Iterator[Boundary]:
        here = {test.id: test for test in mine.tests}
        for test in whole.tests:
            other = here[test.id].outcome if test.id in here else "not run"
            same = test.outcome == other
            text = "" if same else f"{test.id}: {test.outcome} and {other}"
            difference = Difference("equal" if same else "different", text, count=int(not same), items=1)
            step = test.step or self.pipeline.steps[-1].name
            yield Boundary(step, test.id, "test", difference, test.cell, test.line)

    def predictions(self, mine: Result, whole: Result) -> Iterator[Boundary]:
        """What the model says of the example, by digest; where it differs, value by value."""
        found = {one.name: one for one in mine.artifacts if one.kind == "predictions"}
        for artifact in whole.artifacts:
            other = found.get(artifact.name)
            if artifact.kind != "predictions" or other is None or not artifact.step:
                continue
            cell, line = self.last_binding(self.pipeline.step(artifact.step), artifact.name)
            one, two = artifact.details["content"], other.details["content"]
            if artifact.details["stochastic"] or other.details["stochastic"]:
                reason = f"{artifact.name}'s predictions: the model gives another answer each time it is asked"
                difference = Difference("uncompared", uncompared=(reason,))
            elif one and one == two:
                difference = Difference("equal", items=int(artifact.details.get("rows", 1)))
            else:
                difference = self.answers(f"{artifact.name}.predict(…)", (whole, artifact), (mine, other))
            yield Boundary(artifact.step, artifact.name, "predictions", difference, cell, line)

    def answers(self, name: str, one: tuple[Result, Any], other: tuple[Result, Any]) -> Difference:
        from nb2prod.storage import artifacts

        made = []
        for result, artifact in (one, other):
            path = Path(result.directory) / artifact.path
            if path.suffix == ".pkl":  # nothing of the notebook is unpickled here
                return Difference("uncompared", uncompared=(f"{name}: answers of the notebook's own kind",))
            made.append(notes.painted(artifacts.read(path, artifact.digest), self.pipeline.notebook.folder)[0])
        from nb2prod.kernel.compare import compare

        return compare(name, *(_at_rest(portrait) for portrait in made))

    def printed(self, step: Step, mine: str, whole: str) -> Boundary:
        difference = compare_text("printed", whole, mine)
        cell, line = step.cells[0], None
        if difference.verdict != "equal":
            cell, line = self.printing(step)
        return Boundary(step.name, "printed text", "printed", difference, cell, line)

    def printing(self, step: Step) -> tuple[int, int | None]:
        """The first cell of the step whose text differs, and its first line that prints."""
        here, there = _outputs(self.results[ISOLATED]), _outputs(self.results[LINEAR])
        cell = next((one for one in step.cells if here.get(one) != there.get(one)), step.cells[0])
        role = self.pipeline.roles[cell]
        lines = role.body.splitlines() if role is not None else []
        found = next((number for number, line in enumerate(lines, start=1) if "print(" in line), None)
        return cell, None if found is None or role is None else found + role.line_offset

    def failed_alone(self, failure: Failure) -> Boundary:
        """Isolated steps fail where the notebook does not."""
        text = f"the notebook goes on, isolated steps fail: {failure.message}"
        difference = Difference("different", text, count=1, items=1)
        return Boundary(failure.step or "", "failure", "failure", difference, failure.cell, failure.line)

    # -- when something differs --------------------------------------------------------------------------------------

    def explained(self, found: list[Boundary]) -> list[Boundary]:
        """The same boundaries, the first difference with its likely cause, and unseeded streams not held against it."""
        names = [one.name for one in found if one.verdict == "different" and one.kind == "value"]
        again = self.run(LINEAR_AGAIN, like=ISOLATED, watch=names[:1])
        if again.failure is not None:
            return found
        anew = {_key(one): one.verdict for one in self.compared(LINEAR_AGAIN, LINEAR)}
        found = [_own_stream(one) if _is_own_stream(one, anew) else one for one in found]
        different = [one for one in found if one.verdict == "different"]
        if not different or self.other != ISOLATED_STEPS:  # the causes that are known are those of isolated steps
            return found
        first = different[0]
        reproducible = anew.get(_key(first), "equal") != "different"
        repeated = self.repeated(first) if reproducible else None
        evidence = self.evidence(found, first, reproducible, repeated)
        why = dataclasses.replace(first, cause=cause(self.pipeline, first, evidence))
        return [why if one is first else one for one in found]

    def repeated(self, first: Boundary) -> bool:
        """Whether isolated steps, run again after the notebook, still differ from it at that place."""
        mine = self.run(ISOLATED_AGAIN)
        if first.kind == "failure":
            return mine.failure is not None
        later = {_key(one): one.verdict for one in self.compared(ISOLATED_AGAIN, LINEAR_AGAIN)}
        return later.get(_key(first), "different") == "different"

    def evidence(self, found: list[Boundary], first: Boundary, reproducible: bool, repeated: bool | None) -> Evidence:
        step = next((one for one in self.pipeline.steps if one.name == first.step), None)
        cells = step.cells if step is not None else ()
        bound = any(b.name == first.name and b.cell in cells for b in self.pipeline.bindings)
        before = found[: found.index(first)]
        left = [one for one in before if one.name == first.name and one.kind == "value"]
        history, older = self.history(first, self.noted_at(left[-1]) if left else -1)
        return Evidence(reproducible, repeated, history, left[-1].step if left else None, not bound, older)

    def history(self, first: Boundary, since: int) -> tuple[tuple[int, ...], bool]:
        """After which cells the name was another in the notebook, and whether isolated steps have an older one."""
        folder, end = str(self.folder), self.noted_at(first)
        noted = [p for p in notes.positions(folder, LINEAR_AGAIN) if p <= end]
        found = [_digest(notes.read(folder, LINEAR_AGAIN, p)["names"].get(first.name)) for p in noted]
        changed = [
            self.cells[position]
            for position, before, now in zip(noted[1:], found, found[1:], strict=False)
            if position > since and before not in (None, now) and position in self.cells
        ]
        mine = _digest(notes.read(folder, ISOLATED, end).get("names", {}).get(first.name))
        return tuple(changed), mine is not None and mine in found[:-1]

    def noted_at(self, boundary: Boundary) -> int:
        """The position where the boundary was noted."""
        for position in notes.positions(str(self.folder), ISOLATED):
            record = notes.read(str(self.folder), ISOLATED, position)
            inside = boundary.cell is None or self.cells.get(position, -1) >= boundary.cell
            if record["step"] == boundary.step and boundary.name in record["names"] and inside:
                return position
        return next((self.end_of(step) for step in self.pipeline.steps if step.name == boundary.step), -1)

    def end_of(self, step: Step) -> int:
        """The position where the step was last noted, its tests included."""
        folder = str(self.folder)
        noted = [p for p in notes.positions(folder, ISOLATED) if notes.read(folder, ISOLATED, p)["step"] == step.name]
        return max([*noted, *(position for position, cell in self.cells.items() if cell == step.cells[-1])], default=0)


# -- small questions -------------------------------------------------------------------------------------------------


def _in_words(other: str, boundary: Boundary) -> Boundary:
    """The boundary, where something else than isolated steps was compared."""
    text = boundary.difference.text.replace(ISOLATED_STEPS, other)
    return dataclasses.replace(boundary, difference=dataclasses.replace(boundary.difference, text=text))


def _digest(noted: Mapping[str, Any] | None) -> str | None:
    return noted["digest"] if noted else None


def _by_digest(pair: _Pair) -> Difference:
    if pair.one == pair.other:
        return Difference("equal", items=1)
    who = "isolated steps have" if pair.one is None else "the notebook has"
    return Difference("different", f"{pair.name}: only {who} it", count=1, items=1)


def _key(boundary: Boundary) -> tuple[str, str, str, int | None]:
    return boundary.step, boundary.name, boundary.kind, boundary.cell


def _place(boundary: Boundary) -> tuple[int, int]:
    return (boundary.cell if boundary.cell is not None else -1, boundary.line or 0)


def _is_own_stream(boundary: Boundary, anew: Mapping[Any, str]) -> bool:
    return boundary.kind == "random" and anew.get(_key(boundary)) == "different"


def _own_stream(boundary: Boundary) -> Boundary:
    """A stream that nothing seeds is another in every run: whether that matters, the values say."""
    reason = f"{boundary.name}: nothing seeds it, so that every run has its own"
    return dataclasses.replace(boundary, difference=Difference("uncompared", uncompared=(reason,)))


def _step(result: Result, name: str) -> Any:
    return next(step for step in result.steps if step.name == name)


def _executed(result: Result) -> list[dict[str, Any]]:
    return list(json.loads(Path(result.notebook).read_text(encoding="utf-8"))["cells"])


def _positions(result: Result) -> dict[int, int]:
    """Position in the executed notebook to number in the author's; injected parameters have none."""
    numbers = [cell["metadata"].get("nb2prod", {}).get("cell") for cell in _executed(result)]
    return {position: number for position, number in enumerate(numbers) if number is not None}


def _outputs(result: Result) -> dict[int, str]:
    """What each cell wrote to stdout, by its number."""
    found = {}
    for cell in _executed(result):
        number = cell["metadata"].get("nb2prod", {}).get("cell")
        texts = [o["text"] for o in cell.get("outputs", ()) if o["output_type"] == "stream" and o["name"] == "stdout"]
        found[number] = "".join("".join(text) for text in texts)
    return found


def _at_rest(portrait: Any) -> Any:
    """A portrait as it comes out of a file."""
    import pickle

    return pickle.loads(pickle.dumps(portrait, protocol=5))


def _with_ourselves() -> str:
    """An import path on which a process finds this nb2prod."""
    ours = str(Path(__file__).parents[2])
    return os.pathsep.join(part for part in (ours, os.environ.get("PYTHONPATH", "")) if part)


# -- edges -----------------------------------------------------------------------------------------------------------


def edges(pipeline: Pipeline, boundaries: Sequence[Boundary]) -> tuple[ProvenEdge, ...]:
    """Every edge with what the comparison says of it: proven when both ends were compared and are the same."""
    return tuple(
        _edge(step, edge, boundaries)
        for step in pipeline.steps
        for edge in step.edges
        if edge.source not in (PARAMETERS, *SHARED)
    )


def _edge(step: Step, edge: Edge, boundaries: Sequence[Boundary]) -> ProvenEdge:
    kind = "random" if edge.name == RANDOM else "value"
    same = [one for one in boundaries if one.kind == kind and (edge.name == RANDOM or one.name == edge.name)]
    ends = [one for one in same if one.step in (step.name, edge.source)]
    broken = next((one for one in ends if one.verdict == "different"), None)
    blank = next((one for one in ends if one.verdict == "uncompared"), None)

    def said(verdict: Compared, reason: str, kind: EdgeKind = edge.kind) -> ProvenEdge:
        return ProvenEdge(step.name, edge.name, edge.source, kind, verdict, reason)

    if broken is not None:
        return said("different", f"at the end of {broken.step}, {broken.difference.text}")
    if blank is not None:
        return said("uncompared", "; ".join(blank.difference.uncompared))
    if step.name not in {one.step for one in ends}:
        return said("uncompared", f"step {step.name} did not use it" if kind == "value" else "nothing was drawn")
    near = any(one.verdict == "tolerant" for one in ends)
    return said("tolerant" if near else "equal", "what the step got is what the notebook has", "proven")
