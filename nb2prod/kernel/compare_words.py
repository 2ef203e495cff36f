"""Values of two portraits in a few words, as the sentence about a difference has them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from nb2prod.kernel.portrait import ATOMS, Array, Blank, Items, Members, Pairs, Said, Table, Thing
from nb2prod.kernel.portrait_reading import numbers_of

LONGEST = 60  # characters that are shown of one value


def brackets(where: Iterable[int]) -> str:
    text = ", ".join(map(str, where))
    return f"[{text}]" if text else ""


def quoted(label: Any) -> str:
    return json.dumps(label, ensure_ascii=False) if isinstance(label, str) else shown(label)


def kind(portrait: Any) -> str:
    return str(getattr(portrait, "kind", type(portrait).__name__ if type(portrait) in ATOMS else "value"))


def article(name: str) -> str:
    return name if name.startswith(("a ", "an ")) else f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def number(value: Any) -> str:
    """A number as Python writes it, with all digits that tell it from its neighbours."""
    item = value.item() if hasattr(value, "item") and value.dtype.kind not in "mM" else value
    return repr(item) if isinstance(item, float | int | complex | str | bytes) else str(item)


def shown(portrait: Any) -> str:
    """A few words that say what a value is."""
    if type(portrait) in ATOMS:
        text = repr(portrait)
    elif isinstance(portrait, Said):
        text = portrait.text
    elif isinstance(portrait, Array) and not portrait.shape:
        text = number(numbers_of(portrait)[()])
    elif isinstance(portrait, Items):
        text = f"a {portrait.kind} of {counted(len(portrait.items), 'item')}"
    elif isinstance(portrait, Blank):
        text = portrait.reason
    elif isinstance(portrait, Thing | Table | Pairs | Members | Array):
        text = article(portrait.kind)
    else:
        text = "a column"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
