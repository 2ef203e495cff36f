"""What a cell does to names: which it reads from outside, which it binds, which it may change in place.

    df = clean(df)          reads df and clean, binds df
    model.fit(X, y)         reads model, X, y, may change model
    if ok: n = 1            binds n, perhaps
    m1 = m2 = []            binds both, to one object: who changes one changes the other

`flow` walks the statements in the order in which Python runs them, `values` and `calls` say what expressions may be,
`aliases` remembers from cell to cell which names may be one object.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from nb2prod.language.aliases import Memory
from nb2prod.language.flow import Walk
from nb2prod.language.uses import BindUse, CellNames, Function, ReadUse, Touch

__all__ = ["BindUse", "CellNames", "Function", "Memory", "ReadUse", "Touch", "functions_of", "names_of"]


def names_of(tree: ast.Module, known: Mapping[str, Function] | None = None, memory: Memory | None = None) -> CellNames:
    """The names of one cell.

    `memory` is what earlier cells left, and takes what this one leaves; without it, `known` are the functions that
    earlier cells define, and nothing is known of their other names.
    """
    memory = memory if memory is not None else remembering(known or {})
    memory.kept.append(tree)
    walk = Walk(memory)
    walk.body(tree.body)
    return _names(walk)


def remembering(functions: Mapping[str, Function]) -> Memory:
    memory = Memory()
    for name, function in functions.items():
        memory.bind(name, frozenset({memory.thing(("known", name), "function", function=function)}))
    return memory


def functions_of(trees: Iterable[ast.Module]) -> dict[str, Function]:
    """The functions that cells leave defined, one cell after the other."""
    known: dict[str, Function] = {}
    for tree in trees:
        names = names_of(tree, known)
        for bind in names.binds:
            known.pop(bind.name, None)
        known |= names.functions
    return known


def _names(walk: Walk) -> CellNames:
    read = dict.fromkeys(use.name for use in walk.reads)
    named = {line: name for name, line in reversed(walk.changed) if name in read}
    return CellNames(
        reads=tuple(dict.fromkeys(walk.reads)),
        binds=tuple(walk.binds),
        changes=tuple(place for place in walk.changed if place[0] in read),
        touched=tuple(Touch(name, line, named.get(line, "")) for name, line in walk.changed if name not in read),
        deletes=tuple(walk.deletes),
        bound=frozenset(walk.bound),
        gone=frozenset(walk.gone),
        functions=walk.defined,
        stars=tuple(walk.stars),
        draws=tuple(walk.draws),
        groups=tuple(walk.groups),
    )
