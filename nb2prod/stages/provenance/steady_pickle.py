"""A pickle with its sets in an order of their own.

Python hashes text in another way in each process, so a set of names is walked, and pickled, in another order each time.
Nothing else in a pickle of the same object changes. Here the pickle is taken apart into the values that its operations
make, and written again with the elements of every set sorted by what they are made of; whatever is used twice is still
one object, and memory is numbered anew. Nothing is loaded, and no operation is added.

An attribute in which a library keeps an address in memory becomes 0, which is no address that a process has.

A pickle with neither stays as it is, and so does one with operations that today's pickles of models do not have.
"""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass, field

from nb2prod.storage.skops_file import ADDRESSES

STORES = frozenset({"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"})
RECALLS = frozenset({"GET", "BINGET", "LONG_BINGET"})
CHANGES = frozenset({"APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD", "ADDITEMS"})
LEFT_OUT = frozenset({"PROTO", "FRAME", "STOP"})
STRANGE = frozenset({"POP", "POP_MARK", "DUP", "NEXT_BUFFER", "READONLY_BUFFER", "INST", "OBJ", "PERSID", "BINPERSID"})
_SPELLED_ADDRESSES = frozenset(pickle.SHORT_BINUNICODE + bytes([len(name)]) + name.encode() for name in ADDRESSES)
# what is in every pickle that may have to change, and by chance in others
_TOLD_BY = (pickle.ADDITEMS, pickle.FROZENSET, *_SPELLED_ADDRESSES)


class _Strange(Exception):
    """This pickle is of another kind than those that are taken apart here."""


@dataclass(eq=False, slots=True)
class _Value:
    """What one place of the pickle's stack holds: its operations, with the values they take in between."""

    parts: list[bytes | _Value | _Known | _Elements | None] = field(default_factory=list)  # None: is stored here


@dataclass(eq=False, slots=True)
class _Known:
    """A value that was stored before."""

    value: _Value


@dataclass(eq=False, slots=True)
class _Elements:
    """The elements of a set, in whatever order, and the operation that takes them."""

    values: list[_Value]
    operation: bytes


def steady_pickle(raw: bytes) -> bytes:
    """The same object, pickled so that the bytes depend on no order of sets."""
    if not any(said in raw for said in _TOLD_BY):
        return raw  # to take one apart takes a millisecond, and a map has thousands
    try:
        value = _read(raw)
        return raw if value is None else _Writer().written(value, raw[:2])
    except (_Strange, RecursionError):
        return raw


# -- taking apart ---------------------------------------------------------------------------------------------------


def _read(raw: bytes) -> _Value | None:
    """The value that the pickle makes; None when there is no set in it, and no address."""
    operations = list(_operations(raw))
    if not any(code.name in ("ADDITEMS", "FROZENSET") or said in _SPELLED_ADDRESSES for code, _, said in operations):
        return None
    stack: list[_Value | None] = []  # None is a mark
    stored: dict[int, _Value] = {}
    for code, argument, said in operations:
        if code.name in STRANGE or (code.proto > 5):
            raise _Strange(code.name)
        if code.name in LEFT_OUT:
            continue
        if code.name in STORES:
            _store(stack, stored, argument)
        elif code.name in RECALLS:
            stack.append(_Value([_Known(stored[int(argument)])]))  # type: ignore[call-overload]
        elif code.name == "MARK":
            stack.append(None)
        else:
            _apply(stack, code, said)
    if len(stack) != 1 or stack[0] is None:
        raise _Strange("it leaves more than one value")
    return stack[0]


def _operations(raw: bytes) -> Iterator[tuple[pickletools.OpcodeInfo, object, bytes]]:
    """Each operation with its argument and its bytes."""
    earlier: tuple[pickletools.OpcodeInfo, object, int] | None = None
    for code, argument, place in pickletools.genops(raw):
        if earlier is not None:
            yield earlier[0], earlier[1], raw[earlier[2] : place]
        earlier = (code, argument, int(place or 0))
    if earlier is not None:
        yield earlier[0], earlier[1], raw[earlier[2] :]


