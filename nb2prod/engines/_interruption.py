"""SIGINT and SIGTERM while steps run: both end the run as a failure that says which of them came."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interrupting() -> Iterator[list[str]]:
    """Meanwhile SIGINT and SIGTERM raise KeyboardInterrupt here; the list then holds the signal's name."""
    names: list[str] = []

    def end(number: int, _: Any) -> None:
        names.append(signal.Signals(number).name)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread() or _in_jupyter():
        yield names
        return
    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield names
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _in_jupyter() -> bool:
    """Whether a kernel called us: signals are its affair."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None
