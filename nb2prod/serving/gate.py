"""What every request passes: it gets an id, is counted and logged, and its answer says which model it came from.

The gate finds the route, and it is the last place where something unforeseen is caught: the caller gets an id that the
log has, and neither of them any data. The log has the exception's type and the lines it passed, never its message,
because messages quote values.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import re
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from .errors import Refusal
from .metrics import Metrics

log = logging.getLogger("nb2prod.serving")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DRAINED = 100_000_000  # of a body that is too large, so much is read and dropped, that its sender sees the answer


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    status: int = 200
    media: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `authorized`: it may know what only who has the token may, or no token is needed."""

    scope: Scope
    receive: Receive
    authorized: bool


@dataclass(frozen=True, slots=True)
class Route:
    """`name` is what log and metrics call it; `refused` writes its errors, as its protocol has them."""

    name: str
    methods: Mapping[str, Callable[[Asked], Awaitable[Answer]]]
    guarded: bool = False
    refused: Callable[[Refusal, str], bytes] = field(default=lambda refusal, request_id: refused(refusal, request_id))


class Gate:
    """Finds the route for a request and sends its answer. `is_stopping` closes connections while the service ends."""

    def __init__(
        self,
        find: Callable[[str], Route],
        *,
        digest: str,
        metrics: Metrics,
        token: str | None,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._find = find
        self._always = [(b"x-model-digest", digest.encode()), (b"x-content-type-options", b"nosniff")]
        self._metrics = metrics
        self._token = token
        self._is_stopping = is_stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        route = self._find(scope["path"])
        given = header(scope, b"x-request-id")
        request_id = given if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()
        answer = await self._answer(route, scope, receive, request_id)
        try:
            await self._sent(answer, request_id, send)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.request(route.name, answer.status, seconds)
            _log_request(_method(scope), route.name, answer.status, seconds, request_id)

    async def _answer(self, route: Route, scope: Scope, receive: Receive, request_id: str) -> Answer:
        try:
            return await self._called(route, scope, receive)
        except Refusal as refusal:
            return Answer(route.refused(refusal, request_id), refusal.status, headers=refusal.headers)
        except Exception as error:  # noqa: BLE001 - the last place that can keep a stack trace from the caller
            reason = f"something went wrong in the service; the log has it under the id {logged(error)}"
            return Answer(route.refused(Refusal(500, reason), request_id), 500)

    async def _called(self, route: Route, scope: Scope, receive: Receive) -> Answer:
        if not route.methods:
            raise Refusal(404, "there is nothing here")
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if method not in route.methods:
            raise Refusal(405, "not with this method", headers=(("allow", ", ".join(route.methods)),))
        authorized = self._has_token(scope)
        if route.guarded and not authorized:
            raise Refusal(401, "a bearer token is required", headers=(("www-authenticate", "Bearer"),))
        return await route.methods[method](Asked(scope, receive, authorized))

    def _has_token(self, scope: Scope) -> bool:
        if self._token is None:
            return True
        scheme, _, given = header(scope, b"authorization").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token.encode())

    async def _sent(self, answer: Answer, request_id: str, send: Send) -> None:
        headers = [
            (b"content-type", answer.media.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            (b"x-request-id", request_id.encode()),
            *self._always,
        ]
        headers += [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
        if self._is_stopping():
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


def _log_request(method: str, route: str, status: int, seconds: float, request_id: str) -> None:
    """One line, and for the JSON log its parts."""
    if not log.isEnabledFor(logging.INFO):
        return
    milliseconds = round(1000 * seconds, 2)
    parts = {"method": method, "route": route, "status": status, "milliseconds": milliseconds, "request": request_id}
    # what `log.info` does, but for looking through the frames for the line that called it, which takes as long again
    said = "%s %s %s %.2f ms request=%s"
    log.handle(log.makeRecord(log.name, logging.INFO, "", 0, said, tuple(parts.values()), None, extra={"parts": parts}))


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
    parts = {"error": error_id, "type": kind, "at": places or "(no Python code)"}
    log.error("error=%s type=%s at %s", *parts.values(), extra={"parts": parts})
    return error_id


def header(scope: Scope, name: bytes) -> str:
    """A header's value, empty when it is not there. Repeated headers are joined, so that none hides another."""
    found = [value for key, value in scope["headers"] if key == name]
    return b", ".join(found).decode("latin-1") if found else ""


async def read_body(scope: Scope, receive: Receive, *, limit: int, seconds: float) -> bytes:
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


def _method(scope: Scope) -> str:
    """A method that HTTP has, else a word for it: the log takes nothing from a caller as it is."""
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "(unknown method)"
