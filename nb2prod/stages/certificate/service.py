"""The paths `service predict`, `service invocations`, `service v2`: real HTTP on the loopback, in the three protocols.

The package's own service answers, in a process of its own (`_prove`). Rows go in as JSON as a careful client writes it
(`spelling`). Refused is what the service turns down with 4xx, or what JSON has no word for. Beside the notebook's
object each answer is compared with the very model that the service asks, in the same process on the same rows: between
the two there is only JSON, so not a bit may differ.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nb2prod.core.errors import NotProved
from nb2prod.core.outcome import Outcome, OutcomeKind
from nb2prod.core.parity import INVOCATIONS, PREDICT, SERVICE, V2
from nb2prod.stages.proof import Prover
from nb2prod.storage.row_answers import NoRows, asked_apart, rows_of_answer

NO_WORD = "JSON has no word for it"
SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Served:
    """A service that answers: its port on the loopback, the model's name, its libraries."""

    port: int
    model: str
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A protocol: where to post rows, how they are written, and how the answers are read."""

    path: str
    body: Callable[[Sequence[Any]], Any]
    answers: Callable[[Any, int], list[tuple[Any, ...]]]


@contextmanager
def served(prover: Prover, package: Path, runtime: str) -> Iterator[Served]:
    """The package's service, loaded and listening. Raises NotProved when it does not start."""
    prover.send(package, "serve", runtime=runtime)
    reply = prover.reply(package)
    if "error" in reply:
        raise NotProved(f"the package's service does not start: {reply['error']}", where=str(package))
    try:
        yield Served(int(reply["port"]), str(reply["model"]), reply["environment"])
    finally:
        prover.send(package, "stop")
        prover.reply(package)


def outcomes(at: Served, name: str, rows: Sequence[Any], real: int, inputs: Sequence[Mapping[str, Any]]) -> Groups:
    """What one protocol makes of the rows, the real ones at once, the others together until one is turned down."""
    spoken = SPOKEN[name](at.model, inputs)
    connection = http.client.HTTPConnection("127.0.0.1", at.port, timeout=SECONDS)
    groups: list[tuple[int, int]] = []

    def ask(start: int, stop: int) -> list[Outcome]:
        found = _posted(connection, spoken, rows[start:stop])
        if found and all(one.kind == "answer" for one in found):
            groups.append((start, stop))
        return found

    try:
        found = [*asked_apart(ask, 0, real), *asked_apart(ask, real, len(rows))]
    finally:
        connection.close()
    return Groups(tuple(found), tuple(groups))


@dataclass(frozen=True, slots=True)
class Groups:
    """Outcomes, and which rows were answered together, as (start, stop)."""

    outcomes: tuple[Outcome, ...]
    groups: tuple[tuple[int, int], ...]


def inputs_of(at: Served) -> list[Mapping[str, Any]]:
    """Names and datatypes of the model's inputs, as the Open Inference Protocol tells them."""
    connection = http.client.HTTPConnection("127.0.0.1", at.port, timeout=SECONDS)
    try:
        connection.request("GET", f"/v2/models/{quote(at.model)}")
        found = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return list(found["inputs"])


def _posted(connection: http.client.HTTPConnection, spoken: Spoken, rows: Sequence[Any]) -> list[Outcome]:
    if any(row is None for row in rows):
        return [Outcome("refused", reason=NO_WORD)] * len(rows)
    return answered(connection, spoken, json.dumps(spoken.body(rows), allow_nan=False).encode(), len(rows))


def answered(connection: http.client.HTTPConnection, spoken: Spoken, body: bytes, count: int) -> list[Outcome]:
    """What the service makes of a body with `count` rows."""
    connection.request("POST", spoken.path, body, {"content-type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status >= 400:
        kind: OutcomeKind = "refused" if response.status < 500 else "raises"
        return [Outcome(kind, reason=_reason(content) if kind == "refused" else f"HTTP {response.status}")] * count
    try:
        return [Outcome("answer", values) for values in spoken.answers(json.loads(content), count)]
    except (NoRows, KeyError, TypeError, ValueError) as error:
        return [Outcome("raises", reason=f"an answer that cannot be read: {error}")] * count


def _reason(content: bytes) -> str:
    """Why a request was turned down, by its first field."""
    try:
        told = json.loads(content)
    except ValueError:
        return "no reason was given"
    error = told.get("error") or {}
    if not isinstance(error, dict):
        return str(error)
    fields = [f"{one.get('field')}: {one.get('reason')}" for one in error.get("fields") or ()]
    return str(fields[0] if fields else error.get("reason"))


# -- the protocols ---------------------------------------------------------------------------------------------------


def _predict(model: str, inputs: Sequence[Mapping[str, Any]]) -> Spoken:
    return Spoken("/predict", lambda rows: {"rows": list(rows)}, lambda body, n: rows_of_answer(body["predictions"], n))


def _invocations(model: str, inputs: Sequence[Mapping[str, Any]]) -> Spoken:
    def body(rows: Sequence[Any]) -> Any:
        if not isinstance(rows[0], dict):
            return {"instances": list(rows)}
        return {"dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}}

    return Spoken("/invocations", body, lambda body, n: rows_of_answer(body["predictions"], n))


def _v2(model: str, inputs: Sequence[Mapping[str, Any]]) -> Spoken:
    def body(rows: Sequence[Any]) -> Any:
        return {"inputs": [_tensor(one, rows) for one in inputs]}

    return Spoken(f"/v2/models/{quote(model)}/infer", body, _v2_answers)


def _tensor(one: Mapping[str, Any], rows: Sequence[Any]) -> dict[str, Any]:
    data = [row[one["name"]] for row in rows] if isinstance(rows[0], dict) else list(rows)
    shape = [len(rows), *(size if size >= 0 else len(data[0]) for size in one["shape"][1:])]
    return {"name": one["name"], "datatype": one["datatype"], "shape": shape, "data": data}


def _v2_answers(body: Any, count: int) -> list[tuple[Any, ...]]:
    """The tensors of an answer side by side, as the columns of a table."""
    columns = []
    for output in body["outputs"]:
        data, width = output["data"], 1
        for size in output["shape"][1:]:
            width *= size
        if output["shape"][0] != count or len(data) != count * width:
            raise NoRows(f"{output['shape']} for {count} rows")
        columns.append([data[row * width : (row + 1) * width] for row in range(count)])
    return [tuple(value for part in row for value in part) for row in zip(*columns, strict=True)]


SPOKEN: Mapping[str, Callable[[str, Sequence[Mapping[str, Any]]], Spoken]] = {
    PREDICT: _predict,
    INVOCATIONS: _invocations,
    V2: _v2,
}
assert tuple(SPOKEN) == SERVICE
