"""scikit-learn's loops over trees and columns, without what they do for other threads when there are none.

Before every tree of a forest scikit-learn sets its configuration and Python's filters of warnings anew, because a tree
may be asked on another thread. With one job it is asked on the same thread, one tree after the other, where both are
already what they are set to: of one row's prediction by 200 trees that is nine tenths. Here the same functions are
called in the same order with the same arguments, and nothing between them; so every number stays what it was. It holds
within `in_turn()` and on its thread only, so that nothing else in the process is changed.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_here = threading.local()


@contextmanager
def in_turn() -> Iterator[None]:
    """Within it, loops with one job are plain ones on this thread."""
    _here.depth = getattr(_here, "depth", 0) + 1
    try:
        yield
    finally:
        _here.depth -= 1


@functools.cache
def install() -> None:
    """Teach scikit-learn's loops to look whether they are within `in_turn`. Where they are others, nothing changes."""
    try:
        from sklearn.utils.parallel import Parallel
    except ImportError:
        return
    as_before = Parallel.__call__

    @functools.wraps(as_before)
    def call(self: Any, calls: Any) -> Any:
        if not getattr(_here, "depth", 0) or not _is_plain(self):
            return as_before(self, calls)
        return [getattr(call, "function", call)(*args, **named) for call, args, named in calls]

    Parallel.__call__ = call


def _is_plain(loop: Any) -> bool:
    """Whether it has one job, says nothing, and answers a list."""
    return loop.n_jobs == 1 and not loop.verbose and not getattr(loop, "return_generator", True)
