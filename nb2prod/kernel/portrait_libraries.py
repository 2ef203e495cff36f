"""Portraits of what libraries make: arrays, tables, figures. A library is looked at only where it is loaded already."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from nb2prod.kernel.portrait import Array, Column, Items, Said, Table, Thing, kind_of
from nb2prod.kernel.portrait_painter import Painter, Rule, plain_parts

DATED = "mM"


def _library(name: str) -> Any:
    return sys.modules.get(name)


def _is(library: str, *kinds: str) -> Callable[[Any], bool]:
    """Whether a value is of one of these classes of a library; False as long as nobody has imported it."""

    def meant(value: Any) -> bool:
        module = _library(library)
        return module is not None and isinstance(value, tuple(getattr(module, kind) for kind in kinds))

    return meant


# -- numpy -----------------------------------------------------------------------------------------------------------


def array(painter: Painter, value: Any) -> Any:
    """Numbers as they lie in memory, row by row; an array of objects, or of texts of any length, item by item."""
    import numpy as np

    plain = np.asarray(value)
    if plain.dtype.hasobject or plain.dtype.kind == "T":
        items = painter.paint(plain.ravel().tolist())
        shape = Items("tuple", list(plain.shape))
        made: Any = Thing(f"array of {plain.dtype}", {"'s shape": shape, ".ravel()": items})
    else:
        made = _numbers(plain)
    if type(value) is np.ndarray or type(value) is np.memmap:
        return made
    if isinstance(value, np.ma.MaskedArray):
        mask = _numbers(np.ma.getmaskarray(value))
        return Thing("masked array", {"": _numbers(np.asarray(value.filled())), "'s mask": mask})
    parts = vars(value).items() if hasattr(value, "__dict__") else ()
    return Thing(kind_of(value), {"": made, **{f".{name}": painter.paint(part) for name, part in parts}})


def _numbers(value: Any) -> Array:
    import pickle

    import numpy as np

    dtype = value.dtype.descr if value.dtype.names is not None else value.dtype.str
    flat = np.ascontiguousarray(value).reshape(-1)
    raw: Any = flat.view(np.uint8) if flat.size and flat.dtype.itemsize else b""
    return Array("array", dtype, value.shape, pickle.PickleBuffer(raw) if len(raw) else b"")


def _scalar(painter: Painter, value: Any) -> Any:
    import numpy as np

    if value.dtype.hasobject:
        return painter.paint(value.item())
    made = _numbers(np.asarray(value))
    made.kind = f"numpy.{type(value).__name__}"
    made.content = np.asarray(value).tobytes()
    return made


# -- pandas ----------------------------------------------------------------------------------------------------------


def _frame(painter: Painter, value: Any) -> Table:
    made: Table = painter.remember(value, Table(kind_of(value), None, [], []))
    made.index = painter.paint(value.index)
    made.labels = [painter.paint(label) for label in value.columns.tolist()]
    made.columns = [column(painter, value.iloc[:, place].array) for place in range(value.shape[1])]
    names = painter.paint(list(value.columns.names))
    made.more = Thing("", {".columns.names": names, ".attrs": painter.paint(dict(value.attrs))})
    return made


def _series(painter: Painter, value: Any) -> Table:
    made: Table = painter.remember(value, Table(kind_of(value), None, [], []))
    made.index = painter.paint(value.index)
    made.columns = [column(painter, value.array)]
    made.more = Thing("", {".name": painter.paint(value.name), ".attrs": painter.paint(dict(value.attrs))})
    return made


def _index(painter: Painter, value: Any) -> Any:
    """Labels and their names. A range of numbers is the same as the numbers written out."""
    levels = [column(painter, value.get_level_values(level).array) for level in range(value.nlevels)]
    return Table("pandas.Index", None, [], levels, Thing("", {".names": painter.paint(list(value.names))}))


def column(painter: Painter, value: Any) -> Column:
    """A pandas array by its dtype."""
    import numpy as np
    import pandas as pd

    if isinstance(value, pd.arrays.NumpyExtensionArray):
        value = value.to_numpy()
    dtype = value.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        words = f"category, {'ordered' if dtype.ordered else 'not ordered'}"
        return Column(words, _numbers(np.asarray(value.codes)), None, painter.paint(dtype.categories))
    if isinstance(dtype, pd.DatetimeTZDtype | pd.PeriodDtype):
        whole = value.asi8 if hasattr(value, "asi8") else value.view("int64")
        return Column(str(dtype), _numbers(np.asarray(whole)))
    if isinstance(dtype, np.dtype) and not dtype.hasobject:
        return Column(str(dtype), _numbers(np.asarray(value)))
    numbers = getattr(dtype, "numpy_dtype", None)
    if isinstance(numbers, np.dtype) and numbers.kind in "biuf" and not isinstance(dtype, np.dtype):
        whole = value.to_numpy(dtype=numbers, na_value=numbers.type(0))
        return Column(str(dtype), _numbers(whole), _numbers(np.asarray(value.isna())))
    return Column(str(dtype), painter.paint(np.asarray(value, dtype=object).tolist()))


# -- figures ---------------------------------------------------------------------------------------------------------


def _figure(painter: Painter, value: Any) -> Thing:
    """A figure by what it shows: the texts, lines, bars, points and images of its axes."""
    made: Thing = painter.remember(value, Thing("figure"))
    title = value.get_suptitle() if hasattr(value, "get_suptitle") else ""
    made.parts = {"'s title": title, **{f".axes[{n}]": painter.paint(axes) for n, axes in enumerate(value.axes)}}
    return made


def _axes(painter: Painter, value: Any) -> Thing:
    made: Thing = painter.remember(value, Thing("axes"))
    texts = {".title": value.get_title(), ".xlabel": value.get_xlabel(), ".ylabel": value.get_ylabel()}
    made.parts = {
        **texts,
        **{f".lines[{n}]": painter.paint(one) for n, one in enumerate(value.lines)},
        **{f".patches[{n}]": painter.paint(one) for n, one in enumerate(value.patches)},
        **{f".collections[{n}]": painter.paint(one) for n, one in enumerate(value.collections)},
        **{f".images[{n}]": painter.paint(one) for n, one in enumerate(value.images)},
        **{f".texts[{n}]": painter.paint(one) for n, one in enumerate(value.texts)},
    }
    return made


def _artist(painter: Painter, value: Any) -> Thing:
    """A mark of a figure by the data that it was drawn from."""
    return plain_parts(painter, type(value).__name__, list(_data(value)))


DATA = (
    ("'s x", "get_xdata"),
    ("'s y", "get_ydata"),
    ("'s offsets", "get_offsets"),
    ("'s array", "get_array"),
    ("'s text", "get_text"),
    ("'s left", "get_x"),
    ("'s bottom", "get_y"),
    ("'s width", "get_width"),
    ("'s height", "get_height"),
    ("'s corners", "get_xy"),
    ("'s segments", "get_segments"),
)


def _data(value: Any) -> Iterator[tuple[str, Any]]:
    for name, get in DATA:
        if hasattr(value, get) and not (get in ("get_x", "get_width") and not hasattr(value, "get_height")):
            found = getattr(value, get)()
            if found is not None:
                yield name, found
    if hasattr(value, "get_path") and not hasattr(value, "get_xdata"):
        yield "'s outline", value.get_path().vertices
    label = str(value.get_label())
    yield "'s label", "" if label.startswith("_") else label


LIBRARIES: tuple[Rule, ...] = (
    (_is("numpy", "ndarray"), array),
    (_is("numpy", "generic"), _scalar),
    (_is("numpy", "dtype"), lambda _, value: Said("dtype", repr(value))),
    (_is("numpy", "ufunc"), lambda _, value: Said("ufunc", value.__name__)),
    (_is("pandas", "DataFrame"), _frame),
    (_is("pandas", "Series"), _series),
    (_is("pandas", "Index"), _index),
    (_is("pandas.api.extensions", "ExtensionArray"), column),
    (_is("pandas.api.extensions", "ExtensionDtype"), lambda _, value: Said("dtype", repr(value))),
    (_is("pandas", "Timestamp", "Timedelta", "Period"), lambda _, value: Said(kind_of(value), repr(value))),
    (lambda value: type(value).__name__ in ("NAType", "NaTType"), lambda _, value: Said("missing", repr(value))),
    (_is("matplotlib.figure", "FigureBase"), _figure),
    (_is("matplotlib.axes", "Axes"), _axes),
    (_is("matplotlib.artist", "Artist"), _artist),
)
