"""Two runs of a notebook compared, boundary by boundary: values, random streams, metrics, tests, predictions, print.

What differs by its digest is compared part by part in a process of its own (`kernel.compare`), so that what the values
need leaves no trace here.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.equality import Boundary, BoundaryKind, Difference
from nb2prod.core.errors import WorkerLost
from nb2prod.core.pipeline import Pipeline, Step
from nb2prod.core.result import Result
from nb2prod.kernel import boundary as notes
from nb2prod.kernel.ambient import WHAT
from nb2prod.kernel.compare_text import compare_text
from nb2prod.stages.verifying.noted import ISOLATED, LINEAR, Noted, Pair, printed_by_cell
from nb2prod.storage import codec

ORDER: tuple[BoundaryKind, ...] = ("value", "random", "predictions", "metric", "test", "printed", "failure")


@dataclass(frozen=True, slots=True)
class Comparison:
    """The runs of one verification, by their names, and what they noted."""

    pipeline: Pipeline
    noted: Noted
    results: Mapping[str, Result]

    def boundaries(self, mine: str, whole: str) -> list[Boundary]:
        """All boundaries, in the notebook's order."""
        made = {step.name: self.noted.end_of(step) for step in self.pipeline.steps}
        found = [
            *self._values(mine, whole),
            *((made[one.step], one) for one in self._told(self.results[mine], self.results[whole])),
        ]
        found.sort(key=lambda one: (one[0], ORDER.index(one[1].kind), *_place(one[1])))
        return [one for _, one in found]

    def _values(self, mine: str, whole: str) -> Iterator[tuple[int, Boundary]]:
        pairs = list(self.noted.pairs(mine, whole))
        looked = self._looked_at([pair for pair in pairs if pair.asks])
        for pair in pairs:
            difference = looked.get((pair.name, pair.one, pair.other)) or _by_digest(pair)
            if pair.handed or difference.verdict != "uncompared":
                yield pair.position, self._boundary(pair, difference)

    def _looked_at(self, pairs: Iterable[Pair]) -> dict[tuple[str, str | None, str | None], Difference]:
        """The differences of pairs, found by a process of its own."""
        asked = list(dict.fromkeys((pair.name, pair.one, pair.other) for pair in pairs))
        if not asked:
            return {}
        lines = [json.dumps({"name": WHAT.get(name, name), "one": one, "other": other}) for name, one, other in asked]
        command = [sys.executable, "-P", "-m", "nb2prod.kernel.compare", self.noted.folder]
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

    def _boundary(self, pair: Pair, difference: Difference) -> Boundary:
        if pair.name in WHAT:
            cells = self.noted.piece(pair)
            return Boundary(pair.step, WHAT[pair.name], "random", difference, cells[0] if cells else None)
        cell, line = self.noted.place(pair)
        return Boundary(pair.step, pair.name, "value", difference, cell, line)

    def _told(self, mine: Result, whole: Result) -> Iterator[Boundary]:
        """What is no value of a name: metrics, tests, predictions, and what was printed."""
        yield from self._metrics(mine, whole)
        yield from self._tests(mine, whole)
        yield from self._predictions(mine, whole)
        for step in self.pipeline.steps:
            yield self._printed(step, _step(mine, step.name).printed, _step(whole, step.name).printed)

    def _metrics(self, mine: Result, whole: Result) -> Iterator[Boundary]:
        from nb2prod.kernel.compare import compare  # loads numpy

        for step in self.pipeline.steps:
            here, there = _step(mine, step.name).metrics, _step(whole, step.name).metrics
            for name in there:
                difference = compare(name, there[name], here.get(name))
                cell, line = self._last_binding(step, name)
                yield Boundary(step.name, name, "metric", difference, cell, line)

    def _last_binding(self, step: Step, name: str) -> tuple[int, int | None]:
        bound = [(b.cell, b.line) for b in self.pipeline.bindings if b.name == name and b.cell in step.cells]
        return max(bound, default=(step.cells[0], None))

    def _tests(self, mine: Result, whole: Result) -> Iterator[Boundary]:
        here = {test.id: test for test in mine.tests}
        for test in whole.tests:
            other = here[test.id].outcome if test.id in here else "not run"
            same = test.outcome == other
            text = "" if same else f"{test.id}: {test.outcome} and {other}"
            difference = Difference("equal" if same else "different", text, count=int(not same), items=1)
            step = test.step or self.pipeline.steps[-1].name
            yield Boundary(step, test.id, "test", difference, test.cell, test.line)

    def _predictions(self, mine: Result, whole: Result) -> Iterator[Boundary]:
        """What the model says of the example, by digest; where it differs, value by value."""
        found = {one.name: one for one in mine.artifacts if one.kind == "predictions"}
        for artifact in whole.artifacts:
            other = found.get(artifact.name)
            if artifact.kind != "predictions" or other is None or not artifact.step:
                continue
            cell, line = self._last_binding(self.pipeline.step(artifact.step), artifact.name)
            one, two = artifact.details["content"], other.details["content"]
            if artifact.details["stochastic"] or other.details["stochastic"]:
                reason = f"{artifact.name}'s predictions: the model gives another answer each time it is asked"
                difference = Difference("uncompared", uncompared=(reason,))
            elif one and one == two:
                difference = Difference("equal", items=int(artifact.details.get("rows", 1)))
            else:
                difference = self._answers(f"{artifact.name}.predict(…)", (whole, artifact), (mine, other))
            yield Boundary(artifact.step, artifact.name, "predictions", difference, cell, line)

    def _answers(self, name: str, one: tuple[Result, Any], other: tuple[Result, Any]) -> Difference:
        from nb2prod.storage import artifacts

        made = []
        for result, artifact in (one, other):
            path = Path(result.directory) / artifact.path
            if path.suffix == ".pkl":  # nothing of the notebook is unpickled here
                return Difference("uncompared", uncompared=(f"{name}: answers of the notebook's own kind",))
            made.append(notes.painted(artifacts.read(path, artifact.digest), self.pipeline.notebook.folder)[0])
        from nb2prod.kernel.compare import compare

        return compare(name, *(_at_rest(portrait) for portrait in made))

    def _printed(self, step: Step, mine: str, whole: str) -> Boundary:
        difference = compare_text("printed", whole, mine)
        cell, line = step.cells[0], None
        if difference.verdict != "equal":
            cell, line = self._printing(step)
        return Boundary(step.name, "printed text", "printed", difference, cell, line)

    def _printing(self, step: Step) -> tuple[int, int | None]:
        """The first cell of the step whose text differs, and its first line that prints."""
        here, there = printed_by_cell(self.results[ISOLATED]), printed_by_cell(self.results[LINEAR])
        cell = next((one for one in step.cells if here.get(one) != there.get(one)), step.cells[0])
        role = self.pipeline.roles[cell]
        lines = role.body.splitlines() if role is not None else []
        found = next((number for number, line in enumerate(lines, start=1) if "print(" in line), None)
        return cell, None if found is None or role is None else found + role.line_offset


def key_of(boundary: Boundary) -> tuple[str, str, str, int | None]:
    """By which the same boundary of another comparison is found."""
    return boundary.step, boundary.name, boundary.kind, boundary.cell


def _place(boundary: Boundary) -> tuple[int, int]:
    return (boundary.cell if boundary.cell is not None else -1, boundary.line or 0)


def _by_digest(pair: Pair) -> Difference:
    if pair.one == pair.other:
        return Difference("equal", items=1)
    who = "isolated steps have" if pair.one is None else "the notebook has"
    return Difference("different", f"{pair.name}: only {who} it", count=1, items=1)


def _step(result: Result, name: str) -> Any:
    return next(step for step in result.steps if step.name == name)


def _at_rest(portrait: Any) -> Any:
    """A portrait as it comes out of a file."""
    return pickle.loads(pickle.dumps(portrait, protocol=5))


def _with_ourselves() -> str:
    """An import path on which a process finds this nb2prod."""
    ours = str(Path(notes.__file__).parents[2])
    return os.pathsep.join(part for part in (ours, os.environ.get("PYTHONPATH", "")) if part)
