"""What each name means at each point of a notebook: every binding, every change in place, and which of them is read.

    step a   df = load()            df@c0
    step b   df["z"] = 1            reads df@c0, leaves df@c1
    step c   print(df)              reads df@c1

Names that may be one object have their versions together. That is only told for names that are read later on: a change
of `m2` is a change of `m1` too, and a new version of it as soon as somebody reads `m1`.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import partial

from nb2prod.core.pipeline import SHARED, Role
from nb2prod.language.names import Memory, names_of
from nb2prod.language.plain import PlainCell
from nb2prod.stages.versioning.changing import (
    note_bindings,
    note_changes,
    note_deletions,
    note_parameters,
    passing_through,
)
from nb2prod.stages.versioning.mentions import mentions_in
from nb2prod.stages.versioning.reading import look_up, note_draws
from nb2prod.stages.versioning.sharing import carry_together, note_inputs
from nb2prod.stages.versioning.table import Place, Versions, settle


def versions(roles: Sequence[Role | None], cells: Sequence[PlainCell | None]) -> Versions:
    found, memory = Versions(), Memory()
    mentions = mentions_in(cells)
    memory.passing = mentions.looping - mentions.roaming
    for index, (role, cell) in enumerate(zip(roles, cells, strict=True)):
        if role is None or cell is None or cell.tree is None or role.kind == "skip":
            continue
        is_test = role.kind == "test"
        memory.alive = partial(mentions.alive, index)
        pointed = dict(memory.points)
        if is_test:
            names = names_of(_with_tests_called(cell.tree), memory=memory.fork())
        else:
            tree = _with_required_bound(cell.tree) if role.kind == "parameters" else cell.tree
            names = names_of(tree, memory=memory)
        place = Place(index, role.name if role.kind == "step" else role.kind, role.line_offset, role)
        if not is_test:
            note_inputs(found, names, place, memory, pointed)
            carry_together(found, names, index, memory, pointed)
        look_up(found, names, place)
        note_draws(found, names, place)
        if not is_test:
            passing = passing_through(found, names, place)
            note_changes(found, names, place)
            note_bindings(found, names, place, passing)
            note_deletions(found, names, place, passing)
            settle(found, *(found.surviving.get(name) for name in _tagged(role)))
            if role.kind in SHARED:
                note_parameters(found, cell.tree, names, place)
    found.bindings.sort(key=lambda binding: binding.cell)
    found.reads.sort(key=lambda read: read.cell)
    return found


def _with_required_bound(tree: ast.Module) -> ast.Module:
    """A parameters cell, where `n: int` binds `n`: a caller must give it."""
    body = [
        ast.copy_location(ast.AnnAssign(one.target, one.annotation, ast.Constant(...), one.simple), one)
        if isinstance(one, ast.AnnAssign) and one.value is None
        else one
        for one in tree.body
    ]
    return ast.fix_missing_locations(ast.Module(body=body, type_ignores=[]))


def _with_tests_called(tree: ast.Module) -> ast.Module:
    """A test cell, with a mention of each function below its definition: pytest calls them, the cell does not."""
    mentions = [
        ast.Expr(ast.Name(statement.name, ast.Load()))
        for statement in tree.body
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    for mention, statement in zip(mentions, [s for s in tree.body if hasattr(s, "name")], strict=True):
        ast.fix_missing_locations(ast.copy_location(mention, statement))
    return ast.Module(body=[*tree.body, *mentions], type_ignores=[])


def _tagged(role: Role) -> tuple[str, ...]:
    return (*role.metrics, *role.models, *role.examples, *role.plots)
