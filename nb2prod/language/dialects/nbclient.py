"""nbclient, and those who run or print notebooks with it: nbmake, nbval, nbconvert, Jupyter Book, nbsphinx.

| tag | here |
| --- | --- |
| `skip-execution` | `skip` |
| `raises-exception` | kept: the cell may fail and the run goes on; outside of exploration: `expected-failure` |
| nbval's `nbval-…` and `# NBVAL_…` | kept: they say how outputs are compared; the notebook needs the cell |
| `remove-…`, `hide-…`, `full-width`, `margin`, … | kept: they say how a notebook is printed |
| `outputPrepend` (VS Code), `keep_output` (nbstripout), `otter_…` | kept |

nbmake's metadata (`execution`, `nbmake`) stays where it is and is not read.
"""

from __future__ import annotations

import re

from nb2prod.core.notebook import Cell, Notebook
from nb2prod.language.dialects._dialect import KEPT, Dialect

NBVAL = re.compile(
    r"^\s*#\s*(NBVAL_(?:SKIP|IGNORE_OUTPUT|CHECK_OUTPUT|RAISES_EXCEPTION|VARIABLE_OUTPUT)"
    r"|PYTEST_VALIDATE_(?:IGNORE|CHECK)_OUTPUT|RAISES_EXCEPTION)\s*$",
    re.MULTILINE,
)


def _hear(notebook: Notebook, cell: Cell, tags: tuple[str, ...]) -> tuple[str, ...]:
    """nbval reads a comment on a line of its own, anywhere in the cell, as the tag of that name."""
    if cell.kind != "code" or ("NBVAL_" not in cell.source and "_OUTPUT" not in cell.source):
        return tags
    return (*tags, *(found.lower().replace("_", "-") for found in NBVAL.findall(cell.source)))


DIALECT = Dialect(
    tags=(
        (r"skip-execution", "skip"),
        (r"raises-exception", KEPT),
        (r"(nbval|pytest-validate)-[\w-]+(:.*)?", KEPT),
        # nbconvert, Jupyter Book and MyST, nbsphinx: which parts are printed, and how
        (
            r"(remove|hide|show)[-_](cell|input|output|all[-_]outputs|single[-_]output|stdout|stderr|code|prompt)s?",
            KEPT,
        ),
        (r"(no|hide)-?(input|output|stderr|stdout|prompt|toc)", KEPT),
        (r"(output_scroll|scroll-output|scrolled|full[-_]width|margin|sidebar|popout|no-search)", KEPT),
        (r"(thebe|nbsphinx|slideshow|jupyter|mystnb)[-_:].*", KEPT),
        (r"(hide|hidden|collapsed|solution|exercise|outputPrepend|keep_output|otter_\w+)", KEPT),
    ),
    hear=_hear,
)
