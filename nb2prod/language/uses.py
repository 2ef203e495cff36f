"""What the analysis says of one cell: reads, bindings, changes in place, draws; and of one function of the notebook."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

KEEPS_NO_NAMES = "_keeps_no_names"  # marks an `if` of the tree whose bindings go away again: what timeit runs
BindingKind = Literal["value", "import", "function", "class"]


@dataclass(frozen=True, slots=True)
class Function:
    """A function, class or lambda of the notebook: the names of the notebook that its body uses when it is called.

    `writes` are the names that it declares `global` and binds. `node` is its code, which is followed at each call.
    """

    name: str
    line: int
    reads: tuple[tuple[str, int], ...] = ()
    writes: tuple[str, ...] = ()
    node: ast.AST | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ReadUse:
    """A read. `inside`: the cell itself has certainly bound the name before. `through`: the function that reads it.

    `optional`: the cell goes on without the name, or may not come to read it: nothing is wrong when nothing binds it.
    """

    name: str
    line: int
    inside: bool
    through: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class BindUse:
    """`resource` says what the value is, or holds, that cannot leave its process (`open file`)."""

    name: str
    line: int
    kind: BindingKind = "value"
    resource: str = ""


@dataclass(frozen=True, slots=True)
class Touch:
    """A name whose object the cell may change without using the name: it may be, or hold, what `through` is."""

    name: str
    line: int
    through: str


@dataclass(frozen=True, slots=True)
class CellNames:
    """`bound` are the names bound for certain when the cell has run to its end; `binds` lists every binding, in order.

    `changes` are (name, line) of objects from outside that may be changed in place; `touched` the same of objects that
    the cell does not name. `draws` are (what, line) of calls that seed or draw from a global random stream. `gone` are
    the names deleted for certain; `stars` the modules of `from x import *`. `groups` are names that hang together
    with one that is changed: what they are or hold meets.
    """

    reads: tuple[ReadUse, ...] = ()
    binds: tuple[BindUse, ...] = ()
    changes: tuple[tuple[str, int], ...] = ()
    touched: tuple[Touch, ...] = ()
    deletes: tuple[tuple[str, int], ...] = ()
    bound: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    functions: Mapping[str, Function] = field(default_factory=dict)
    stars: tuple[tuple[str, int], ...] = ()
    draws: tuple[tuple[str, int], ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
