"""Where a secret parameter's value may go in shared cells: no value that may hold it rests in the store.

    token: str                          the secret
    headers = {"key": token}            made with it
    def fetch(): … headers …            reads what was made with it
    limit = 5                           not: its statement has nothing to do with the three above

A step that is given one of these is not looked into: all that it leaves counts as made with it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from nb2prod.core.pipeline import Plan
from nb2prod.engines._outputs import written_forms
from nb2prod.engines._pieces import Piece
from nb2prod.engines._values import Version
from nb2prod.kernel.step_work import Report
from nb2prod.language.plain import plain
from nb2prod.language.surroundings import is_import


class Secrets:
    """Which names, as which piece left them, may hold a secret; known further with each piece that has run."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._texts = texts(plan)
        self._held: set[tuple[int, str]] = set()

    def are_given_to(self, piece: Piece, wanted: Mapping[str, Version]) -> bool:
        if any((version.order, name) in self._held for name, version in wanted.items()):
            return True
        return binds_secret(piece, self._plan)

    def are_left_by(self, piece: Piece, report: Report) -> bool:
        return any((piece.order, name) in self._held for packed in report.parcels for name in packed.names)

    def note(self, piece: Piece, report: Report, *, is_given: bool) -> None:
        """What a piece left: by where its secrets went, and by what its parcels show."""
        names = self._reached(piece, report) if is_given else set()
        if self._texts:
            names |= {name for packed in report.parcels if self._shows(packed.path) for name in packed.names}
        self._held |= {(piece.order, name) for name in names}

    def _reached(self, piece: Piece, report: Report) -> set[str]:
        flowed = None if piece.step else tainted(piece, self._plan)
        groups = [packed.names for packed in report.parcels if flowed is None or set(packed.names) & flowed]
        return {name for group in groups for name in group}

    def _shows(self, path: str) -> bool:
        content = Path(path).read_bytes()
        return any(text in content for text in self._texts)


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
