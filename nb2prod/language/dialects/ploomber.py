"""Ploomber and soorgeon: a notebook is one step of a pipeline, and gets its paths injected.

| tag | here |
| --- | --- |
| `parameters` with `upstream` and `product` | `parameters`, with a remark: only Ploomber fills them in |
| `injected-parameters` | as papermill's |
| `soorgeon-imports` | `imports` |
| `soorgeon-pickle`, `soorgeon-unpickle`, `debugging-settings` | kept |
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nb2prod.core.notebook import Notebook
from nb2prod.language.dialects._dialect import KEPT, Dialect, Remark, Said

INJECTED = re.compile(r"^(upstream|product)\s*(?::[^=\n]*)?=", re.MULTILINE)


def _remark(notebook: Notebook, said: Said) -> Iterator[Remark]:
    for cell, spoken in zip(notebook.cells, said, strict=True):
        if spoken is None or spoken.role.kind != "parameters":
            continue
        if {"upstream", "product"} <= set(INJECTED.findall(cell.source)):
            message = "Ploomber gives `upstream` and `product` their values; here they stay as written"
            yield Remark(cell.index, message, "give them with -p, or write the paths")


DIALECT = Dialect(
    tags=(
        (r"soorgeon-imports", "imports"),
        (r"soorgeon-(pickle|unpickle)", KEPT),
        (r"debugging-settings", KEPT),
    ),
    remark=_remark,
)
