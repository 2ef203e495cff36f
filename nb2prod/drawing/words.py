"""The words that every drawing uses, and how wide a text is."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from nb2prod.core.pipeline import Parameter, Step

MASK = "********"


def printable(text: str) -> str:
    """The text with a visible sign for each character that is none, and that XML and terminals would choke on."""
    shown = "".join("\N{REPLACEMENT CHARACTER}" if _invisible(character) else character for character in text)
    return f"\N{DOTTED CIRCLE}{shown}" if shown and _columns(shown[0]) == 0 else shown


def _invisible(character: str) -> bool:
    # controls, lone surrogates, private and unassigned code points, line and paragraph separators;
    # marks of direction (in Cf) would turn the rest of the line round
    return unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp", "Cf")


def columns_of(text: str) -> int:
    """How many columns a terminal gives the text."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """The text, or its beginning with an ellipsis when it is wider."""
    if columns_of(text) <= columns:
        return text
    kept = ""
    for character in text:
        if columns_of(kept + character) > columns - 1:
            break
        kept += character
    return kept + "…"


def cells_of(step: Step) -> str:
    """`cell 4`, `cells 4–6`, `cells 4, 7, 9`: numbers as in findings and failures."""
    cells = step.cells
    if len(cells) == 1:
        return f"cell {cells[0]}"
    if len(cells) > 2 and cells == tuple(range(cells[0], cells[-1] + 1)):
        return f"cells {cells[0]}–{cells[-1]}"
    return f"cells {', '.join(map(str, cells))}"


def counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def badges(step: Step) -> list[tuple[str, tuple[str, ...]]]:
    """What a step has besides its inputs and outputs: (`metrics`, names) and so on; those it has none of left out."""
    tests = (counted(len(step.tests), "test"),) if step.tests else ()
    found: Sequence[tuple[str, tuple[str, ...]]] = (
        ("parameters", step.parameters),
        ("model", (step.model,) if step.model else ()),
        ("example", (step.example,) if step.example else ()),
        ("metrics", step.metrics),
        ("plots", step.plots),
        ("tests", tests),
    )
    return [(kind, names) for kind, names in found if names]


def default_of(parameter: Parameter) -> str:
    """The default as the notebook writes it; nothing of a secret."""
    if parameter.secret:
        return MASK
    return "(required)" if parameter.required else printable(parameter.expression)
