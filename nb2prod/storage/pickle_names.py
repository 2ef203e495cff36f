"""What unpickling a file would import, read from its opcodes: none of them is executed.

A pickle is a program for a small machine with a stack. Most of its opcodes push plain data; some look a name up in a
module, and others call what was looked up. This plays the machine with the texts alone, because a name's two halves
may come off the stack. Where they cannot be known the name is `UNKNOWN`, which no rule allows by chance.

    b"cos\\nsystem\\n(S'ls'\\ntR."      imports os, and calls system of it
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

UNKNOWN = "?.?"  # looked up by something that only unpickling would find out
_MARK = object()
_TEXTS = frozenset(
    [
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "BINUNICODE8",
    ]  # what may be a name
)
_MOST = 5_000_000  # opcodes; a model of thousands of trees has fewer


class NotAPickle(Exception):
    """The bytes are no pickle, or one that Python's unpickler would not get through either."""


@dataclass(frozen=True, slots=True)
class PickleNames:
    """`names` are sorted; `rest` counts the bytes after the pickle's end, which a loader may read as another one."""

    names: tuple[str, ...]
    rest: int


def names_in(path: Path) -> PickleNames:
    """The names in a file of one pickle or several, one after the other. Raises NotAPickle."""
    names: set[str] = set()
    size = path.stat().st_size
    with path.open("rb") as file:
        while True:
            names |= _Machine().play(file)
            rest = size - file.tell()
            if not rest or not _begins(file):
                return PickleNames(tuple(sorted(names)), rest)


def is_pickle(path: Path) -> bool:
    """Whether Python would unpickle the file, whatever it is called. Text is no pickle unless it is one to its end."""
    try:
        with path.open("rb") as file:
            found = _Machine().play(file)
            return bool(found) or _begins_as_one(path) or not file.read(1)
    except NotAPickle:
        return False


def names_of(raw: bytes) -> tuple[str, ...]:
    """The names in the bytes of one pickle. Raises NotAPickle."""
    return tuple(sorted(_Machine().play(io.BytesIO(raw))))


def _begins(file: BinaryIO) -> bool:
    """Whether a pickle of today's protocols comes next."""
    here = file.tell()
    start = file.read(2)
    file.seek(here)
    return len(start) == 2 and start[0] == 0x80 and 2 <= start[1] <= 5


def _begins_as_one(path: Path) -> bool:
    with path.open("rb") as file:
        return _begins(file)


class _Machine:
    """Pickle's stack and memo, with texts as they are and everything else as None."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._protocol = 0
        self._names: set[str] = set()

    def play(self, file: BinaryIO) -> set[str]:
        """The names up to the pickle's end. Raises NotAPickle."""
        try:
            for count, (opcode, argument, _) in enumerate(_opcodes(file)):
                self._step(opcode, argument)
                if count > _MOST:
                    raise NotAPickle(f"it has more than {_MOST:,} opcodes")
        except NotAPickle:
            raise
        except Exception as error:  # genops and the stack fail in many ways on bytes that are no pickle
            raise NotAPickle(f"{type(error).__name__}: {error}") from error
        return self._names

    def _step(self, opcode: Any, argument: Any) -> None:
        name = opcode.name
        if name == "PROTO":
            self._protocol = max(self._protocol, argument)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name == "DUP":
            self._stack.append(self._stack[-1])
        elif name in _TEXTS:
            self._stack.append(argument if isinstance(argument, str) else _decoded(argument))
        else:
            self._look_up(name, argument)
            self._move(opcode)

    def _look_up(self, name: str, argument: Any) -> None:
        if name in ("GLOBAL", "INST"):
            self._found(*argument.split(" ", 1))
        elif name == "STACK_GLOBAL":
            self._found(*self._stack[-2:])
        elif name in ("EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"):
            self._names.add(UNKNOWN)  # a name of a registry, or of the unpickler's own making

    def _found(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            self._names.add(UNKNOWN)
            return
        self._names.add(f"{module}.{name}")
        if self._protocol < 3:
            self._names.add(".".join(_renamed(module, name)))

    def _move(self, opcode: Any) -> None:
        """What the opcode takes from the stack and puts there."""
        before, after = opcode.stack_before, opcode.stack_after
        if pickletools.markobject in before:
            while self._stack.pop() is not _MARK:
                pass
            before = before[: before.index(pickletools.markobject)]
        if len(before) > len(self._stack):
            raise NotAPickle("it takes more from its stack than is there")
        del self._stack[len(self._stack) - len(before) :]
        self._stack += [_MARK if item is pickletools.markobject else None for item in after]


def _opcodes(file: BinaryIO) -> Iterator[tuple[Any, Any, int | None]]:
    return pickletools.genops(file)


def _decoded(argument: Any) -> str | None:
    return argument.decode("latin-1") if isinstance(argument, bytes) else None


def _renamed(module: str, name: str) -> tuple[str, str]:
    """What Python looks up for a name of Python 2, as its unpickler does in pickles of the first three protocols."""
    import _compat_pickle as names_then

    if (module, name) in names_then.NAME_MAPPING:
        return names_then.NAME_MAPPING[module, name]
    return names_then.IMPORT_MAPPING.get(module, module), name
