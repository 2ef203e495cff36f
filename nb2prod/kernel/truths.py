"""What lies beside the example: columns of as many values, one of which may be the truth that its predictions miss.

A notebook does not say which name is the truth. So all that may be it are kept with the run, for whoever packages it:
the truth is then what the notebook's own metrics can be computed from again (`stages.carding.judged`). They stay in the
run's folder, and never come into a package.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from nb2prod.storage.digests import rows_of

MOST = 8  # columns
ROWS = 1_000_000


def beside(example: Any, names: Iterable[str], namespace: Mapping[str, Any]) -> Any:
    """A frame of the columns of these names that have a value for each row of the example; None without any."""
    pandas = sys.modules.get("pandas")
    rows = rows_of(example)
    if pandas is None or not rows or rows > ROWS:
        return None
    found = {}
    for name in sorted(set(names)):
        values = _column(namespace.get(name), example, rows, pandas)
        if values is not None:
            found[name] = values
    return pandas.DataFrame(dict(list(found.items())[:MOST])) if found else None


def _column(value: Any, example: Any, rows: int, pandas: Any) -> Any:
    """Its values without labels; None for what is no column, or has other labels than the example's rows."""
    if isinstance(value, pandas.DataFrame) and value.shape[1] == 1:
        value = value.iloc[:, 0]
    numpy = sys.modules["numpy"]
    if not isinstance(value, pandas.Series | numpy.ndarray) or value.shape != (rows,):
        return None
    index = getattr(example, "index", None)
    if isinstance(value, pandas.Series) and index is not None and not value.index.equals(index):
        return None
    plain = value.array if isinstance(value, pandas.Series) else value
    return plain if _can_be_judged(plain, pandas) else None


def _can_be_judged(plain: Any, pandas: Any) -> bool:
    kind = plain.dtype.kind
    return kind in "biuf" or all(isinstance(value, str) for value in pandas.Series(plain).head(100))
