"""The application: three ways to ask for predictions, a page for people, and what an operator asks.

`POST /predict` takes rows typed by the model's signature, `POST /invocations` MLflow's own protocol, `/v2` the Open
Inference Protocol; all refuse the same rows for the same reasons. `/livez` and `/readyz` are for probes, `/metrics`
for Prometheus, `/openapi.json` and `/docs` for people and generators of clients, `/` for trying the model out.

It is plain ASGI: with ten fixed routes and types that come from the model, a framework's routing and reading of
requests would only be passed by, and importing one takes longer than loading a translated model.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from . import inference, openapi, pages
from .answers import encode
from .errors import Refusal
from .gate import Answer, Asked, Gate, Receive, Route, Scope, Send, read_body
from .limits import Limits
from .loading import load_fastest
from .package_folder import open_folder
from .rows import Validator
from .scorer import Loader
from .scoring import Invoked, Scoring, Typed, invoke_unchecked
from .service import Service

_TEXT = "text/plain; charset=utf-8"
_JSON = "application/json"
_WAIT = (("retry-after", "1"),)
_NONE = Route("other", {})
_UNKNOWN_MODEL = Route("/v2/models/{name}", {}, refused=lambda refusal, _: inference.refused(refusal))

Call = Callable[[Asked], Awaitable[Answer]]


def create_app(
    folder: Path, *, limits: Limits | None = None, token: str | None = None, loader: Loader = load_fastest
) -> Application:
    """An application for one model folder, checked before anything of it is loaded.

    The model is loaded when the application starts (its lifespan). With `token`, scoring requires it as a bearer
    token. Raises ServingError when the folder is not whole.
    """
    return Application(Service(open_folder(folder), limits or Limits(), loader), token)


class Application:
    """An ASGI application. `service` is the model behind it."""

    def __init__(self, service: Service, token: str | None) -> None:
        self.service = service
        folder = service.folder
        self.validator = Validator(folder.signature, folder.contract) if folder.signature else None
        self._routes = _routes(service, self.validator, needs_token=token is not None)
        self._gate = Gate(
            self._find,
            digest=folder.digest,
            tally=service.tally,
            token=token,
            is_stopping=lambda: service.stopping,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._gate(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            raise RuntimeError("the service speaks HTTP only")

    def _find(self, path: str) -> Route:
        found = self._routes.get(path)
        if found is None:
            return _UNKNOWN_MODEL if path.startswith("/v2/") else _NONE
        return found

    async def _live(self, receive: Receive, send: Send) -> None:
        try:
            while (await receive())["type"] == "lifespan.startup":
                self.service.start()
                await send({"type": "lifespan.startup.complete"})
        finally:  # also when the server is ended without saying so
            self.service.close()
        await send({"type": "lifespan.shutdown.complete"})


def _routes(service: Service, validator: Validator | None, *, needs_token: bool) -> dict[str, Route]:
    return {
        **_scoring(service, validator),
        **_inference(service, validator),
        **_operation(service),
        **_reading(service, validator, needs_token=needs_token),
    }


def _scoring(service: Service, validator: Validator | None) -> dict[str, Route]:
    signature, scoring = service.folder.signature, Scoring(service)
    typed = Typed(service, signature, validator) if signature and validator else None

    async def predict(asked: Asked) -> Answer:
        if typed is None:
            raise Refusal(404, "the model has no signature, so that its rows have no types; use /invocations")
        _media_type(asked, _JSON)
        return await _answered(asked, service, functools.partial(scoring.answer, typed))

    async def invocations(asked: Asked) -> Answer:
        media = _media_type(asked, _JSON, "text/csv")
        if signature and validator:
            spoken = Invoked(service, signature, validator, media)
            return await _answered(asked, service, functools.partial(scoring.answer, spoken))
        if media != _JSON:
            raise Refusal(415, "CSV needs a model with a signature; send JSON")
        return await _answered(asked, service, _unchecked(service))

    found = (("/predict", predict), ("/invocations", invocations))
    return {path: Route(path, {"POST": call}, guarded=True) for path, call in found}


def _unchecked(service: Service) -> Callable[[bytes], Awaitable[bytes]]:
    return lambda body: service.workers.run(functools.partial(invoke_unchecked, service, body))


async def _answered(asked: Asked, service: Service, work: Callable[[bytes], Awaitable[bytes]]) -> Answer:
    if service.failure is not None or not service.settled.is_set():
        raise Refusal(503, "the model is not loaded", headers=_WAIT)
    limits = service.limits
    service.workers.admit()
    try:
        body = await read_body(asked, limit=limits.body_bytes, seconds=limits.body_seconds)
        return Answer(await work(body))
    finally:
        service.workers.leave()


def _media_type(asked: Asked, *accepted: str) -> str:
    """The body's media type. Raises Refusal (415) for none, another, or a charset that is not UTF-8."""
    given = asked.header(b"content-type")
    if given in accepted:
        return given
    media, *parameters = [part.strip().lower() for part in given.split(";")]
    is_utf8 = all(part in ("", "charset=utf-8", 'charset="utf-8"', "charset=utf8") for part in parameters)
    if media not in accepted or not is_utf8:
        raise Refusal(415, f"the content type must be {' or '.join(accepted)}, in UTF-8")
    return media


