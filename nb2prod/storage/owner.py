"""Who a run belongs to: one process, told from any other, also from a later one that has its number."""

from __future__ import annotations

import os
import socket

_START_TOLERANCE = 2.0  # seconds: a boot time corrected by the clock moves every start time a little


def owner() -> str:
    """This process, as `host:pid:start`."""
    import psutil

    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"


def is_gone(owner: str) -> bool:
    """Whether an owner is known to be gone: a process of this host that ended, or whose number another one has now.

    False for a process of another host, of which nothing is known, and for a text that names no owner.
    """
    import psutil

    host, pid, start = _parts(owner)
    if host != socket.gethostname() or pid is None:
        return False
    try:
        process = psutil.Process(pid)
        ended = process.status() == psutil.STATUS_ZOMBIE
        return bool(ended or abs(process.create_time() - start) > _START_TOLERANCE)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def _parts(owner: str) -> tuple[str, int | None, float]:
    host, _, rest = owner.partition(":")
    pid, _, start = rest.partition(":")
    try:
        return host, int(pid), float(start)
    except ValueError:
        return host, None, 0.0
