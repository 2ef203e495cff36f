"""What libraries do when they are used for the first time, done before the first item.

scikit-learn reads the entry points of every installed package the first time that it is given a frame (16 ms where 240
are installed), pandas compiles and loads parts of itself. A forked child would do it again for every item: measured
20 ms for a first `Ridge().fit`, 6 ms after this. Nothing here draws random numbers or sets an option.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping


def all_loaded() -> None:
    """Use those libraries that are loaded."""
    for name, use in USES.items():
        if name in sys.modules:
            use()


def _pandas() -> None:
    import pandas

    frame = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1, 2, 4], "c": ["x", "y", "x"]})
    taken = frame.iloc[0:2].reset_index(drop=True)
    taken[["a", "b"]].to_numpy()
    frame[frame["a"] > 1].groupby("c")["a"].mean()


def _sklearn() -> None:
    import pandas
    from sklearn.utils.validation import check_X_y

    frame = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0, 4.0]})
    check_X_y(frame, frame["a"])


USES: Mapping[str, Callable[[], None]] = {"pandas": _pandas, "sklearn": _sklearn}
