"""SAME-Project: `same_step_N` begins a step that lasts to the next such tag.

| tag | here |
| --- | --- |
| `same_step_N` | `step:same_step_N`; the untagged cells below it belong to it |
| none, above the first `same_step_N` | `step:same_step_0`, as SAME names it |
| `parameters` | `parameters` |
| `environment=NAME`, `cache=AGE` | kept |
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nb2prod.core.notebook import Notebook
from nb2prod.core.pipeline import Role
from nb2prod.language.dialects._dialect import KEPT, Dialect, Remark, Said, code_cells, is_silent, joined


def _speaks(notebook: Notebook) -> bool:
    return any(re.fullmatch(r"same_step_\d+", tag) for cell in code_cells(notebook) for tag in cell.tags)


def _arrange(notebook: Notebook, said: Said) -> Said:
    return joined(notebook, said, first=Role("step", "same_step_0")) if _speaks(notebook) else said


def _remark(notebook: Notebook, said: Said) -> Iterator[Remark]:
    silent = [cell.index for cell, one in zip(notebook.cells, said, strict=True) if is_silent(cell, one)]
    if silent and _speaks(notebook):
        message = f"untagged cells belong to the step above them, as in SAME: {', '.join(map(str, silent))}"
        yield Remark(silent[0], message, "tag them, or `skip` those that belong to no step")


DIALECT = Dialect(
    tags=((r"(same_step_\d+)", r"step:\1"), (r"(environment|cache)=.*", KEPT)),
    arrange=_arrange,
    remark=_remark,
)
