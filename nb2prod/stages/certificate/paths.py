"""The paths that one fresh process can try: the model itself, its translation, the service in three protocols.

Each gives a `PathParity`, or says why it was left out. The process is asked first and answers while we do other work.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core import parity
from nb2prod.core.errors import NotProved
from nb2prod.core.outcome import Outcome, digest_of, from_json
from nb2prod.core.parity import FRESH, ONNX, SERVICE, LeftOut, PathParity, RowFound
from nb2prod.stages.certificate import compare, service, spelling
from nb2prod.stages.certificate.compare import TOLERANCE, Gap, compared, path_of
from nb2prod.stages.certificate.probe import ProbeSet
from nb2prod.stages.proof import NotInstalled, Prover
from nb2prod.stages.translate import TOLERANCES
from nb2prod.storage import artifacts
from nb2prod.storage.artifacts import Stored

MODEL, SETTINGS = "onnx/model.onnx", "onnx/serving.json"
Found = PathParity | LeftOut


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the paths of a package are compared with: its example with the notebook's predictions, and its probe set."""

    package: Path
    example: Stored
    predictions: Any
    probe: ProbeSet | None

    @property
    def rows(self) -> dict[str, Any]:
        """The probe set, as the process that proves is told of it."""
        if self.probe is None or self.probe.stored is None:
            return {}
        stored = self.probe.stored
        where = {"rows": str(stored.path.absolute()), "rows_digest": stored.digest}
        return {**where, "real": self.probe.rows.real, "count": self.probe.count}


# -- the model itself ------------------------------------------------------------------------------------------------


def begin_fresh(prover: Prover, evidence: Evidence) -> None:
    prover.send(evidence.package, "answer", **prover.about_example(evidence.example), **evidence.rows)


def fresh(prover: Prover, evidence: Evidence, path: str = FRESH) -> tuple[PathParity, Mapping[str, str]]:
    """The path, and the environment. Raises NotProved when there is no answer to the example, or of another kind."""
    answer = prover.answer(evidence.package)
    whole = compared(evidence.predictions, answer.predictions, path=path)
    whole = dataclasses.replace(whole, versions=dict(answer.environment), inputs=inputs_of(evidence, with_example=True))
    whole = dataclasses.replace(whole, environment=environment_digest(answer.environment))
    if evidence.probe is None:
        return whole, answer.environment
    probed = path_of(path, evidence.probe.rows, answer.outcomes, TOLERANCE, answer.environment)
    return joined(whole, probed), answer.environment


def joined(whole: PathParity, probed: PathParity) -> PathParity:
    """The real rows of the probe set are rows of the example, which counts for them."""
    worst = next(v for v in ("different", "tolerant", "equal") if v in (whole.verdict, probed.verdict))
    return dataclasses.replace(
        probed,
        rows=whole.rows,
        exact=whole.exact,
        difference=max(whole.difference, probed.difference),
        relative=max(whole.relative, probed.relative),
        ulps=max(whole.ulps, probed.ulps),
        flips=max(whole.flips, probed.flips),
        verdict=worst,
        inputs=whole.inputs,
        environment=probed.environment or whole.environment,
        note="; ".join(note for note in (whole.note, probed.note) if note),
    )


# -- its translation -------------------------------------------------------------------------------------------------


def onnx(prover: Prover, evidence: Evidence) -> Found:
    if not (evidence.package / MODEL).is_file():
        return LeftOut(ONNX, "the package has no translation")
    if evidence.probe is None:
        return LeftOut(ONNX, "the package has no probe set to prove it with")
    spelled = spelling.rows_of(evidence.probe.table)
    about = {**prover.about_example(evidence.example), **evidence.rows, "rows": spelled}
    prover.send(evidence.package, "onnx", **about)
    try:
        reply = prover.reply(evidence.package)
    except NotInstalled as error:
        return LeftOut(ONNX, f"{error} is not installed (pip install 'nb2prod[onnx]')")
    if "error" in reply:
        return _failed(ONNX, evidence, reply["error"])
    found = [from_json(one) for one in reply["outcomes"]]
    probed = _probed(ONNX, evidence, found, translated(evidence.package), reply["environment"])
    try:
        whole = _on_example(evidence, reply)
    except NotProved as error:
        return _failed(ONNX, evidence, error.what)
    return joined(dataclasses.replace(whole, inputs=inputs_of(evidence, with_example=True)), probed)


