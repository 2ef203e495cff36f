"""Where an ONNX file takes data from that is not in it, read from its bytes: neither onnx nor a runtime is loaded.

A tensor of an ONNX file may lie in another file, named by a path that a runtime would follow. This walks the protocol
buffer of the file, which is a list of numbered fields, into those messages that may hold a tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_TENSOR, _GRAPH, _NODE, _ATTRIBUTE, _SPARSE = "tensor", "graph", "node", "attribute", "sparse"
# message -> field number -> message in it, as onnx.proto numbers them
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: _GRAPH, 20: "training", 25: "function"},
    "training": {1: _GRAPH, 2: _GRAPH},
    "function": {7: _NODE, 11: _ATTRIBUTE},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # of a tensor
_MODEL_GRAPH, _MODEL_OPSETS = 7, 8
_DEEPEST = 64


class NotOnnx(Exception):
    """The bytes are no ONNX model."""


def elsewhere(path: Path) -> tuple[str, ...]:
    """What the file's tensors say of other files, as text; empty when all is in the file. Raises NotOnnx."""
    raw = memoryview(path.read_bytes())
    try:
        fields = {number for number, _ in _fields(raw)}
        if not {_MODEL_GRAPH, _MODEL_OPSETS} <= fields:
            raise NotOnnx("it has no graph")
        return tuple(_external(raw, "model", 0))
    except (IndexError, ValueError) as error:
        raise NotOnnx("it is no ONNX model") from error


def _external(raw: memoryview, message: str, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise NotOnnx("it is nested too deep")
    for number, value in _fields(raw):
        if message == _TENSOR:
            if number == _EXTERNAL_DATA and isinstance(value, memoryview):
                yield bytes(value)[:200].decode("utf-8", "replace")
            elif number == _DATA_LOCATION and value == 1:
                yield "a tensor of another file"
        elif number in _INSIDE[message]:
            if not isinstance(value, memoryview):
                raise ValueError(number)
            yield from _external(value, _INSIDE[message][number], depth + 1)


def _fields(raw: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """(number, value) of each field: bytes, or a number."""
    place = 0
    while place < len(raw):
        key, place = _number(raw, place)
        kind = key & 7
        if kind == 0:
            value, place = _number(raw, place)
            yield key >> 3, value
            continue
        if kind == 2:
            length, place = _number(raw, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(kind)
        if place + length > len(raw):
            raise ValueError(length)
        yield key >> 3, raw[place : place + length]
        place += length


def _number(raw: memoryview, place: int) -> tuple[int, int]:
    found = shift = 0
    while True:
        byte = raw[place]
        found |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return found, place
        if shift > 63:
            raise ValueError(shift)
