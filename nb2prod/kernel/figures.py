"""A figure of the notebook and the file it is kept in: PNG for matplotlib, HTML for what can write itself as HTML.

A name may be bound to the figure, to axes, to several axes in an array, to what `hist` or `bar` returned, or to a
seaborn grid: all of them know their figure. Nothing is drawn anew, and the figure stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nb2prod.storage.files import replacing

DOTS_PER_INCH = 110


class NoFigure(Exception):
    """The value has no figure in it."""


def save(value: Any, stem: Path) -> Path:
    """Write a figure to `stem` with .png or .html. Raises NoFigure."""
    figure = _figure_of(value)
    if figure is not None:
        path = stem.with_name(f"{stem.name}.png")
        with replacing(path) as partial:
            # without the name of the software and its version, the same figure is the same file
            figure.savefig(partial, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight", metadata={"Software": None})
        return path
    if callable(getattr(value, "write_html", None)):
        path = stem.with_name(f"{stem.name}.html")
        with replacing(path) as partial:
            value.write_html(str(partial))
        return path
    raise NoFigure(f"it is a {type(value).__name__}, not a matplotlib figure or axes, nor has it write_html")


def _figure_of(value: Any, depth: int = 4) -> Any:
    """The figure that a value leads to: `hist` gives a tuple, with a container of bars, whose bars know theirs."""
    figures = sys.modules.get("matplotlib.figure")
    if figures is None or depth == 0:
        return None
    if isinstance(value, figures.Figure):
        return value
    if isinstance(value, figures.FigureBase):
        return _figure_of(value.get_figure(root=True))
    found = _figure_of(getattr(value, "figure", None), depth - 1) if hasattr(value, "figure") else None
    return found if found is not None else _first(_items(value), depth)


def _items(value: Any) -> Iterable[Any]:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        return value.ravel().tolist() if value.dtype == object else ()
    if isinstance(value, dict):
        return tuple(value.values())
    return value if isinstance(value, list | tuple) else ()


def _first(items: Iterable[Any], depth: int) -> Any:
    found = (_figure_of(item, depth - 1) for item in items)
    return next((figure for figure in found if figure is not None), None)
