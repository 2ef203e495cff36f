"""One name holds clearly different kinds of values, and both of them are read in other cells.

    rate = 0.3                         cell 2; read in cell 3
    rate = pd.read_csv("rates.csv")    cell 5; read in cell 6

Whoever runs cell 3 again after cell 5 gets an error, or worse, a frame where a number is meant. Use two names.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise

from nb2prod.core.finding import Finding, Severity
from nb2prod.core.pipeline import Pipeline
from nb2prod.language.code_cells import code_cells
from nb2prod.language.imported import imported
from nb2prod.language.kinds import Bound, bounds, kind_of, kinds_of

CODE = "kind-changed"
SEVERITY: Severity = "note"
# kinds that notebooks turn into each other all the time count as one
FAMILY = {
    "number": "a number",
    "text": "text",
    **dict.fromkeys(("list", "dict"), "a container"),
    **dict.fromkeys(("frame", "series", "array"), "data"),
}


def check(pipeline: Pipeline) -> Iterator[Finding]:
    cells = tuple(code_cells(pipeline))
    names = imported(cells)
    known = kinds_of(cells, names)
    by_name: dict[str, list[Bound]] = {}
    for bound in bounds(cells):
        by_name.setdefault(bound.name, []).append(bound)
    read = {(r.name, r.binding.cell) for r in pipeline.reads if r.binding is not None and r.binding.cell != r.cell}
    for name, found in by_name.items():
        last = {bound.cell: bound for bound in found}  # what each cell leaves
        kinds = [(b, _family(kind_of(b.value, known, names)) if b.value is not None else "") for b in last.values()]
        for (first, was), (second, now) in pairwise(kinds):
            if (
                was
                and now
                and was != now
                and not _converts(second)
                and {(name, first.cell), (name, second.cell)} <= read
            ):
                message = f"`{name}` holds {was} from cell {first.cell} on, and {now} from here on"
                yield Finding(CODE, SEVERITY, message, "use two names", second.cell, second.line)


def _converts(bound: Bound) -> bool:
    """`x = np.array(x)` says itself what it does."""
    parts = ast.walk(bound.value) if bound.value is not None else ()
    return any(isinstance(part, ast.Name) and part.id == bound.name for part in parts)


def _family(kind: str) -> str:
    return "an estimator" if kind.startswith("sklearn.") else FAMILY.get(kind, "")
