"""As many steps at once as the machine has cores: each has its own process, and a thread here that listens to it."""

from __future__ import annotations

import os
from concurrent.futures import Executor, ThreadPoolExecutor


def open() -> Executor:
    # two also on one core: a step that waits (for a service, a file) must not hold up the others
    return ThreadPoolExecutor(max_workers=max(2, len(os.sched_getaffinity(0))), thread_name_prefix="step")


def workers(count: int) -> Executor:
    """For `map`: `kernel.map_work` keeps a process beside each thread, so that a thread only has to wait for it.

    A pool of processes would do as well, and be one more process and one more copy on the way for each.
    """
    return ThreadPoolExecutor(max_workers=count, thread_name_prefix="worker")
