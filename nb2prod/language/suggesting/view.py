"""A notebook as the rules of `suggest` look at it: its pipeline as compiled now, its cells as Python, their acts."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from nb2prod.core.pipeline import Binding, Pipeline
from nb2prod.language import dialects, tags
from nb2prod.language.plain import PlainCell, plain
from nb2prod.language.suggesting.acts import Acts, acts_of


@dataclass(frozen=True, slots=True)
class View:
    """`cells` has an entry per cell, None for one that is no code. `fixed` are cells that say themselves what they are.

    Fixed cells keep their words; what they make and fit counts like that of any other.
    """

    pipeline: Pipeline
    cells: tuple[PlainCell | None, ...]
    acts: tuple[Acts, ...]
    fixed: frozenset[int]

    @property
    def open(self) -> tuple[int, ...]:
        """The code cells that say nothing yet."""
        return tuple(i for i, cell in enumerate(self.cells) if cell is not None and i not in self.fixed)

    def role(self, cell: int) -> str:
        role = self.pipeline.roles[cell]
        return role.kind if role is not None else ""

    def mentions(self, cell: int) -> frozenset[str]:
        """Every name that a cell mentions, in the bodies of its functions too."""
        tree = getattr(self.cells[cell], "tree", None)
        return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)) if tree else frozenset()

    def needs(self, cell: int) -> Iterator[Binding]:
        """The bindings that a cell reads and another cell makes. Imports are there anyway."""
        for read in self.pipeline.reads:
            made = read.binding
            if read.cell == cell and made is not None and made.cell != cell and made.kind != "import":
                yield made

    def reader_of(self, cell: int, readers: frozenset[int]) -> tuple[str, int] | None:
        """(name, cell) of the first of `readers` that reads what a cell makes."""
        found = [
            (read.cell, read.name)
            for read in self.pipeline.reads
            if read.cell in readers and read.cell != cell and read.binding is not None and read.binding.cell == cell
        ]
        return (min(found)[1], min(found)[0]) if found else None

    def changes_nothing(self, cell: int) -> bool:
        """Whether no other cell reads anything that this one may have changed in place."""
        made = (read.binding for read in self.pipeline.reads if read.cell != cell)
        return not any(binding is not None and binding.cell == cell and binding.changed for binding in made)

    def certain(self, name: str, cell: int) -> bool:
        """Whether a cell surely binds the name."""
        return any(b.name == name and b.cell == cell and b.certain and not b.changed for b in self.pipeline.bindings)


def view_of(pipeline: Pipeline) -> View:
    cells = tuple(None if role is None else plain(role.body) for role in pipeline.roles)
    return View(pipeline, cells, acts_of(cells), frozenset(_fixed(pipeline)))


def _fixed(pipeline: Pipeline) -> Iterator[int]:
    for cell, role in zip(pipeline.notebook.cells, pipeline.roles, strict=True):
        words = dialects.heard(pipeline.notebook, cell) if role is not None else ()
        if role is not None and (role.kind != "exploration" or any(tags.is_ours(word) for word in words)):
            yield cell.index
