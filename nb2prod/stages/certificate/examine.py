"""A package's certificate computed again, here: what is as it was certified, and what is not, by path and row.

What can be tried offline is tried: the model in a fresh process, its translation, the service in its three protocols,
batch scoring. What must hold, for each path that the certificate has:

    its answers     those of the notebook's object, within the path's tolerance, on every row that it is asked about
    its refusals    the same rows are refused as when it was certified
    its libraries   of the versions with which it was certified: equal numbers are luck with any others

Last digits may be others than certified, as on another processor: that is noted. A path that cannot be tried here,
because a library of it is not installed, is noted too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nb2prod.core.errors import UsageError
from nb2prod.core.parity import BATCH, FRESH, ONNX, PATHS, REFUSED, SERVICE, LeftOut, Parity, PathParity
from nb2prod.stages.certificate import paths
from nb2prod.stages.certificate.certify import Way, assembled, differs, where
from nb2prod.stages.certificate.paths import Evidence, Found
from nb2prod.stages.proof import Prover

OFFLINE = (FRESH, ONNX, *SERVICE, BATCH)
NOT_LIBRARIES = ("python", "platform", "service")


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the package does not hold: the path, the row (None when it is about all of them), and what it is."""

    path: str
    what: str
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Examined:
    """`found` is the certificate as it is here; `stated` as the package has it."""

    stated: Parity
    found: Parity
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.problems


def wanted_of(stated: Parity, only: Iterable[str]) -> tuple[str, ...]:
    """The paths to try. Raises UsageError for one that the certificate has not, or that needs more than the package."""
    certified = [path.path for path in stated.paths]
    for name in only:
        if name not in PATHS:
            raise UsageError(f"there is no path {name!r}", fix=f"one of: {', '.join(OFFLINE)}")
        if name not in certified:
            left = next((one.reason for one in stated.left_out if one.path == name), "it was not tried")
            raise UsageError(f"the certificate has no path {name}: {left}", fix=f"one of: {', '.join(certified)}")
        if name not in OFFLINE:
            raise UsageError(f"the path {name} needs more than the package", fix="prove it with nb2prod package again")
    return tuple(name for name in certified if name in OFFLINE and (not only or name in tuple(only)))


def examine(
    requirements: Iterable[str],
    stated: Parity,
    evidence: Evidence,
    *,
    only: Iterable[str] = (),
    other_versions: bool = False,
    batch: Way | None = None,
) -> Examined:
    """Try the paths of a certificate again. `other_versions` makes other libraries a note where the numbers hold."""
    wanted = wanted_of(stated, tuple(only))
    runtime = "onnx" if stated.path(ONNX) is not None else "mlflow"
    environment: Mapping[str, str] = {}
    found: list[Found] = []
    with Prover(requirements if FRESH in wanted or runtime == "mlflow" else None) as prover:
        if FRESH in wanted:
            paths.begin_fresh(prover, evidence)
            first, environment = paths.fresh(prover, evidence)
            found.append(first)
        if ONNX in wanted:
            found.append(paths.onnx(prover, evidence))
        found += paths.services(prover, evidence, runtime, [name for name in SERVICE if name in wanted])
    if BATCH in wanted and batch is not None:
        found.append(batch(evidence))
    told = [one for here in found for one in _against(stated, here)]
    versions = list(versions_of(stated, found, requirements))
    problems = [one for one in told if isinstance(one, Problem)]
    notes = [one for one in told if isinstance(one, str)]
    if other_versions and not problems:
        notes += [one.what for one in versions]
    else:
        problems += versions
    left = {one.path: one for one in (*stated.left_out, *_untried(stated, wanted))}
    there = {one.path for one in found}
    whole = assembled(evidence, environment, [*found, *(one for name, one in left.items() if name not in there)])
    return Examined(stated, whole, (*_other_evidence(stated, whole), *problems), tuple(notes))


def _untried(stated: Parity, wanted: tuple[str, ...]) -> Iterator[LeftOut]:
    for path in stated.paths:
        if path.path not in OFFLINE:
            yield LeftOut(path.path, f"certified as {path.verdict}; to try it again takes more than the package")
        elif path.path not in wanted:
            yield LeftOut(path.path, "not asked for")


def _other_evidence(stated: Parity, found: Parity) -> Iterator[Problem]:
    """The example, the predictions and the probe set are those that the certificate is about."""
    if (stated.input_digest, stated.output_digest) != (found.input_digest, found.output_digest):
        yield Problem("", "parity.json is about another example or other predictions")
    if stated.probe != found.probe:
        yield Problem("", "parity.json is about another probe set")


def _against(stated: Parity, found: Found) -> Iterator[Problem | str]:
    certified = stated.path(found.path)
    assert certified is not None  # only those are tried
    if isinstance(found, LeftOut):
        if "not installed" in found.reason:
            yield f"{found.path}: not tried here, {found.reason}"
        else:
            yield Problem(found.path, f"on the path {found.path} nothing is answered any more: {found.reason}")
        return
    if not found.holds:
        row = next((one.row for one in found.found if one.mark == "x"), None)
        yield Problem(found.path, differs(found), row)
        return
    if certified.inputs and certified.inputs != found.inputs:
        yield Problem(found.path, f"{where(found.path)} was certified with other rows than it has")
        return
    yield from _refusals(certified, found)
    if (certified.outputs and certified.outputs != found.outputs) or certified.exact != found.exact:
        yield f"{found.path}: within its tolerance, but with other last digits than certified (by {found.ulps} ulp)"


def _refusals(certified: PathParity, found: PathParity) -> Iterator[Problem]:
    rows = {one.row: one for one in (*certified.found, *found.found)}
    for row, (before, now) in enumerate(zip(certified.marks, found.marks, strict=False)):
        if (before == REFUSED) != (now == REFUSED):
            what = rows[row].what if row in rows else f"row {row} of the probe set"
            said = "is answered, and was refused" if before == REFUSED else "is refused, and was answered"
            yield Problem(found.path, f"{where(found.path)} is another: {what!r} {said} when it was certified", row)
            return


# -- versions --------------------------------------------------------------------------------------------------------


def versions_of(stated: Parity, found: Sequence[Found], requirements: Iterable[str]) -> Iterator[Problem]:
    """Libraries of another version than the path was certified with, once for all paths that have it."""
    others: dict[tuple[str, str, str], list[str]] = {}
    for one in found:
        certified = stated.path(one.path)
        if certified is None or isinstance(one, LeftOut):
            continue
        proved = dict(certified.versions)
        if one.path == FRESH:
            proved = {**_pins(requirements), **proved}
        for library, version in proved.items():
            here = one.versions.get(library) or _installed(library)
            if library not in NOT_LIBRARIES and here != version:
                others.setdefault((library, version, here), []).append(one.path)
    for (library, version, here), where_found in others.items():
        tried = [one for one in found if isinstance(one, PathParity) and one.path in where_found]
        numbers = "the numbers are equal" if all(one.verdict == "equal" for one in tried) else "the numbers hold"
        said = numbers if all(one.holds for one in tried) else "the answers differ"
        names = ", ".join(where_found)
        yield Problem(
            where_found[0],
            f"on the path {names}: {said}, but proved with {library} {version}, here is {here or 'none'}",
        )


def _pins(requirements: Iterable[str]) -> dict[str, str]:
    return {name: version for name, _, version in (pin.partition("==") for pin in requirements) if version}


def _installed(library: str) -> str:
    from nb2prod.storage import requirements

    return requirements.pin(library).partition("==")[2]
