"""papermill: `parameters` is our own word; what papermill wrote into an executed notebook is seen through.

| tag | here |
| --- | --- |
| `parameters` | `parameters` |
| `default parameters` (before 1.0) | `parameters` |
| `injected-parameters` | `skip`, with a warning: values are given by `-p`; `parameters` where no other cell is |
| `papermill-error-cell-tag`, `papermill-error-cell` | kept (they stand on a text above a failed cell) |
"""

from __future__ import annotations

from collections.abc import Iterator

from nb2prod.core.notebook import Cell, Notebook
from nb2prod.language.dialects._dialect import KEPT, Dialect, Remark, Said, code_cells
from nb2prod.language.tags import MAGIC_LINE

INJECTED = "injected-parameters"
DECLARING = {"parameters", "default parameters", "pipeline-parameters"}


def _hear(notebook: Notebook, cell: Cell, tags: tuple[str, ...]) -> tuple[str, ...]:
    if INJECTED not in tags or _declared(notebook):
        return tags
    return tuple("parameters" if tag == INJECTED else tag for tag in tags)


def _remark(notebook: Notebook, said: Said) -> Iterator[Remark]:
    for cell in code_cells(notebook):
        if INJECTED in cell.tags and _declared(notebook):
            message = "papermill's injected parameters are left out: the parameters cell's own defaults count"
            yield Remark(cell.index, message, "give the values again with -p NAME VALUE", "warning")


def _declared(notebook: Notebook) -> bool:
    """Whether a cell declares parameters, by a tag or by our magic."""
    for cell in code_cells(notebook):
        magic = MAGIC_LINE.match(cell.source)
        if DECLARING & set(cell.tags) or (magic and magic["name"] == "parameters"):
            return True
    return False


DIALECT = Dialect(
    tags=(
        (r"default parameters", "parameters"),
        (r"injected-parameters", "skip"),
        (r"papermill-error-cell(-tag)?", KEPT),
    ),
    hear=_hear,
    remark=_remark,
)
