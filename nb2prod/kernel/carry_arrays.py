"""numpy arrays on their way: two views of one buffer stay views of one buffer, and the memory layout is kept.

numpy's own pickling writes a view as a copy; what is then written through one view is not seen through the other. And a
sum over another layout may differ in its last bit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from nb2prod.storage import digests

PLAIN = (str, int, float, bool, type(None))
LARGEST_ROOT = 8  # a strided view is written with its buffer when that is no more than so many times its size


def _is_plain(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray and not value.dtype.hasobject


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _in_pandas(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series | pandas.Index)


def root_of(array: Any) -> Any:
    """The object that owns the memory an array looks into."""
    while getattr(array, "base", None) is not None:
        array = array.base
    return array


def counted(roots: dict[int, int], alive: list[Any], value: Any) -> Any:
    """For looking only: notes the array's buffer, and writes nothing of its content.

    Tables of pandas share buffers by themselves and copy on write: that is no sharing anybody can notice. What their
    columns of objects hold is looked at like the items of a list. An index never changes but for its name, so that two
    tables may have one (`b = a.map(len)`) unnoticed, unless somebody gives it a name (`follow_indexes`).
    """
    if _in_pandas(value):
        axes = value.axes if _following[0] and hasattr(value, "axes") else ()
        return list, ([*_objects_in(value), *axes, value.attrs if hasattr(value, "attrs") else None],)
    if not _is_array(value):
        return None
    root = root_of(value)
    alive.append(root)
    roots[id(root)] = roots.get(id(root), 0) + 1
    return (str, ("an array",)) if _is_plain(value) else None


def _objects_in(table: Any) -> list[Any]:
    columns = [table.iloc[:, n] for n in range(table.shape[1])] if table.ndim == 2 else [table]
    objects = [column for column in columns if column.dtype == object]
    return [item for column in objects for item in column.tolist() if type(item) not in PLAIN]


_following = [False]


def follow_indexes() -> None:
    """From now on, in this process, tables that have one index belong together: the notebook gives indexes names."""
    _following[0] = True


def with_views(shared: set[int]) -> Callable[[Any], Any]:
    """Writes arrays; those that look into one of the `shared` buffers as views of it."""

    def reduced(value: Any) -> Any:
        if not _is_plain(value):
            if _is_array(value) and id(root_of(value)) in shared:
                raise ValueError("two arrays of objects, or of a kind of their own, look into one buffer")
            return None
        root = root_of(value)
        if root is not value and _is_plain(root) and (id(root) in shared or _is_strided(value, root)):
            offset = value.__array_interface__["data"][0] - root.__array_interface__["data"][0]
            return _view, (root, offset, value.dtype, value.shape, value.strides, value.flags.writeable)
        return _written(value)

    return reduced


def own_dtype(value: Any) -> Any:
    """A dtype that each process has once arrives as that one: numpy's own pickling would make another that is equal.

    What shares it then shares it everywhere, so that a model's file has the same bytes whichever process wrote it.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.dtype) or value.isbuiltin != 1:
        return None
    return (_dtype, (value.str,)) if value is _dtype(value.str) else None


def _dtype(name: str) -> Any:
    import numpy as np

    return np.dtype(name)


def by_digest(value: Any) -> Any:
    """For fingerprints: large tables and arrays by the digest of their content."""
    if _is_plain(value) or _in_pandas(value):
        try:
            return str, (digests.digest(value), type(value).__name__, getattr(value, "strides", None))
        except digests.CannotDigest:
            return None
    return None


def _is_strided(value: Any, root: Any) -> bool:
    contiguous = value.flags.c_contiguous or value.flags.f_contiguous
    return not contiguous and bool(root.nbytes <= LARGEST_ROOT * max(value.nbytes, 1))


def _written(array: Any) -> Any:
    import pickle

    import numpy as np

    order: Any = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    flat: Any = np.empty(0, np.uint8)
    if array.size:
        flat = np.asarray(array, None, order).ravel(order="K").view(np.uint8)
    made = (pickle.PickleBuffer(flat), array.dtype, array.shape, order, array.flags.writeable)
    return _array, made


def _array(content: Any, dtype: Any, shape: tuple[int, ...], order: Any, writeable: bool) -> Any:
    import numpy as np

    array = np.empty(shape, dtype, order=order)
    if array.size:
        array.ravel(order="K").view(np.uint8)[:] = np.frombuffer(content, np.uint8)
    array.flags.writeable = writeable
    return array


def _view(root: Any, offset: int, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...], writeable: bool) -> Any:
    import numpy as np

    view: Any = np.ndarray(shape, dtype, root, offset, strides)
    view.flags.writeable = writeable
    return view