def _on_example(evidence: Evidence, reply: Mapping[str, Any]) -> PathParity:
    """The translation's answers to the example, but for rows that it leaves to the model."""
    import numpy as np

    expected, tolerance = np.asarray(evidence.predictions), translated(evidence.package)
    answers = artifacts.read(Path(reply["path"]), reply["digest"])
    inside = np.ones(len(expected), dtype=bool)
    inside[reply["outside"]] = False
    largest = compare.largest(expected[np.isfinite(expected)]) if expected.dtype.kind == "f" else 0.0
    least = tolerance * compare.NEAR_ZERO * largest
    if len(answers) != len(expected):
        raise NotProved(f"the translation gives {len(answers)} answers to {len(expected)} rows")
    whole = compared(expected[inside], answers[inside], path=ONNX, tolerance=tolerance, least=least)
    return dataclasses.replace(whole, rows=len(expected), note=_left(reply["outside"], len(expected)))


def _left(outside: Sequence[int], count: int) -> str:
    return f"{len(outside)} of {count} rows of the example are left to the model" if outside else ""


def translated(package: Path) -> float:
    """What the answers of the package's translation may differ by: by the precision in which it computes."""
    settings = json.loads((package / SETTINGS).read_bytes())
    return float(TOLERANCES.get(settings.get("precision", ""), TOLERANCES["float64"]))


def _failed(path: str, evidence: Evidence, error: str) -> PathParity:
    """A path that was tried and has no answers at all."""
    assert evidence.probe is not None
    # the message of another library may name places of this machine
    found = [Outcome("raises", reason=error.partition(":")[0])] * evidence.probe.count
    return dataclasses.replace(_probed(path, evidence, found, 0.0, {}), verdict="different")


# -- the service -----------------------------------------------------------------------------------------------------


def services(prover: Prover, evidence: Evidence, runtime: str, wanted: Iterable[str] = SERVICE) -> Iterator[Found]:
    """The protocols that are wanted. `runtime` is what the service asks: `onnx` or `mlflow`."""
    names = tuple(wanted)
    if not names:
        return
    if evidence.probe is None:
        yield from (LeftOut(name, "the package has no probe set to ask it with") for name in names)
        return
    try:
        with service.served(prover, evidence.package, runtime) as at:
            inputs = service.inputs_of(at)
            asked = {name: _asked(at, name, evidence.probe, inputs) for name in names}
            base = {found.groups: None for found in asked.values()}
            own = {groups: _own(prover, evidence, runtime, groups) for groups in base}
            environment = at.environment
    except NotInstalled as error:
        yield from (LeftOut(name, f"{error} is not installed (pip install 'nb2prod[serve]')") for name in names)
        return
    tolerance = translated(evidence.package) if runtime == "onnx" else TOLERANCE
    for name, found in asked.items():
        yield _served(name, evidence, found, own[found.groups], tolerance, environment)


def _asked(at: service.Served, name: str, probe: ProbeSet, inputs: Sequence[Mapping[str, Any]]) -> service.Groups:
    if name == parity.V2 and not inputs:
        refused = Outcome("refused", reason="the signature has types that the protocol has not")
        return service.Groups((refused,) * probe.count, ())
    return service.outcomes(at, name, spelling.rows_of(probe.table), probe.rows.real, inputs)


