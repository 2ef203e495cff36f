"""Somebody's client, held against the probe set: do its rows arrive as it has them, and do the answers come back right?

A client is a function that writes a body of MLflow's protocol (`/invocations`) from a table. Many lose digits on the
way: `frame.to_json` keeps ten of them. Each row is written by itself; what stands in the body is compared with the row,
value by value, and what the package's service answers with what the notebook's object answers.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nb2prod.core.errors import NotProved, UsageError
from nb2prod.core.outcome import Outcome
from nb2prod.core.parity import DIFFERENT, INVOCATIONS, PathParity, RowFound
from nb2prod.stages.certificate import certify, paths, service, spelling
from nb2prod.stages.certificate.compare import TOLERANCE, path_of
from nb2prod.stages.certificate.paths import Evidence, in_json
from nb2prod.stages.certificate.service import Spoken
from nb2prod.stages.proof import Prover
from nb2prod.storage.row_answers import part

PATH = "client"
LOSES = "the client does not send the rows that it has"
Client = Callable[[Any], bytes | str]


def check_client(prover: Prover, evidence: Evidence, runtime: str, client: Client) -> PathParity:
    """The client's path to an answer. Raises NotProved for a package without a probe set, and when the service refuses
    every real row; UsageError for a client that writes no body.
    """
    probe = evidence.probe
    if probe is None:
        raise NotProved("the package has no probe set to hold a client against", where=str(evidence.package))
    sayable = spelling.rows_of(probe.table)
    bodies = [_body(client, part(probe.table, row, row + 1)) for row in range(probe.count)]
    with service.served(prover, evidence.package, runtime) as at:
        found = list(_answers(at, bodies))
        environment = at.environment
    rows = dataclasses.replace(probe.rows, expected=[in_json(one) for one in probe.rows.expected])
    tolerance = paths.translated(evidence.package) if runtime == "onnx" else TOLERANCE
    found = [paths.unsayable(one, other) for one, other in zip(probe.rows.expected, found, strict=True)]
    _refuse_unread(found[: rows.real])
    path = path_of(PATH, rows, found, tolerance, environment)
    lost = [
        RowFound(row, rows.what[row], DIFFERENT, *changed)
        for row, body in enumerate(bodies)
        if sayable[row] is not None and (changed := arrived_otherwise(sayable[row], body))
    ]
    return _with_lost(path, lost)


def _refuse_unread(real: Sequence[Outcome]) -> None:
    """A refusal is no wrong answer, but who is always refused has proved nothing."""
    if all(one.kind == "refused" for one in real):
        raise NotProved(
            f"the service refuses every row that the client sends: {real[0].reason}",
            fix='write a body of MLflow\'s protocol, as {"dataframe_split": …}',
        )


def _with_lost(path: PathParity, lost: Sequence[RowFound]) -> PathParity:
    if not lost:
        return path
    there = {one.row for one in lost}
    marks = "".join(DIFFERENT if row in there else mark for row, mark in enumerate(path.marks))
    found = (*lost, *(one for one in path.found if one.row not in there))
    return dataclasses.replace(path, marks=marks, found=found, verdict="different", note=LOSES)


def differs(path: PathParity) -> str:
    """What is wrong with the client, with the first row."""
    if path.note != LOSES:
        return certify.differs(path)
    first = path.found[0]
    told = f"for {first.what!r} it sends {first.found}, not {first.expected}"
    return f"{LOSES}: {told} ({path.marks.count(DIFFERENT)} of {len(path.marks)} rows of the probe set)"


def _body(client: Client, rows: Any) -> bytes:
    try:
        body = client(rows)
    except Exception as error:
        raise UsageError(f"the client fails on a row of the probe set: {type(error).__name__}: {error}") from error
    if not isinstance(body, bytes | str):
        raise UsageError(f"the client writes a {type(body).__name__}", fix="return the body as text or bytes")
    return body.encode() if isinstance(body, str) else body


def _answers(at: service.Served, bodies: Sequence[bytes]) -> Iterator[Outcome]:
    connection = http.client.HTTPConnection("127.0.0.1", at.port, timeout=service.SECONDS)
    spoken: Spoken = service.SPOKEN[INVOCATIONS](at.model, ())
    try:
        for body in bodies:
            yield service.answered(connection, spoken, body, 1)[0]
    finally:
        connection.close()


def arrived_otherwise(row: Any, body: bytes) -> tuple[str, str] | None:
    """The first value that stands otherwise in a body of one row: as it is, and as it stands there."""
    try:
        sent = _row_in(json.loads(body), row)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None  # what nobody can read, the service refuses
    pairs = row.items() if isinstance(row, dict) else enumerate(row)
    for name, value in pairs:
        there = sent.get(name) if isinstance(sent, dict) else sent[name]
        if type(there) is not type(value) and isinstance(there, float | int) and isinstance(value, float | int):
            there = float(there) if isinstance(value, float) and not isinstance(there, bool) else there
        if there != value and not _both_missing(there, value):
            return f"{name}: {value!r}", f"{name}: {there!r}"
    return None


def _both_missing(one: Any, other: Any) -> bool:
    return all(value is None or (isinstance(value, float) and math.isnan(value)) for value in (one, other))


def _row_in(payload: Any, row: Any) -> Any:
    """The one row of a body in any of the formats of MLflow's protocol."""
    if "dataframe_split" in payload:
        split = payload["dataframe_split"]
        first = split["data"][0]
        return dict(zip(split["columns"], first, strict=True)) if isinstance(row, dict) else first
    if "dataframe_records" in payload:
        return payload["dataframe_records"][0]
    found = payload.get("instances", payload.get("inputs"))
    if isinstance(found, dict):
        return {name: values[0] for name, values in found.items()}
    return found[0]
