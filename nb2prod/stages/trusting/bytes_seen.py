"""What the bytes of a file are, whatever the file is called: nothing is imported, and nothing but a little is read.

A file is believed only when its bytes are what its name says. A pickle that calls itself `.json`, `.onnx` or `.skops`
is found here, because the readers of these formats are safe and the reader of a pickle is not.
"""

from __future__ import annotations

import ast
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

from nb2prod.storage import onnx_places, pickle_names

_MOST_JSON = 64_000_000


class NotWhatItSays(Exception):
    """The bytes are not what the file's name says; the text says what they are, or what is wrong."""


def kind_of(path: Path, name: str) -> str:
    """The format of a file by its name, when its bytes agree; empty for one without a format. Raises NotWhatItSays."""
    suffix = next((suffix for suffix in READERS if name.endswith(suffix)), "")
    if not suffix:
        return _unnamed(path)
    kind, reader = READERS[suffix]
    try:
        reader(path)
    except NotWhatItSays as error:
        disguised = "; it is a pickle" if pickle_names.is_pickle(path) else ""
        raise NotWhatItSays(f"{name} is no {kind} file: {error}{disguised}") from error
    return kind


def _unnamed(path: Path) -> str:
    """Of a file whose name says nothing: the formats that would do something when they are read."""
    if zipfile.is_zipfile(path):
        return "zip"
    return "pickle" if pickle_names.is_pickle(path) else ""


def _pickle(path: Path) -> None:
    """Compressed pickles are not taken: nothing here writes them, and nothing could be said of what is in them."""
    try:
        with path.open("rb") as file:
            start = file.read(2)
    except OSError as error:
        raise NotWhatItSays("it cannot be read") from error
    if len(start) < 2 or start[0] != 0x80 or not 2 <= start[1] <= 5:
        raise NotWhatItSays("it does not begin as a pickle of today's protocols")


def _json(path: Path) -> None:
    if path.stat().st_size > _MOST_JSON:
        raise NotWhatItSays("it is too large")
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise NotWhatItSays(f"{type(error).__name__}") from error


def _onnx(path: Path) -> None:
    try:
        places = onnx_places.elsewhere(path)
    except onnx_places.NotOnnx as error:
        raise NotWhatItSays(str(error)) from error
    if places:
        raise NotWhatItSays(f"it takes data from another file ({places[0]})")


def _parquet(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(-min(4, path.stat().st_size), 2)
        end = file.read(4)
    if start != b"PAR1" or end != b"PAR1":
        raise NotWhatItSays("it has not the marks of one")


def _npy(path: Path) -> None:
    """An array of objects is a pickle behind a header."""
    with path.open("rb") as file:
        start = file.read(8)
        if start[:6] != b"\x93NUMPY":
            raise NotWhatItSays("it has not the mark of one")
        length = int.from_bytes(file.read(2 if start[6] == 1 else 4), "little")
        header = file.read(min(length, 100_000))
    try:
        described = ast.literal_eval(header.decode("utf-8").strip())["descr"]
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise NotWhatItSays("its header cannot be read") from error
    if "O" in str(described):
        raise NotWhatItSays("it is an array of objects, which are pickled")


def _text(path: Path) -> None:
    try:
        path.read_text(encoding="utf-8")
    except ValueError as error:
        raise NotWhatItSays("it is no text") from error


def _begins_with(*starts: bytes) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        with path.open("rb") as file:
            if not file.read(16).startswith(starts):
                raise NotWhatItSays("it has not the mark of one")

    return read


# longer suffixes first where one ends another
READERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    ".skops": ("skops", _begins_with(b"PK\x03\x04")),  # its schema is read with the names that are in it
    ".pkl": ("pickle", _pickle),
    ".pickle": ("pickle", _pickle),
    ".json": ("json", _json),
    ".onnx": ("onnx", _onnx),
    ".parquet": ("parquet", _parquet),
    ".npy": ("npy", _npy),
    ".py": ("python", lambda _: None),  # whatever it is, Python would try to run it
    ".md": ("text", _text),
    ".txt": ("text", _text),
    ".yaml": ("text", _text),
    ".lock": ("text", _text),
    ".html": ("text", _text),
    ".png": ("image", _begins_with(b"\x89PNG")),
    ".svg": ("text", _text),
    ".ubj": ("xgboost", _begins_with(b"{")),
}
