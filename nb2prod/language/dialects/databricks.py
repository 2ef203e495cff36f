"""Databricks: `.py` files with `# COMMAND ----------` between cells (`storage/scripts.py` reads them).

Databricks has no tags; a cell says what it is for by our magics (`# MAGIC %%step train`). What only Databricks has
(`dbutils`, `spark`, `%run ./OTHER`, `%sql`) is remarked on, as it is not there when the notebook runs elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nb2prod.core.notebook import Notebook
from nb2prod.language.dialects._dialect import Dialect, Remark, Said, code_cells

VENDOR = "application/vnd.databricks.v1+notebook"
ONLY_THERE = re.compile(r"^\s*(%run \S+|%{1,2}(?:sql|scala|fs)\b)|(?<![\w.])(dbutils)\.", re.MULTILINE)


def _remark(notebook: Notebook, said: Said) -> Iterator[Remark]:
    if notebook.format != "databricks" and VENDOR not in notebook.metadata:
        return
    for cell in code_cells(notebook):
        found = ONLY_THERE.search(cell.source)
        if found:
            message = f"`{(found[1] or found[2]).strip()}` works inside Databricks only"
            line = cell.source[: found.start(found.lastindex or 0)].count("\n") + 1
            yield Remark(cell.index, message, "tag the cell `skip`, or write it in plain Python", line=line)


DIALECT = Dialect(remark=_remark)