def _own(prover: Prover, evidence: Evidence, runtime: str, groups: tuple[tuple[int, int], ...]) -> dict[int, Outcome]:
    """What the model that the service asks says of the same rows in the same company, by the row."""
    assert evidence.probe is not None
    about = {**evidence.rows, "groups": groups}
    if runtime == "onnx":
        about["rows"] = spelling.rows_of(evidence.probe.table)
    prover.send(evidence.package, "onnx" if runtime == "onnx" else "answer", **about)
    reply = prover.reply(evidence.package)
    if "error" in reply:
        raise NotProved(f"the model that the service asks fails by itself: {reply['error']}")
    places = [row for start, stop in groups for row in range(start, stop)]
    return dict(zip(places, map(from_json, reply["outcomes"]), strict=True))


def _served(
    name: str,
    evidence: Evidence,
    found: service.Groups,
    own: Mapping[int, Outcome],
    tolerance: float,
    environment: Mapping[str, str],
) -> Found:
    assert evidence.probe is not None
    rows = evidence.probe.rows
    expected = [in_json(one) for one in rows.expected]
    outcomes = [unsayable(one, other) for one, other in zip(rows.expected, found.outcomes, strict=True)]
    if rows.real and all(one.kind == "refused" for one in outcomes[: rows.real]):
        return LeftOut(name, f"it refuses every row: {outcomes[0].reason}")
    spoken = dataclasses.replace(rows, expected=expected)
    path = _probed(name, evidence, outcomes, tolerance, environment, spoken)
    return _exactly(path, rows.what, outcomes, own)


def _exactly(
    path: PathParity, what: Sequence[str], outcomes: Sequence[Outcome], own: Mapping[int, Outcome]
) -> PathParity:
    """Between the service and the model that it asks there is only JSON, in which every float has its last bit."""
    lost = {
        row: RowFound(row, what[row], parity.DIFFERENT, f"{one} (the model in the service)", str(outcomes[row]))
        for row, one in own.items()
        if compare.judge(in_json(one), outcomes[row], 0.0)[1] != Gap()
    }
    if not lost:
        return path
    marks = "".join(parity.DIFFERENT if row in lost else mark for row, mark in enumerate(path.marks))
    found = (*lost.values(), *(one for one in path.found if one.row not in lost))
    note = "the service does not say what its model answers: on the way, digits or rows were changed"
    return dataclasses.replace(path, marks=marks, found=found, verdict="different", note=note)


def in_json(outcome: Outcome) -> Outcome:
    """As JSON says it: a missing number is null."""
    values = tuple(None if isinstance(v, float) and math.isnan(v) else v for v in outcome.values)
    return dataclasses.replace(outcome, values=values)


def unsayable(expected: Outcome, found: Outcome) -> Outcome:
    """An infinite answer has no word in JSON: the service gives none, which is not the model's failure."""
    infinite = any(isinstance(value, float) and math.isinf(value) for value in expected.values)
    return (
        Outcome("refused", reason="JSON has no word for its answer") if infinite and found.kind == "raises" else found
    )


# -- what all of them say --------------------------------------------------------------------------------------------


def _probed(
    path: str,
    evidence: Evidence,
    found: Sequence[Outcome],
    tolerance: float,
    environment: Mapping[str, str],
    rows: compare.Rows | None = None,
) -> PathParity:
    assert evidence.probe is not None
    made = path_of(path, rows or evidence.probe.rows, found, tolerance, environment)
    digest = environment_digest(environment)
    return dataclasses.replace(made, inputs=inputs_of(evidence), environment=digest, outputs=digest_of(found))


def inputs_of(evidence: Evidence, *, with_example: bool = False) -> str:
    parts = [evidence.probe.inputs] if evidence.probe is not None else []
    if with_example:
        parts.append(evidence.example.content or evidence.example.digest)
    return parts[0] if len(parts) == 1 else hashlib.sha256("\n".join(parts).encode()).hexdigest()


def environment_digest(environment: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(sorted(environment.items()))).encode()).hexdigest()
