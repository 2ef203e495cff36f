"""From a body to an answer, in any of three protocols: `/predict`, `/invocations` and `/v2` differ in spelling only.

A protocol reads a body into the rows that it asks about, and writes the model's answer. Between the two all rows take
the same way: small requests are read where they arrive and answered there by a model that takes microseconds, else by
a thread, alone or with others that wait (`batches`); a large body goes to a thread as a whole, so that the event loop
never works long.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from . import answers, protocol, strict_json
from .batches import ROWS, Batches
from .errors import FieldProblem, Refusal
from .rows import Rows, Validator
from .scorer import Outside
from .service import Service
from .signature import Kind, Signature

_SMALL = 16_384  # bytes: read within a fraction of a millisecond


@dataclass(frozen=True, slots=True)
class Question:
    """Validated rows. With `fill`, an optional column that no row has is there, empty. `wish` is the protocol's own."""

    rows: Rows
    fill: bool = True
    parameters: Mapping[str, Any] | None = None
    wish: Any = None


class Spoken(Protocol):
    """How a protocol reads and writes. `raw` is None when there are no rows."""

    def read(self, body: bytes) -> Question: ...

    def write(self, question: Question, raw: Any) -> bytes: ...


class Scoring:
    """Answers questions with the service's model."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._batches = Batches(service)

    async def answer(self, spoken: Spoken, body: bytes) -> bytes:
        run = self._service.workers.run
        if len(body) > _SMALL:
            return await run(functools.partial(self._whole, spoken, body))
        question = spoken.read(body)
        rows, scorer = question.rows, self._service.scorer
        if not rows:
            raw = None
        elif len(rows) <= scorer.small:
            try:
                raw = self._predicted(question)
            except Outside as outside:
                raw = await run(functools.partial(self._service.predict_outside, rows, outside))
        elif scorer.together and len(rows) <= ROWS and question.fill and not question.parameters:
            raw = await self._batches.predict(rows)
        else:
            raw = await run(functools.partial(self._predicted_anyhow, question))
        return spoken.write(question, raw)

    def _whole(self, spoken: Spoken, body: bytes) -> bytes:
        question = spoken.read(body)
        return spoken.write(question, self._predicted_anyhow(question) if question.rows else None)

    def _predicted_anyhow(self, question: Question) -> Any:
        """On a thread, where the model itself may be loaded for rows that its translation leaves to it."""
        try:
            return self._predicted(question)
        except Outside as outside:
            return self._service.predict_outside(question.rows, outside)

    def _predicted(self, question: Question) -> Any:
        try:
            return self._service.predict(question.rows, fill=question.fill, parameters=question.parameters)
        except Refusal as refusal:
            raise _blaming_left_out(refusal, question, self._service.folder.signature) from None


def _blaming_left_out(refusal: Refusal, question: Question, signature: Signature | None) -> Refusal:
    """MLflow hands a model no optional column that no row has: what then fails, the caller can put right."""
    if question.fill or refusal.status != 500 or signature is None:
        return refusal
    optional = [column.name for column in signature.columns if column.name and not column.required]
    left_out = [name for name in optional if not any(name in row for row in question.rows)]
    reason = "left out, and the model failed; null says that it is missing"
    return Refusal(422, refusal.reason, tuple(FieldProblem(name, reason) for name in left_out)) if left_out else refusal


class Typed:
    """`/predict`: rows of the signature's types."""

    def __init__(self, service: Service, signature: Signature, validator: Validator) -> None:
        self._service = service
        self._signature = signature
        self._validator = validator
        self._finite = has_untyped(signature)
        folder = service.folder
        self._model = {"name": folder.name, "version": folder.version, "digest": folder.digest}

    def read(self, body: bytes) -> Question:
        payload = strict_json.parse(body, depth=self._service.limits.json_depth, finite=self._finite)
        if not isinstance(payload, dict) or payload.keys() != {"rows"} or not isinstance(payload["rows"], list):
            raise Refusal(422, 'the body must be {"rows": [...]}')
        check_size(payload["rows"], self._service)
        return Question(self._validator.rows(payload["rows"]))

    def write(self, question: Question, raw: Any) -> bytes:
        found = [] if raw is None else answers.predictions(raw)
        if not isinstance(found, list) or len(found) != len(question.rows):
            raise self._service.failed(answers.CannotAnswer("not one prediction for each row"))
        return encoded(self._service, {"predictions": found, "model": self._model})


class Invoked:
    """`/invocations`: MLflow's protocol, for a model with a signature."""

    def __init__(self, service: Service, signature: Signature, validator: Validator, media: str) -> None:
        self._service = service
        self._signature = signature
        self._validator = validator
        self._media = media
        self._finite = has_untyped(signature)

    def read(self, body: bytes) -> Question:
        if self._media == "text/csv":
            rows, parameters = protocol.rows_of_csv(body, self._signature), None
        else:
            payload = strict_json.parse(body, depth=self._service.limits.json_depth, finite=self._finite)
            format, data, given = protocol.unpack(payload)
            parameters = self._validator.parameters(given) if given is not None else None
            rows = protocol.rows_of(format, data, self._signature)
        check_size(rows, self._service)
        return Question(self._validator.rows(rows), fill=False, parameters=parameters)

    def write(self, question: Question, raw: Any) -> bytes:
        return encoded(self._service, {"predictions": [] if raw is None else answers.predictions(raw)})


def invoke_unchecked(service: Service, body: bytes) -> bytes:
    """`/invocations` of a model without signature: it takes what MLflow's own server would hand it."""
    payload = strict_json.parse(body, depth=service.limits.json_depth, finite=True)
    format, data, given = protocol.unpack(payload)
    if given is not None:
        raise Refusal(422, "the model has no signature, and so no params")
    made = protocol.unchecked(format, data)
    count = len(next(iter(made.values()))) if isinstance(made, dict) and made else len(made) if made.ndim else 1
    if count > service.limits.rows:
        raise too_many(service)
    return encoded(
        service, {"predictions": answers.predictions(service.predict_unchecked(made, count)) if count else []}
    )


def encoded(service: Service, answer: Mapping[str, Any]) -> bytes:
    try:
        return answers.encode(answer)
    except answers.CannotAnswer as error:
        raise service.failed(error) from None


def check_size(rows: list[Any], service: Service) -> None:
    if len(rows) > service.limits.rows:
        raise too_many(service)


def too_many(service: Service) -> Refusal:
    return Refusal(413, f"there are more than {service.limits.rows} rows")


@functools.cache
def has_untyped(signature: Signature) -> bool:
    """Whether a value may be anything: then its type cannot keep out a NaN, and the parser must."""

    def untyped(kind: Kind) -> bool:
        inner = [kind.item] if kind.item else [p.kind for p in kind.properties]
        return kind.name == "any" or any(map(untyped, inner))

    plain_arrays = all(tensor.dtype.startswith(("float", "int", "uint", "bool")) for tensor in signature.tensors)
    kinds = [column.kind for column in signature.columns] + [param.kind for param in signature.parameters]
    return not plain_arrays or any(map(untyped, kinds))
