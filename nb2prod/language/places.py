"""Where a piece of syntax stands in a cell as its author wrote it, in lines and characters."""

from __future__ import annotations

import ast

from nb2prod.core.edit import Edit
from nb2prod.language.code_cells import CodeCell

Place = tuple[int, int]


def span(cell: CodeCell, node: ast.expr | ast.stmt) -> tuple[Place, Place] | None:
    """(start, end) of a piece; None in a cell with magics, whose columns are not those that were written."""
    if not cell.parsed.plain or node.end_lineno is None or node.end_col_offset is None:
        return None
    return _place(cell, node.lineno, node.col_offset), _place(cell, node.end_lineno, node.end_col_offset)


def _place(cell: CodeCell, line: int, column: int) -> Place:
    # `ast` counts the bytes of UTF-8
    written = cell.role.body.split("\n")[line - 1].encode()[:column].decode()
    return line + cell.role.line_offset, len(written)


def replaced(cell: CodeCell, node: ast.expr | ast.stmt, text: str) -> tuple[Edit, ...]:
    """The edit that puts `text` in a piece's place; none where its place is not known."""
    found = span(cell, node)
    return () if found is None else (Edit(cell.index, *found, text),)


def root_name(node: ast.expr) -> str | None:
    """`df` for `df.loc[0, "x"]`; None when the object comes from a call or a literal."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
