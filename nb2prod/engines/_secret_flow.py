"""Where a secret parameter's value may go in shared cells: no value that may hold it rests in the store.

    token: str                          the secret
    headers = {"key": token}            made with it
    def fetch(): … headers …            reads what was made with it
    limit = 5                           not: its statement has nothing to do with the three above

A step that is given one of these is not looked into: all that it leaves counts as made with it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from nb2prod.core.pipeline import Plan
from nb2prod.engines._outputs import written_forms
from nb2prod.engines._pieces import Piece
from nb2prod.language.plain import plain
from nb2prod.language.surroundings import is_import


def secret_names(plan: Plan) -> set[str]:
    return {parameter.name for parameter in plan.pipeline.parameters if parameter.secret}


def texts(plan: Plan) -> tuple[bytes, ...]:
    """The texts that a parcel with a secret in it may show."""
    names = secret_names(plan)
    forms = written_forms(value for name, value in plan.given.items() if name in names)
    return tuple(form.encode("utf-8", "surrogatepass") for form in forms if form)


def binds_secret(piece: Piece, plan: Plan) -> bool:
    return bool(secret_names(plan) & piece.binds)


def tainted(piece: Piece, plan: Plan) -> set[str]:
    """The names of a piece that may hold a secret, or read one."""
    found = secret_names(plan)
    while True:
        before = len(found)
        for statement in _statements(piece):
            names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
            if names & found:
                found |= _left_by(statement, names)
        if len(found) == before:
            return found


def _statements(piece: Piece) -> Iterator[ast.stmt]:
    for cell in piece.cells:
        tree = plain(cell.source).tree
        # code that cannot be read is one statement that has all names in it
        for statement in tree.body if tree is not None else ():
            if not is_import(statement):
                yield statement


def _left_by(statement: ast.stmt, names: set[str]) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    return names
