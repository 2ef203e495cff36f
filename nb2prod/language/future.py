"""What `from __future__ import …` in a cell means to the compiler: it holds for all code that comes after it."""

from __future__ import annotations
import __future__

import ast


def future_flags(tree: ast.Module) -> int:
    """The flags with which code after this cell is compiled."""
    flags = 0
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            for alias in statement.names:
                flags |= getattr(__future__, alias.name).compiler_flag
    return flags
