"""A value and the file it rests in: `write` chooses the format by the type, `read` gives the same value back.

Formats that need no unpickling come first, and one is only taken when reading it back gives the very same digest:

    .parquet          a frame
    .series.parquet   a series, as a frame of one column
    .npy              a numpy array of numbers, dates or text of fixed width
    .json             lists, tuples, dictionaries and plain scalars, arrays of Python objects of that kind
    .pkl              anything else

What a file is, its suffix says. A digest is the SHA-256 of the file, and reading with one checks it before a byte is
interpreted.
"""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.errors import StoreError
from nb2prod.storage import digests
from nb2prod.storage.files import digest_of, write_bytes

logger = logging.getLogger(__name__)
Pickle = Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class Stored:
    """A value's file with the SHA-256 of its bytes; `content` is the digest of the value, empty when it has none."""

    path: Path
    digest: str
    content: str = ""


def write(value: Any, stem: Path, *, to_pickle: Pickle = pickle.dumps) -> Stored:
    """Write `value` to `stem` with the suffix of its format, whole or not at all; a file of another format goes."""
    content = _content(value)
    suffix, raw = next(_faithful(value, content, to_pickle))
    path = stem.with_name(stem.name + suffix)
    write_bytes(path, raw)
    for other in FORMATS:
        if other != suffix:
            stem.with_name(stem.name + other).unlink(missing_ok=True)
    return Stored(path, digest_of(path), content)


def read(path: Path, digest: str | None = None) -> Any:
    """The value in a file that `write` made. Raises StoreError when the file is not the one of that digest."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read: {error.strerror}", where=str(path)) from error
    if digest is not None:
        checked(path, raw, digest)
    suffix = suffix_of(path)
    try:
        return FORMATS[suffix][1](raw)
    except Exception as error:  # a damaged file fails in the ways of its format
        raise StoreError(f"cannot be read as {suffix}: {error}", where=str(path)) from error


def found(path: Path) -> Stored:
    """A file that `write` made, with its digests as they are now."""
    digest = digest_of(path)
    return Stored(path, digest, _content(read(path, digest)))


def checked(path: Path, raw: bytes, digest: str) -> bytes:
    """`raw` when its SHA-256 is `digest`; else StoreError."""
    import hashlib

    if hashlib.sha256(raw).hexdigest() != digest:
        raise StoreError(
            "the file is not the one that was written: its SHA-256 differs; nothing of it was loaded",
            where=str(path),
            fix="run the notebook again",
        )
    return raw


def suffix_of(path: Path) -> str:
    """The suffix that says a file's format. Raises StoreError when it is none of ours."""
    found = [suffix for suffix in FORMATS if path.name.endswith(suffix)]
    if not found:
        raise StoreError("this is no file of a kept value", where=str(path))
    return max(found, key=len)


def _content(value: Any) -> str:
    try:
        return digests.digest(value)
    except digests.CannotDigest:
        return ""


def _faithful(value: Any, content: str, to_pickle: Pickle) -> Iterator[tuple[str, bytes]]:
    """(suffix, bytes) of every format that gives the value back as it is, the best first; a pickle at last."""
    for suffix, (encode, decode) in FORMATS.items():
        if suffix == ".pkl" or not content:
            continue
        try:
            raw = encode(value)
            if raw is not None and digests.digest(decode(raw)) == content:
                yield suffix, raw
        except Exception as error:  # noqa: BLE001 - a format that fails in whatever way is not the one to take
            logger.debug("%s does not take a %s: %s", suffix, type(value).__name__, error)
    yield ".pkl", to_pickle(value)


def _frame_to_parquet(value: Any) -> bytes | None:
    pandas = sys.modules.get("pandas")
    if pandas is None or type(value) is not pandas.DataFrame or importlib.util.find_spec("pyarrow") is None:
        return None
    file = io.BytesIO()
    value.to_parquet(file, engine="pyarrow")
    return file.getvalue()


def _frame_from_parquet(raw: bytes) -> Any:
    import pandas

    return pandas.read_parquet(io.BytesIO(raw), engine="pyarrow")


def _series_to_parquet(value: Any) -> bytes | None:
    pandas = sys.modules.get("pandas")
    if pandas is None or type(value) is not pandas.Series:
        return None
    return _frame_to_parquet(value.to_frame(name="" if value.name is None else value.name))


def _series_from_parquet(raw: bytes) -> Any:
    series = _frame_from_parquet(raw).iloc[:, 0]
    return series.rename(None) if series.name == "" else series


def _array_to_npy(value: Any) -> bytes | None:
    numpy = sys.modules.get("numpy")
    if numpy is None or type(value) is not numpy.ndarray or value.dtype.hasobject:
        return None
    file = io.BytesIO()
    numpy.save(file, value, allow_pickle=False)
    return file.getvalue()


def _array_from_npy(raw: bytes) -> Any:
    import numpy

    return numpy.load(io.BytesIO(raw), allow_pickle=False)


def _to_json(value: Any) -> bytes | None:
    """JSON with the types that JSON lacks spelled out: {"tuple": [...]}, {"array": [...], "shape": [...]}."""
    return json.dumps(_spelled(value), ensure_ascii=False, indent=0).encode()


def _from_json(raw: bytes) -> Any:
    return _unspelled(json.loads(raw))


def _spelled(value: Any) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is not None and type(value) is numpy.ndarray and value.dtype == object:
        return {"array": [_spelled(item) for item in value.ravel().tolist()], "shape": list(value.shape)}
    if type(value) is list:
        return [_spelled(item) for item in value]
    if type(value) is tuple:
        return {"tuple": [_spelled(item) for item in value]}
    if type(value) is dict:
        return {"pairs": [[_spelled(key), _spelled(item)] for key, item in value.items()]}
    if value is None or type(value) in (str, bool, int, float):
        return value
    raise TypeError(f"JSON has no {type(value).__name__}")


def _unspelled(value: Any) -> Any:
    match value:
        case list():
            return [_unspelled(item) for item in value]
        case {"tuple": items}:
            return tuple(_unspelled(item) for item in items)
        case {"pairs": pairs}:
            return {_unspelled(key): _unspelled(item) for key, item in pairs}
        case {"array": items, "shape": shape}:
            return _object_array([_unspelled(item) for item in items], shape)
    return value


def _object_array(items: list[Any], shape: list[int]) -> Any:
    import numpy

    array = numpy.empty(len(items), dtype=object)
    for position, item in enumerate(items):
        array[position] = item
    return array.reshape(shape)


FORMATS: dict[str, tuple[Callable[[Any], bytes | None], Callable[[bytes], Any]]] = {
    ".parquet": (_frame_to_parquet, _frame_from_parquet),
    ".series.parquet": (_series_to_parquet, _series_from_parquet),
    ".npy": (_array_to_npy, _array_from_npy),
    ".json": (_to_json, _from_json),
    ".pkl": (pickle.dumps, pickle.loads),
}
