"""Where somebody's own client is: a function in a Python file, or a command in any language.

    client.py:body            called with a frame of one row; returns the body
    node client.js            started for each row, which it reads as JSON from its input; writes the body to its output

What a command reads has all digits of the row. A row that JSON has no word for (an infinite number) no command is asked
about; the service refuses it.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from nb2prod.core.errors import UsageError
from nb2prod.stages.certificate import spelling

IN_FILE = re.compile(r"(?P<file>.+\.py):(?P<function>[A-Za-z_]\w*)")
SECONDS = 60.0  # that a command may take for one row
NO_ROW = b"null"
FIX = "name a function as FILE.py:FUNCTION, or a command that reads a row as JSON and writes the body"


def client_named(text: str) -> Callable[[Any], bytes | str]:
    """The client that a person means. Raises UsageError when it is not there, or its file cannot be imported."""
    found = IN_FILE.fullmatch(text)
    return _function(Path(found["file"]), found["function"]) if found else _command(text)


def _function(file: Path, name: str) -> Callable[[Any], bytes | str]:
    if not file.is_file():
        raise UsageError("there is no such file", where=str(file), fix=FIX)
    module = _imported(file)
    found = getattr(module, name, None)
    if not callable(found):
        there = sorted(key for key, value in vars(module).items() if callable(value) and value.__module__ == "client")
        raise UsageError(
            f"it has no function {name}",
            where=str(file),
            fix=f"one of: {', '.join(there)}" if there else "write a function that makes a body from a frame",
        )
    client: Callable[[Any], bytes | str] = found
    return client


def _imported(file: Path) -> ModuleType:
    """The file as a module, with what stands beside it."""
    specification = importlib.util.spec_from_file_location("client", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.path.insert(0, str(file.parent.absolute()))
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise UsageError(
            f"the client cannot be imported: {type(error).__name__}: {error}", where=str(file), fix="run it by itself"
        ) from error
    finally:
        sys.path.remove(str(file.parent.absolute()))
    return module


def _command(text: str) -> _Command:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"the command cannot be read: {error}", where=text, fix=FIX) from error
    if not words or shutil.which(words[0]) is None:
        raise UsageError("there is no such program", where=text, fix=FIX)
    return _Command(words)


@dataclass(frozen=True, slots=True)
class _Command:
    """A program that writes the body of one row."""

    words: tuple[str, ...]

    def __call__(self, rows: Any) -> bytes:
        (row,) = spelling.rows_of(rows)
        if row is None:
            return NO_ROW
        sent = json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8", "surrogatepass")
        try:
            done = subprocess.run(self.words, input=sent, capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"no body within {SECONDS:g} s") from error
        if done.returncode:
            last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1]
            raise RuntimeError(f"exit code {done.returncode}, {last}")
        return done.stdout
