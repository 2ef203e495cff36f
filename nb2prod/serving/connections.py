"""How a connection's bytes become requests and answers: uvicorn's own reading of HTTP, bounded, and fewer packets.

Two things are told or done that ASGI has no word for: that a body has arrived whole (`gate.ARRIVED`), so that nobody
sets a timer for it; and that head and body of an answer go out together, because each packet wakes the client up.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from .gate import ARRIVED

HEADER_BYTES = 65_536  # of one request
_JOINED_BYTES = 65_536  # of a body: a larger one is not copied to stand behind its head


class Joined:
    """A connection's transport that keeps the head of an answer back until its body, or its end, comes."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head and len(data) <= _JOINED_BYTES:
            data, self._head = self._head + data, b""
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 1"):  # "100 Continue" has no body
            self._head = data
            return
        self.flush()
        self._transport.write(data)

    def flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def protocol() -> Any:
    """uvicorn's faster reading of HTTP when httptools is there, with the bound on headers that its other one has."""
    if importlib.util.find_spec("httptools") is None:
        return "h11"
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Bounded(HttpToolsProtocol):
        """Ends a connection whose request has too long a head (or trailer), before the rest of it is in memory."""

        _head = 0
        _is_in_head = True

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._joined = Joined(transport)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._is_in_head:
                self._count(len(data))

        def on_message_begin(self) -> None:
            self._head, self._is_in_head = 0, True
            super().on_message_begin()
            self.scope["extensions"] = {}

        def on_header(self, name: bytes, value: bytes) -> None:
            super().on_header(name, value)
            if not self._is_in_head:
                self._count(len(name) + len(value))

        def on_headers_complete(self) -> None:
            self._is_in_head = False
            super().on_headers_complete()
            self.cycle.transport = self._joined  # type: ignore[assignment]

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self.scope["extensions"] = {ARRIVED: {}}

        def on_response_complete(self) -> None:
            self._joined.flush()  # what answers HEAD has no body
            super().on_response_complete()

        def _count(self, size: int) -> None:
            self._head += size
            if self._head > HEADER_BYTES:
                self.transport.abort()

    return Bounded
