"""Bytes into JSON values, with nothing taken for granted: size, depth, digits, duplicate keys, encoding.

Python's own parser takes the last of two equal keys, reads UTF-16, makes infinity of 1e400, and ends in a
RecursionError or worse for deep nesting; each of these is refused here with 400 or 422. No reason quotes the input.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from .errors import Refusal

_DIGITS = 400  # more than the largest float has before the point
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_ONE_BRACKET = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(body: bytes, *, depth: int, finite: bool) -> Any:
    """The JSON value of a UTF-8 body. Raises Refusal.

    With `finite`, NaN and infinite numbers are refused here; without, they come back as such for a schema to refuse
    by the name of their field.
    """
    _check_depth(body, depth)
    try:
        value = _DECODERS[finite].decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refusal(400, "the body is not UTF-8") from error
    except RecursionError as error:
        raise Refusal(400, "the JSON is nested too deep") from error
    except json.JSONDecodeError as error:
        raise Refusal(400, f"the body is not JSON (line {error.lineno}, column {error.colno})") from error
    if _SURROGATE.search(body):
        _check_text(value)
    return value


def _check_depth(body: bytes, depth: int) -> None:
    """Peel the innermost pairs of brackets off, once for each level allowed; what is then left is too deep.

    It takes C speed and constant memory whatever the input is, and counts before any parser recurses.
    """
    if body.count(b"[") + body.count(b"{") <= depth:
        return
    brackets = _STRING.sub(b"", body).translate(_ONE_BRACKET, _NO_BRACKET)
    for _ in range(depth):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return
    raise Refusal(400, f"the JSON is nested deeper than {depth} levels, or its brackets do not match")


def _check_text(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise Refusal(400, "a text in the body holds half of a surrogate pair") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Refusal(400, "an object in the body has one key twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise Refusal(400, f"a number in the body has more than {_DIGITS} digits")
    return int(digits)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Refusal(422, "a number in the body is not finite; a missing value is null")
    return number


def _decoder(read: Callable[[str], float]) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=read, parse_constant=read)


_DECODERS = {True: _decoder(_finite), False: _decoder(float)}  # made once: making one takes as long as a small body
