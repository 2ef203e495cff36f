"""Hamilton's notebook extension: a cell that becomes a module of its own.

| magic | here |
| --- | --- |
| `%%cell_to_module NAME` | runs as it is, with a remark: no analysis sees the module that it makes |
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.notebook import Notebook
from nb2prod.language.dialects._dialect import Dialect, Remark, Said, code_cells
from nb2prod.language.tags import MAGIC_LINE

MAGICS = {"cell_to_module", "incr_cell_to_module"}


def _remark(notebook: Notebook, said: Said) -> Iterator[Remark]:
    for cell in code_cells(notebook):
        magic = MAGIC_LINE.match(cell.source)
        if magic and magic["name"] in MAGICS:
            message = f"%%{magic['name']} makes a module when it runs, which no analysis sees"
            yield Remark(cell.index, message, "write the functions to a file, and import that in an `imports` cell")


DIALECT = Dialect(remark=_remark)
