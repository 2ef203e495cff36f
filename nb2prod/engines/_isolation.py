"""What isolated steps cannot do as the notebook does, in words; and which libraries their processes share."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nb2prod.core.result import Failure
from nb2prod.engines._pieces import Piece
from nb2prod.engines._step_processes import Child
from nb2prod.engines._values import Values
from nb2prod.kernel.ambient import RANDOM, WHAT
from nb2prod.kernel.parcels import Kept
from nb2prod.kernel.step_work import Report
from nb2prod.language.plain import plain
from nb2prod.language.surroundings import modules

if TYPE_CHECKING:
    from nb2prod.engines._remote import FarChild

    Process = Child | FarChild  # where a piece runs

# imported once, before the first step's process is made: importing them starts no thread that a fork would lose
PRELOADED = ("numpy", "pandas", "scipy", "sklearn", "matplotlib")
STATEFUL = ("torch",)  # has a random stream of its own


def preload(pieces: Iterable[Piece]) -> tuple[str, ...]:
    return tuple(name for name in _modules(pieces) if name.partition(".")[0] in PRELOADED)


def stateful(pieces: Iterable[Piece]) -> tuple[str, ...]:
    return tuple(name for name in _modules(pieces) if name in STATEFUL)


def names_indexes(pieces: Iterable[Piece]) -> bool:
    """Whether a cell may give an index of pandas another name in place: `df.index.name = "day"`."""
    trees = [tree for piece in pieces for cell in piece.cells if (tree := plain(cell.source).tree) is not None]
    return any(_may_name_an_index(node) for tree in trees for node in ast.walk(tree))


def _may_name_an_index(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in ("name", "names") and isinstance(node.ctx, ast.Store)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in ("set_names", "rename") and any(word.arg == "inplace" for word in node.keywords)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr"


def _modules(pieces: Iterable[Piece]) -> dict[str, None]:
    """The modules that the notebook's import statements at the top level load."""
    statements = [statement for piece in pieces for statement in piece.imports]
    return dict.fromkeys(name for statement in statements for name in modules(ast.parse(statement)))


def said(kept: Kept) -> str:
    """Why a process was kept."""
    if not kept.name:
        return f"it {kept.path}, {kept.reason}"
    return f"{kept.path} is {kept.reason}" if kept.reason.startswith(("a ", "an ")) else f"{kept.path}: {kept.reason}"


def unseen_read(piece: Piece, name: str) -> str:
    who = f"step {piece.step}" if piece.step else "the cell"
    return (
        f"{who} uses `{name}` in a way that its code does not show, so `{name}` was not given to it; "
        f"fix: name it in the cell (`{name} = {name}` is enough)"
    )


def lost(message: str) -> str:
    return f"{message}: it cannot go from one process to another; fix: put the cells that use it into one step"


@dataclass(frozen=True, slots=True)
class Host:
    """A process that was kept: for a value that cannot leave it, or (`keeps`) for what it did to its surroundings."""

    child: Process
    report: Report
    owner: str
    order: int
    keeps: bool = False


def two_hosts(piece: Piece, numbers: Iterable[int], hosts: Mapping[int, Host]) -> str:
    kept = "; ".join(f"{said(hosts[number].report.stays[0])} (in {hosts[number].owner})" for number in numbers)
    return f"step {piece.step} needs what two processes keep: {kept}; fix: put the cells that make them into one step"


def outdated(piece: Piece, report: Report, under_way: Mapping[int, Any], values: Values) -> Failure | None:
    """A failure when a later piece had begun with something that this piece has now changed.

    Of a random stream only who draws from it notices, and of an object that two names share only who leaves a version
    of it too: that is known when both pieces have ended.
    """
    mine = under_way[piece.order]
    for state in mine.drew & RANDOM:
        if values.ambient_for(piece.order).get(state) != mine.surroundings.get(state):
            return _late("an earlier step", piece, WHAT[state])
    left = values.left_by(piece.order)
    for name, version in mine.delivered.items():
        if name in left and values.seen(name, piece.order) != version:
            return _late("an earlier step", piece, f"`{name}`")
    who = f"step {piece.step}" if piece.step else "a cell of no step"
    for order, other in under_way.items():
        if order <= piece.order:
            continue
        late = next((f"`{name}`" for name, seen in other.saw.items() if values.changed(name, order) != seen), "")
        late = late or next((f"`{name}`" for name in other.delivered if name in values.left_by(order) & left), "")
        states = mine.drew & (other.drew or set()) & RANDOM | mine.drew - RANDOM
        unseen = next((f"its process ({kept.path})" for kept in report.stays if not kept.name), "")
        late = late or next((WHAT[state] for state in states), "") or unseen
        if late:
            return _late(who, other.piece, late)
    return None


def _late(who: str, other: Piece, what: str) -> Failure:
    return Failure(
        "isolation",
        f"{who} changed {what}, which its code does not show, after step {other.step} had begun with the old; "
        f"fix: say with after:STEP that step {other.step} comes later, or use --executor serial",
        other.step or None,
        other.indexes[0] if other.indexes else None,
    )
