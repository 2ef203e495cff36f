"""Other tools' vocabularies, read as they are: one file a tool, found by its name in this folder.

A file holds a `DIALECT`: a table of tags with what each is in our words, and functions for what a tool says otherwise
(nbdev in comments, Kale by the order of cells). What a tag means that has no place here (`image:`, `hide-input`) is
kept in `Role.options`, under the tag's own word, for exports that can use it; directives in comments are kept as
`#|name`.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from nb2prod.core.notebook import Cell, Notebook
from nb2prod.language import tags
from nb2prod.language.dialects._dialect import KEPT, Dialect, Remark, Said
from nb2prod.language.tags import Spoken

__all__ = ["every", "heard", "known", "near", "remarks", "spoken", "translate"]


@cache
def every() -> Mapping[str, Dialect]:
    """Each dialect by its file's name."""
    names = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return {name: importlib.import_module(f"{__name__}.{name}").DIALECT for name in sorted(names)}


def spoken(notebook: Notebook) -> tuple[Spoken | None, ...]:
    """The role of each cell, None for a cell that is not code, with the problems of how it was said."""
    said = _each(notebook)
    for dialect in every().values():
        said = dialect.arrange(notebook, said)
    return tuple(said)


def remarks(notebook: Notebook) -> Iterator[Remark]:
    """What a reader should know about how the other tools' words were read."""
    said = _each(notebook)
    for dialect in every().values():
        yield from dialect.remark(notebook, said)


def heard(notebook: Notebook, cell: Cell) -> tuple[str, ...]:
    """A cell's tags in our words, those that mean nothing here among them."""
    said = cell.tags
    for dialect in every().values():
        said = dialect.hear(notebook, cell, said)
    return translate(said)


def translate(said: Sequence[str]) -> tuple[str, ...]:
    """Tags in our words, each once."""
    return tuple(dict.fromkeys(_translated(tag) for tag in said))


def known(tag: str) -> bool:
    """Whether a tag is another tool's word."""
    return any(pattern.fullmatch(tag) for pattern, _ in _rows())


def near(tag: str) -> str | None:
    """The other tools' tag that this one was probably meant to be."""
    words = [row for dialect in every().values() for row, _ in dialect.tags if re.fullmatch(r"[a-z]+(-[a-z]+)+", row)]
    return next(iter(difflib.get_close_matches(tag.lower().replace("_", "-"), words, n=1, cutoff=0.85)), None)


def _each(notebook: Notebook) -> Said:
    magics = {magic: tag for dialect in every().values() for magic, tag in dialect.magics.items()}
    return tuple(_of(notebook, cell, magics) if cell.kind == "code" else None for cell in notebook.cells)


def _of(notebook: Notebook, cell: Cell, magics: Mapping[str, str]) -> Spoken:
    words = heard(notebook, cell)
    said = tags.role_of(cell.source, words, magics)
    foreign: dict[str, tuple[str, ...]] = {}
    for tag in words:
        word, colon, rest = tag.partition(":")
        if known(tag) and not tags.is_ours(tag):
            foreign[word] = (*foreign.get(word, ()), *([rest] if colon else []))
    if not foreign:
        return said
    role = dataclasses.replace(said.role, options={**foreign, **said.role.options})
    return dataclasses.replace(said, role=role)


def _translated(tag: str) -> str:
    for pattern, here in _rows():
        found = pattern.fullmatch(tag)
        if found:
            return found.expand(here) if here != KEPT else tag
    return tag


@cache
def _rows() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(row), here) for dialect in every().values() for row, here in dialect.tags)