def _inference(service: Service, validator: Validator | None) -> dict[str, Route]:
    """The Open Inference Protocol. A path may name the version, which then must be the one that is served."""
    signature, scoring, folder = service.folder.signature, Scoring(service), service.folder
    spoken = inference.Inferred(service, signature, validator) if signature and validator else None

    async def infer(asked: Asked) -> Answer:
        if spoken is None:
            raise Refusal(400, "the model has no signature, so that its tensors have no types; use /invocations")
        _media_type(asked, _JSON)
        return await _answered(asked, service, functools.partial(scoring.answer, spoken))

    async def ready(asked: Asked) -> Answer:
        return _said({"name": folder.name, "ready": service.is_ready}, service.is_ready)

    async def model(asked: Asked) -> Answer:
        return _said(inference.metadata(service))

    async def server(asked: Asked) -> Answer:
        return _said({"name": "nb2prod", "version": folder.version or "0", "extensions": []})

    async def live(asked: Asked) -> Answer:
        return _said({"live": not service.workers.stuck}, not service.workers.stuck)

    async def all_ready(asked: Asked) -> Answer:
        return _said({"ready": service.is_ready}, service.is_ready)

    found = {
        "/v2": _spoken_route("/v2", "GET", server),
        "/v2/health/live": _spoken_route("/v2/health/live", "GET", live),
        "/v2/health/ready": _spoken_route("/v2/health/ready", "GET", all_ready),
    }
    for named in (f"/v2/models/{folder.name}", f"/v2/models/{folder.name}/versions/{folder.version}"):
        found[named] = _spoken_route("/v2/models/{name}", "GET", model)
        found[f"{named}/ready"] = _spoken_route("/v2/models/{name}/ready", "GET", ready)
        found[f"{named}/infer"] = _spoken_route("/v2/models/{name}/infer", "POST", infer, guarded=True)
    return found


def _spoken_route(name: str, method: str, call: Call, *, guarded: bool = False) -> Route:
    return Route(name, {method: call}, guarded=guarded, refused=lambda refusal, _: inference.refused(refusal))


def _said(content: dict[str, Any], is_well: bool = True) -> Answer:
    return Answer(encode(content), 200 if is_well else 503, headers=() if is_well else _WAIT)


def _operation(service: Service) -> dict[str, Route]:
    async def livez(asked: Asked) -> Answer:
        stuck = service.workers.stuck
        return Answer(b"too many predictions hang\n" if stuck else b"ok\n", 503 if stuck else 200, _TEXT)

    async def readyz(asked: Asked) -> Answer:
        return Answer(b"ready\n", 200, _TEXT) if service.is_ready else Answer(b"not ready\n", 503, _TEXT, _WAIT)

    async def metrics(asked: Asked) -> Answer:
        service.tally.write()
        service.metrics.predicting.set(service.workers.admitted)
        service.metrics.lost.set(service.workers.lost)
        service.metrics.ready.set(service.is_ready)
        return Answer(service.metrics.text(), media="text/plain; version=0.0.4; charset=utf-8")

    found = (("/livez", livez), ("/readyz", readyz), ("/metrics", metrics))
    return {path: Route(path, {"GET": call}) for path, call in found}


def _reading(service: Service, validator: Validator | None, *, needs_token: bool) -> dict[str, Route]:
    """What people and generators of clients read. With a token, only who has it sees the example's values."""
    folder = service.folder

    @functools.cache
    def document(with_values: bool) -> bytes:
        made = openapi.document(folder, validator, needs_token=needs_token, with_values=with_values)
        return json.dumps(made, ensure_ascii=False, separators=(",", ":")).encode()

    async def contract(asked: Asked) -> Answer:
        return Answer(document(asked.authorized))

    async def about(asked: Asked) -> Answer:
        if "text/html" in asked.header(b"accept"):
            return pages.answer("form.html")
        return _said(_about(service))

    found = {"/openapi.json": Route("/openapi.json", {"GET": contract}), "/": Route("/", {"GET": about})}
    for path, file in pages.FILES.items():
        found[path] = Route(path, {"GET": _page(file)})
    return found


def _page(file: str) -> Call:
    async def page(asked: Asked) -> Answer:
        return pages.answer(file)

    return page


def _about(service: Service) -> dict[str, Any]:
    folder = service.folder
    named = ("predict", "invocations", "livez", "readyz", "metrics", "docs")
    links = {name: f"/{name}" for name in named} | {
        "openapi": "/openapi.json",
        "infer": openapi.infer_path(folder.name),
    }
    about = {"name": folder.name, "version": folder.version, "digest": folder.digest}
    return {**about, "runtime": service.runtime, "links": links}
