"""The certificate of a package: what each path made of the example and the probe set, and what is refused for it.

By default the paths that one fresh process can try (`paths`); the others take a run of the notebook or an environment
of their own and are asked for. A path that gives another outcome than the notebook's object is not released: the
translation goes, with the reason; for any other path there is no package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nb2prod.core.errors import NotProved
from nb2prod.core.parity import (
    CLEAN,
    DIFFERENT,
    FRESH,
    ISOLATED,
    ONNX,
    PATHS,
    PROJECT,
    LeftOut,
    Parity,
    PathParity,
    RowFound,
)
from nb2prod.stages.certificate import paths
from nb2prod.stages.certificate.paths import Evidence, Found
from nb2prod.stages.proof import Prover
from nb2prod.storage import digests

WHOLE = (FRESH, CLEAN, ISOLATED, ONNX, PROJECT)  # paths that are asked about every row of the example
NOT_ASKED = "not asked for (--prove all)"
Way = Callable[[Evidence], Found]


def certify(prover: Prover, evidence: Evidence) -> Parity:
    """The certificate, once `paths.begin_fresh` was called, with the paths that a process can try.

    Raises NotProved when a path is not as the notebook's object, naming path and row. A translation that does not hold
    is left out, with the reason.
    """
    first, environment = paths.fresh(prover, evidence)
    found: list[Found] = [held(first)]
    found.append(_translated(paths.onnx(prover, evidence)))
    runtime = "onnx" if isinstance(found[-1], PathParity) else "mlflow"
    found += map(held, paths.services(prover, evidence, runtime))
    return assembled(evidence, environment, found)


def with_further(parity: Parity, evidence: Evidence, further: Sequence[Way]) -> Parity:
    """The certificate with further paths, each tried now. Raises NotProved as `certify` does."""
    found = [held(way(evidence)) for way in further]
    there = {one.path for one in found}
    known: list[Found] = [*parity.paths, *parity.left_out]
    before = [one for one in known if one.path not in there]
    return assembled(evidence, parity.environment, [*before, *found])


def assembled(evidence: Evidence, environment: Any, found: Sequence[Found]) -> Parity:
    tried = tuple(sorted((one for one in found if isinstance(one, PathParity)), key=lambda one: PATHS.index(one.path)))
    left = {one.path: one for one in found if isinstance(one, LeftOut)}
    missing = [name for name in PATHS if name not in left and name not in {one.path for one in tried}]
    left |= {name: LeftOut(name, NOT_ASKED) for name in missing}
    probe = evidence.probe
    return Parity(
        verdict=worst(tried),
        input_digest=evidence.example.content or evidence.example.digest,
        output_digest=digests.digest(evidence.predictions),
        paths=tried,
        environment=dict(environment),
        probe=probe.digest if probe is not None else "",
        left_out=tuple(left[name] for name in PATHS if name in left),
        notes=probe.notes if probe is not None else ("the run kept no probe set: only the example was asked about",),
    )


def worst(tried: Iterable[PathParity]) -> Any:
    there = {one.verdict for one in tried}
    return next((verdict for verdict in ("different", "tolerant", "equal") if verdict in there), "equal")


def held(found: Found) -> Found:
    """Raises NotProved unless the path holds, or was left out."""
    if isinstance(found, LeftOut) or found.holds:
        return found
    raise NotProved(differs(found))


def differs(path: PathParity) -> str:
    """The path, how much differs, and the first row."""
    row = first_difference(path)
    first = f"{row.what!r} is answered {row.found}, not {row.expected}" if row is not None else ""
    if path.exact < path.rows and path.path in WHOLE:
        how = f"by up to {path.difference:g}" if path.relative else f"{path.flips} flipped"
        told = f"for {path.rows - path.exact} of {path.rows} rows ({how})" + (f"; first, {first}" if first else "")
    else:
        told = f"for {path.marks.count(DIFFERENT)} of {len(path.marks)} rows of the probe set; first, {first}"
    note = f"; {path.note}" if path.note else ""
    return f"{where(path.path)} predicts otherwise than the notebook {told}{note}"


def first_difference(path: PathParity) -> RowFound | None:
    return next((row for row in path.found if row.mark == DIFFERENT), None)


def where(path: str) -> str:
    phrase = {FRESH: "in a fresh process", CLEAN: "in a clean environment"}.get(path)
    return f"{phrase} the package" if phrase else f"on the path {path} the package"


def _translated(found: Found) -> Found:
    """A translation that does not hold is left out, and so is not kept."""
    if isinstance(found, LeftOut) or found.holds:
        return found
    return LeftOut(ONNX, f"it is not the model: {differs(found)}")
