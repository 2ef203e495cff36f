"""What a step's cells take of the machine: seconds of its processors, and memory at the peak.

    meter = Meter()
    …
    cpu, peak = meter.read()

Processes that the cells started count with their processor seconds once they have ended; their memory does not count.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_HIGH_WATER = "5"  # what proc(5) wants to hear to begin a new peak


class Meter:
    """From its making on."""

    def __init__(self) -> None:
        _begin_peak()
        self._cpu = _cpu()

    def read(self) -> tuple[float, int]:
        """(processor seconds since the beginning, peak of the resident memory since then in bytes)."""
        return max(0.0, _cpu() - self._cpu), _peak()


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _begin_peak() -> None:
    try:
        Path("/proc/self/clear_refs").write_text(_HIGH_WATER, encoding="ascii")
    except OSError:
        return  # not Linux, or not ours to say: the peak is then that of the whole process


def _peak() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
