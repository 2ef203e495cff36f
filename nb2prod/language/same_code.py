"""Whether two cells are the same code: what a person can change in a cell without changing what it does.

Comments, blank lines and formatting do not count; docstrings do (a program can read them), and so do magics, shell
lines and the words of the cell's tags.
"""

from __future__ import annotations

import ast
import hashlib

from nb2prod.core.pipeline import Role
from nb2prod.language.plain import plain


def normalized(body: str) -> str:
    """The code without what does not count; with a magic in it, or when it is no Python, as it is written."""
    cell = plain(body)
    if cell.tree is None or cell.magics:
        return "\n".join(line.rstrip() for line in body.strip().split("\n"))
    return ast.unparse(cell.tree)


def key_of(role: Role) -> str:
    """A digest of a cell's code and of what the cell is for."""
    tags = (role.kind, role.name, role.metrics, role.models, role.examples, role.plots)
    return hashlib.sha256(repr((tags, normalized(role.body))).encode("utf-8", "surrogatepass")).hexdigest()
