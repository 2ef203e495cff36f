"""What every request passes: it gets an id, is counted and logged, and its answer says which model it came from.

The gate finds the route, and it is the last place where something unforeseen is caught: the caller gets an id that the
log has, and neither of them any data. The log has the exception's type and the lines it passed, never its message,
because messages quote values.
"""

from __future__ import annotations

import asyncio
import hmac
import itertools
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
from .tally import Tally

log = logging.getLogger("nb2prod.serving")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
ARRIVED = "nb2prod.arrived"  # an extension of the scope: the whole body is there, and `receive` does not wait
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
    headers: Mapping[bytes, bytes]
    authorized: bool = True

    def header(self, name: bytes) -> str:
        """A header's value, empty when it is not there."""
        return self.headers.get(name, b"").decode("latin-1")


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
        tally: Tally,
        token: str | None,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._find = find
        self._always = [(b"x-model-digest", digest.encode()), (b"x-content-type-options", b"nosniff")]
        self._tally = tally
        self._token = token
        self._is_stopping = is_stopping
        self._prefix, self._number = os.urandom(8).hex(), itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        route = self._find(scope["path"])
        headers = _headers(scope)
        asked = Asked(scope, receive, headers, self._has_token(headers))
        request_id = self._request_id(headers)
        answer = await self._answer(route, asked, request_id)
        try:
            await self._sent(answer, request_id, send)
        finally:
            self._tally.add(_method(scope), route.name, answer.status, time.perf_counter() - started, request_id)

    def _request_id(self, headers: Mapping[bytes, bytes]) -> str:
        """The caller's, or one of our own that no other service has."""
        given = headers.get(b"x-request-id", b"")
        if given and _REQUEST_ID.fullmatch(given):
            return given.decode()
        return f"{self._prefix}{next(self._number):016x}"

    async def _answer(self, route: Route, asked: Asked, request_id: str) -> Answer:
        try:
            return await self._called(route, asked)
        except Refusal as refusal:
            return Answer(route.refused(refusal, request_id), refusal.status, headers=refusal.headers)
        except Exception as error:  # noqa: BLE001 - the last place that can keep a stack trace from the caller
            reason = f"something went wrong in the service; the log has it under the id {logged(error)}"
            return Answer(route.refused(Refusal(500, reason), request_id), 500)

    async def _called(self, route: Route, asked: Asked) -> Answer:
        if not route.methods:
            raise Refusal(404, "there is nothing here")
        method = "GET" if asked.scope["method"] == "HEAD" else asked.scope["method"]
        if method not in route.methods:
            raise Refusal(405, "not with this method", headers=(("allow", ", ".join(route.methods)),))
        if route.guarded and not asked.authorized:
            raise Refusal(401, "a bearer token is required", headers=(("www-authenticate", "Bearer"),))
        return await route.methods[method](asked)

    def _has_token(self, headers: Mapping[bytes, bytes]) -> bool:
        if self._token is None:
            return True
        scheme, _, given = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
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


def _headers(scope: Scope) -> Mapping[bytes, bytes]:
    """The headers by name. Repeated ones are joined, so that none hides another."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        found[name] = found[name] + b", " + value if name in found else value
    return found


async def read_body(asked: Asked, *, limit: int, seconds: float) -> bytes:
    """The whole body, never more than `limit` bytes of it in memory. Raises Refusal (408, 413, 415)."""
    encoding = asked.header(b"content-encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise Refusal(415, "the body must not be compressed", headers=(("accept-encoding", "identity"),))
    length = asked.header(b"content-length")
    is_too_large = length.isdigit() and int(length) > limit
    if is_too_large and asked.header(b"expect"):
        raise _too_large(limit)  # the sender waits for a go-ahead that it does not get
    if ARRIVED in asked.scope.get("extensions", ()):  # there is nothing to wait for
        body = await _read(asked.receive, limit)
    else:
        body = await _read_in_time(asked.receive, limit, seconds)
    if body is None:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the body is larger than {limit} bytes", headers=(("connection", "close"),))


async def _read_in_time(receive: Receive, limit: int, seconds: float) -> bytes | None:
    try:
        async with asyncio.timeout(seconds):
            return await _read(receive, limit)
    except TimeoutError:
        raise Refusal(408, "the body took too long to arrive", headers=(("connection", "close"),)) from None


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
