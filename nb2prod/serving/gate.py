"""What every request passes: it gets an id, is counted and logged, and its answer says which model it came from.

The gate also is the last place where something unforeseen is caught: the caller gets an id that the log has, and
neither of them any data. The log has the exception's type and the lines it passed, never its message, because messages
quote values.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .errors import Refusal
from .metrics import Metrics

log = logging.getLogger("nb2prod.serving")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

SCORING = ("/predict", "/invocations")
ROUTES = (*SCORING, "/", "/livez", "/readyz", "/metrics", "/openapi.json", "/docs")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DRAINED = 100_000_000  # of a body that is too large, so much is read and dropped, that its sender sees the answer


class Gate:
    """ASGI middleware around all routes. `is_stopping` closes connections while the service shuts down."""

    def __init__(
        self, app: Asgi, *, digest: str, metrics: Metrics, token: str | None, is_stopping: Callable[[], bool]
    ) -> None:
        self._app = app
        self._digest = digest
        self._metrics = metrics
        self._token = token
        self._is_stopping = is_stopping

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        route = scope["path"] if scope["path"] in ROUTES else "other"
        given = header(scope, b"x-request-id")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        answer = _Answer(send, self._headers(request_id))
        try:
            await self._guarded(scope, receive, answer, route, request_id)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.request(route, answer.status, seconds)
            log.info("%s %s %s %.1f ms request=%s", _method(scope), route, answer.status, 1000 * seconds, request_id)

    async def _guarded(
        self, scope: MutableMapping[str, Any], receive: Receive, answer: _Answer, route: str, request_id: str
    ) -> None:
        try:
            if route in SCORING:
                self._check_token(scope)
            await self._app(scope, receive, answer)
        except Refusal as refusal:
            await answer.refuse(refusal, request_id)
        except Exception as error:  # noqa: BLE001 - the last place that can keep a stack trace from the caller
            reason = f"something went wrong in the service; the log has it under the id {logged(error)}"
            await answer.refuse(Refusal(500, reason), request_id)

    def _headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        headers = [(b"x-model-digest", self._digest.encode()), (b"x-request-id", request_id.encode())]
        return [*headers, (b"connection", b"close")] if self._is_stopping() else headers

    def _check_token(self, scope: MutableMapping[str, Any]) -> None:
        if self._token is None:
            return
        scheme, _, given = header(scope, b"authorization").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token.encode()):
            raise Refusal(401, "a bearer token is required", headers=(("www-authenticate", "Bearer"),))


class _Answer:
    """`send`, with the gate's headers added and the status kept."""

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self._send = send
        self._headers = headers
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers]
        await self._send(message)

    async def refuse(self, refusal: Refusal, request_id: str) -> None:
        if self.status:  # an answer has begun: there is no other one to give
            return
        body = refused(refusal, request_id)
        headers = [(name.encode(), value.encode()) for name, value in refusal.headers]
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def refused(refusal: Refusal, request_id: str) -> bytes:
    """The JSON that says why: a reason, and the fields with theirs, never a value."""
    fields = [{"row": problem.row, "field": problem.field, "reason": problem.reason} for problem in refusal.fields]
    error = {"status": refusal.status, "reason": refusal.reason, "fields": fields, "request_id": request_id}
    return json.dumps({"error": error}).encode()


def logged(error: BaseException) -> str:
    """Log an error without its message, under an id of its own, which it returns."""
    error_id = uuid.uuid4().hex[:16]
    frames = traceback.extract_tb(error.__traceback__, limit=-8)
    places = " > ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    log.error("error=%s type=%s at %s", error_id, kind, places or "(no Python code)")
    return error_id


def header(scope: MutableMapping[str, Any], name: bytes) -> str:
    """A header's value, empty when it is not there. Repeated headers are joined, so that none hides another."""
    return ", ".join(value.decode("latin-1") for key, value in scope["headers"] if key == name)


async def read_body(scope: MutableMapping[str, Any], receive: Receive, *, limit: int, seconds: float) -> bytes:
    """The whole body, never more than `limit` bytes of it in memory. Raises Refusal (408, 413, 415)."""
    encoding = header(scope, b"content-encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise Refusal(415, "the body must not be compressed", headers=(("accept-encoding", "identity"),))
    too_large = Refusal(413, f"the body is larger than {limit} bytes", headers=(("connection", "close"),))
    length = header(scope, b"content-length")
    is_too_large = length.isdigit() and int(length) > limit
    if is_too_large and header(scope, b"expect"):
        raise too_large  # the sender waits for a go-ahead that it does not get
    try:
        async with asyncio.timeout(seconds):
            body = await _read(receive, limit)
    except TimeoutError:
        raise Refusal(408, "the body took too long to arrive", headers=(("connection", "close"),)) from None
    if body is None:
        raise too_large
    return body


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The body, or None when it is larger than the limit: the rest is then read and dropped, up to a point."""
    body = bytearray()
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the body ended before its end")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            body.clear()
        else:
            body += chunk
        if not message.get("more_body") or size > limit + _DRAINED:
            return bytes(body) if size <= limit else None


def _method(scope: MutableMapping[str, Any]) -> str:
    """A method that HTTP has, else a word for it: the log takes nothing from a caller as it is."""
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "(unknown method)"