def _store(stack: list[_Value | None], stored: dict[int, _Value], argument: object) -> None:
    value = stack[-1]
    if value is None or None in value.parts:
        raise _Strange("a mark is stored, or a value twice")
    stored[len(stored) if argument is None else int(argument)] = value  # type: ignore[call-overload]
    value.parts.append(None)


def _apply(stack: list[_Value | None], code: pickletools.OpcodeInfo, said: bytes) -> None:
    """An operation takes values from the stack, and changes the one below them or makes a new one."""
    marked = pickletools.markobject in code.stack_before
    taken = _to_mark(stack) if marked else _top(stack, len(code.stack_before) - (code.name in CHANGES))
    if code.name in ("SETITEM", "SETITEMS"):
        _forget_addresses(taken)
    target = stack.pop() if code.name in CHANGES else _Value()
    if target is None:
        raise _Strange("a mark is changed")
    if code.name in ("ADDITEMS", "FROZENSET"):
        _add_elements(target, taken, said)
    else:
        target.parts += [*([pickle.MARK] if marked else []), *taken, said]
    stack.append(target)


def _forget_addresses(pairs: list[_Value]) -> None:
    """`pairs` are keys and values in turn."""
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        first = key.parts[0] if key.parts else b""
        first = first.value.parts[0] if isinstance(first, _Known) else first
        if isinstance(first, bytes) and first in _SPELLED_ADDRESSES:
            value.parts = [pickle.BININT1 + b"\0"]


def _add_elements(target: _Value, taken: list[_Value], said: bytes) -> None:
    """A large set is written in several goes: they become one, so that all of it can be sorted."""
    last = target.parts[-1] if target.parts else None
    if isinstance(last, _Elements):
        last.values += taken
    else:
        target.parts.append(_Elements(taken, said))


def _to_mark(stack: list[_Value | None]) -> list[_Value]:
    taken: list[_Value] = []
    while (value := stack.pop()) is not None:
        taken.append(value)
    return taken[::-1]


def _top(stack: list[_Value | None], count: int) -> list[_Value]:
    taken = [value for value in stack[len(stack) - count :] if value is not None]
    del stack[len(stack) - count :]
    if len(taken) != count:
        raise _Strange("a mark is taken for a value")
    return taken


# -- writing --------------------------------------------------------------------------------------------------------


class _Writer:
    """Writes values again. The first time that a stored value comes it is made, afterwards recalled by its number."""

    def __init__(self) -> None:
        self._out: list[bytes] = []
        self._numbers: dict[_Value, int] = {}
        self._keys: dict[_Value, bytes] = {}

    def written(self, value: _Value, opening: bytes) -> bytes:
        self._write(value)
        return b"".join([opening, *self._out, pickle.STOP])

    def _write(self, value: _Value) -> None:
        if value in self._numbers:
            self._out.append(_recalled(self._numbers[value]))
            return
        for part in value.parts:
            if isinstance(part, bytes):
                self._out.append(part)
            elif part is None:
                self._numbers[value] = len(self._numbers)
                self._out.append(pickle.MEMOIZE)
            elif isinstance(part, _Elements):
                self._out.append(pickle.MARK)
                for element in sorted(part.values, key=self._key):
                    self._write(element)
                self._out.append(part.operation)
            else:
                self._write(part.value if isinstance(part, _Known) else part)

    def _key(self, value: _Value) -> bytes:
        """What an element is made of, whatever of it is stored where: by this a set is sorted."""
        known = self._keys.get(value)
        if known is None:
            known = self._keys[value] = b"".join(self._spelled(value))
        return known

    def _spelled(self, value: _Value) -> Iterator[bytes]:
        for part in value.parts:
            if isinstance(part, bytes):
                yield part
            elif isinstance(part, _Elements):
                yield from sorted(map(self._key, part.values))
                yield part.operation
            elif part is not None:
                yield self._key(part.value if isinstance(part, _Known) else part)


def _recalled(number: int) -> bytes:
    if number < 256:
        return pickle.BINGET + number.to_bytes(1, "little")
    return pickle.LONG_BINGET + number.to_bytes(4, "little")
