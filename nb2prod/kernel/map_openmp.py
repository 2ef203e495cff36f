"""Whether what runs on OpenMP still runs in a forked child.

GNU's OpenMP keeps its threads for the next parallel region, and a child does not have them: where the shared cells
have trained something (`HistGradientBoosting…` in a setup cell), every item that trains would wait for them for ever.
Nothing says whether a process has used OpenMP, so a child tries it.
"""

from __future__ import annotations

import ctypes
import multiprocessing.connection
import os
import re
import signal
from pathlib import Path

LONG = 20.0  # seconds for what takes a millisecond
LIBRARY = re.compile(r"\S*/libgomp[^/\s]*$", re.MULTILINE)


def survives_fork(limit: float = LONG) -> bool:
    """False when a child that uses OpenMP hangs. Nothing is used in this process itself."""
    libraries = _loaded()
    if not libraries:
        return True
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for library in libraries:
                _parallel(library)
            os.write(writing, b".")
        finally:
            os._exit(0)
    os.close(writing)
    answered = bool(multiprocessing.connection.wait([reading], limit)) and os.read(reading, 1) == b"."
    os.close(reading)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return answered


def _loaded() -> list[str]:
    """The files of GNU's OpenMP in this process: wheels bring their own."""
    maps = Path("/proc/self/maps")
    return sorted(set(LIBRARY.findall(maps.read_text()))) if maps.exists() else []


def _parallel(library: str) -> None:
    """A parallel region of two threads that call `free(NULL)`, which does nothing."""
    nothing = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)
    ctypes.CDLL(library).GOMP_parallel(nothing, None, 2, 0)
