"""Text in an SVG whose reader's fonts nobody knows: how wide it is at most, cut to a width, escaped."""

from __future__ import annotations

import unicodedata
from functools import cache
from html import escape
from typing import Literal

from nb2prod.drawing.words import printable

Font = Literal["sans", "mono"]
NARROW = frozenset("iIjl.,:;'|!()[]{}ft r/\\-\"`")
WIDE = frozenset("mMwWQO@%—…")


def measured(text: str, size: float, font: Font = "sans", *, bold: bool = False) -> float:
    """The width of the text in pixels, on the safe side of what common fonts need."""
    return sum(_em(character, font) for character in text) * size * (1.06 if bold else 1.0)


@cache
def _em(character: str, font: Font) -> float:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0.1  # a mark that a font cannot combine takes some room of its own
    if unicodedata.east_asian_width(character) in "WF":
        return 1.4
    if ord(character) >= 0x0250:
        return 1.1  # a fallback font: no common measure
    if font == "mono":
        return 0.62
    if character in NARROW:
        return 0.42
    return 0.98 if character in WIDE else 0.74 if character.isupper() else 0.62


def fitted(text: str, size: float, font: Font, room: float, *, bold: bool = False) -> str:
    """The text, or its beginning with an ellipsis when it does not fit."""
    if measured(text, size, font, bold=bold) <= room:
        return text
    kept = ""
    for character in text:
        if measured(f"{kept}{character}…", size, font, bold=bold) > room:
            break
        kept += character
    return f"{kept.rstrip()}…"


def escaped(text: str) -> str:
    """Text between tags or within quotes."""
    return escape(printable(text).replace("\n", " "), quote=True)


def text(shown: str, whole: str, style: str, x: float, y: float, *, anchor: str = "start") -> str:
    """A text element; pointing at it shows the whole when only a part is shown."""
    title = f"<title>{escaped(whole)}</title>" if whole != shown else ""
    side = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text class="{style}" x="{number(x)}" y="{number(y)}"{side}>{title}{escaped(shown)}</text>'


def number(value: float) -> str:
    """A coordinate, short and the same on every machine."""
    return f"{round(value, 1):g}"
