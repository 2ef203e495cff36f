"""The application: two ways to ask for predictions, and what an operator asks.

`POST /predict` takes rows typed by the model's signature, `POST /invocations` MLflow's own protocol; both refuse the
same rows for the same reasons. `/livez` and `/readyz` are for probes, `/metrics` for Prometheus, `/openapi.json` for
people and generators of clients.
"""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from . import answers, openapi, protocol, strict_json
from .errors import FieldProblem, Refusal
from .gate import Gate, header, read_body, refused
from .limits import Limits
from .package_folder import open_folder
from .rows import Validator, table
from .scorer import Loader, MlflowScorer
from .service import Service
from .signature import Kind, Signature

_TEXT = "text/plain; charset=utf-8"


def create_app(
    folder: Path, *, limits: Limits | None = None, token: str | None = None, loader: Loader = MlflowScorer
) -> FastAPI:
    """An application for one model folder, checked before anything of it is loaded.

    The model is loaded when the application starts (its lifespan). With `token`, scoring requires it as a bearer
    token. Raises ServingError when the folder is not whole.
    """
    service = Service(open_folder(folder), limits or Limits(), loader)
    signature = service.folder.signature
    app = FastAPI(
        title=service.folder.name,
        version=service.folder.version or "0",
        lifespan=functools.partial(_lifespan, service),
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.router.redirect_slashes = False
    app.state.service = service
    app.add_middleware(
        Gate,
        digest=service.folder.digest,
        metrics=service.metrics,
        token=token,
        is_stopping=lambda: service.stopping,
    )
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(HTTPException, _on_http)
    validator = Validator(signature) if signature else None
    _add_scoring(app, service, validator)
    _add_operations(app, service)
    app.openapi = functools.cache(  # type: ignore[method-assign]
        lambda: openapi.document(app, service.folder, validator, needs_token=token is not None)
    )
    return app


@asynccontextmanager
async def _lifespan(service: Service, _app: FastAPI) -> AsyncIterator[None]:
    service.start()
    try:
        yield
    finally:
        service.close()


def _add_scoring(app: FastAPI, service: Service, validator: Validator | None) -> None:
    signature = service.folder.signature
    model = {"name": service.folder.name, "version": service.folder.version, "digest": service.folder.digest}

    @app.post("/predict", summary="Predictions for typed rows", tags=["scoring"])
    async def predict(request: Request) -> Response:
        if signature is None or validator is None:
            raise Refusal(404, "the model has no signature, so that its rows have no types; use /invocations")
        _media_type(request, "application/json")
        work = functools.partial(_predict, service, signature, validator, model)
        return await _scored(request, service, work)

    @app.post("/invocations", summary="Predictions through MLflow's protocol", tags=["scoring"])
    async def invocations(request: Request) -> Response:
        media = _media_type(request, "application/json", "text/csv")
        work = functools.partial(_invoke, service, validator, media)
        return await _scored(request, service, work)


async def _scored(request: Request, service: Service, work: Callable[[bytes], bytes]) -> Response:
    if service.failure is not None or not service.settled.is_set():
        raise Refusal(503, "the model is not loaded", headers=(("retry-after", "1"),))
    limits = service.limits
    with service.workers.admission():
        body = await read_body(request.scope, request.receive, limit=limits.body_bytes, seconds=limits.body_seconds)
        answer = await service.workers.run(functools.partial(work, body))
    return Response(answer, media_type="application/json")


def _predict(service: Service, signature: Signature, validator: Validator, model: dict[str, str], body: bytes) -> bytes:
    payload = strict_json.parse(body, depth=service.limits.json_depth, finite=_has_untyped(signature))
    if not isinstance(payload, dict) or payload.keys() != {"rows"} or not isinstance(payload["rows"], list):
        raise Refusal(422, 'the body must be {"rows": [...]}')
    _check_count(payload["rows"], service)
    rows = validator.rows(payload["rows"])
    predictions: Any = []
    if rows:
        predictions = answers.predictions(service.predict(table(rows, signature, fill=True), len(rows)))
        if not isinstance(predictions, list) or len(predictions) != len(rows):
            raise service.failed(answers.CannotAnswer("not one prediction for each row"))
    return _encoded(service, {"predictions": predictions, "model": model})


def _invoke(service: Service, validator: Validator | None, media: str, body: bytes) -> bytes:
    signature = service.folder.signature
    params: dict[str, Any] | None = None
    if media == "text/csv":
        if signature is None:
            raise Refusal(415, "CSV needs a model with a signature; send JSON")
        rows = protocol.rows_of_csv(body, signature)
    else:
        untyped = signature is None or _has_untyped(signature)
        payload = strict_json.parse(body, depth=service.limits.json_depth, finite=untyped)
        format, data, given = protocol.unpack(payload)
        if signature is None or validator is None:
            return _invoke_unchecked(service, format, data, given)
        params = validator.parameters(given) if given is not None else None
        rows = protocol.rows_of(format, data, signature)
    assert signature is not None  # for the type checker: both branches above have seen to it
    assert validator is not None
    _check_count(rows, service)
    rows = validator.rows(rows)
    if not rows:
        return _encoded(service, {"predictions": []})
    try:
        raw = service.predict(table(rows, signature, fill=False), len(rows), params)
    except Refusal as refusal:
        raise _blaming_left_out(refusal, rows, signature) from None
    return _encoded(service, {"predictions": answers.predictions(raw)})


def _blaming_left_out(refusal: Refusal, rows: list[Any], signature: Signature) -> Refusal:
    """MLflow hands a model no optional column that no row has: what then fails, the caller can put right."""
    optional = [column.name for column in signature.columns if column.name and not column.required]
    left_out = [name for name in optional if not any(name in row for row in rows)]
    if refusal.status != 500 or not left_out:
        return refusal
    fields = tuple(
        FieldProblem(name, "left out, and the model failed; null says that it is missing") for name in left_out
    )
    return Refusal(422, refusal.reason, fields)


def _invoke_unchecked(service: Service, format: str, data: Any, params: Any) -> bytes:
    if params is not None:
        raise Refusal(422, "the model has no signature, and so no params")
    made = protocol.unchecked(format, data)
    count = len(next(iter(made.values()))) if isinstance(made, dict) and made else len(made) if made.ndim else 1
    if count > service.limits.rows:
        raise _too_many(service)
    return _encoded(service, {"predictions": answers.predictions(service.predict(made, count)) if count else []})


def _encoded(service: Service, answer: dict[str, Any]) -> bytes:
    try:
        return answers.encode(answer)
    except answers.CannotAnswer as error:
        raise service.failed(error) from None


def _check_count(rows: list[Any], service: Service) -> None:
    if len(rows) > service.limits.rows:
        raise _too_many(service)


def _too_many(service: Service) -> Refusal:
    return Refusal(413, f"there are more than {service.limits.rows} rows")


@functools.cache
def _has_untyped(signature: Signature) -> bool:
    """Whether a value may be anything: then its type cannot keep out a NaN, and the parser must."""

    def untyped(kind: Kind) -> bool:
        inner = [kind.item] if kind.item else [p.kind for p in kind.properties]
        return kind.name == "any" or any(map(untyped, inner))

    plain_arrays = all(tensor.dtype.startswith(("float", "int", "uint", "bool")) for tensor in signature.tensors)
    kinds = [column.kind for column in signature.columns] + [param.kind for param in signature.parameters]
    return not plain_arrays or any(map(untyped, kinds))


def _media_type(request: Request, *accepted: str) -> str:
    """The body's media type. Raises Refusal (415) for none, another, or a charset that is not UTF-8."""
    media, *parameters = [part.strip().lower() for part in header(request.scope, b"content-type").split(";")]
    is_utf8 = all(part in ("", "charset=utf-8", 'charset="utf-8"', "charset=utf8") for part in parameters)
    if media not in accepted or not is_utf8:
        raise Refusal(415, f"the content type must be {' or '.join(accepted)}, in UTF-8")
    return media


def _add_operations(app: FastAPI, service: Service) -> None:
    folder = service.folder

    @app.get("/livez", summary="Whether the process should live on", tags=["operation"])
    async def livez() -> Response:
        stuck = service.workers.stuck
        return Response("too many predictions hang\n" if stuck else "ok\n", 503 if stuck else 200, media_type=_TEXT)

    @app.get("/readyz", summary="Whether to send requests", tags=["operation"])
    async def readyz() -> Response:
        if service.is_ready:
            return Response("ready\n", media_type=_TEXT)
        return Response("not ready\n", 503, media_type=_TEXT, headers={"retry-after": "1"})

    @app.get("/metrics", summary="For Prometheus", tags=["operation"])
    async def metrics() -> Response:
        service.metrics.predicting.set(service.workers.admitted)
        service.metrics.lost.set(service.workers.lost)
        service.metrics.ready.set(service.is_ready)
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/", summary="What is served", tags=["operation"])
    async def about() -> Response:
        links = {name: f"/{name}" for name in ("predict", "invocations", "livez", "readyz", "metrics", "docs")}
        about = {"name": folder.name, "version": folder.version, "digest": folder.digest}
        content = {**about, "links": {**links, "openapi": "/openapi.json"}}
        return Response(json.dumps(content), media_type="application/json")


async def _on_refusal(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, Refusal)
    body = refused(refusal, request.state.request_id)
    return Response(body, refusal.status, dict(refusal.headers), media_type="application/json")


async def _on_http(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, in the form of all other refusals."""
    assert isinstance(error, HTTPException)
    headers = tuple((error.headers or {}).items())
    reasons = {404: "there is nothing here", 405: "not with this method"}
    reason = reasons.get(error.status_code, "the request cannot be answered")
    return await _on_refusal(request, Refusal(error.status_code, reason, headers=headers))
