"""The executor dask, on a real cluster of two worker processes on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from nb2prod.api._executors import executor_named
from nb2prod.core.errors import UsageError, WorkerLost

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def pool() -> Iterator[Any]:
    from nb2prod.executors import dask

    with dask.workers(2) as pool:
        yield pool


def add(one: int, other: int = 1) -> int:
    return one + other


def fail() -> None:
    raise ValueError("no such row")


def end_the_process() -> None:
    os._exit(3)


def append_and_wait(path: str, seconds: float) -> int:
    """Tell in a file that it began, and by whom."""
    with Path(path).open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return os.getpid()


def test_calls_give_what_they_return_or_raise(pool: Any) -> None:
    assert [future.result() for future in [pool.submit(add, n, other=2) for n in range(20)]] == list(range(2, 22))
    with pytest.raises(ValueError, match="no such row"):
        pool.submit(fail).result()


def test_a_call_that_takes_every_worker_with_it_is_told_so_and_others_go_on(pool: Any) -> None:
    with pytest.raises(BrokenExecutor, match="every worker that had it was lost"):
        pool.submit(end_the_process).result()
    assert pool.submit(add, 1).result() == 2


def test_what_a_lost_worker_had_is_done_by_another_and_arrives_once(pool: Any, tmp_path: Path) -> None:
    path = tmp_path / "began"
    path.touch()
    future = pool.submit(append_and_wait, str(path), 1.0)
    while not (began := path.read_text().split()):
        time.sleep(0.02)
    os.kill(int(began[0]), signal.SIGKILL)
    done = future.result(30)
    assert done != int(began[0])
    assert [int(line) for line in path.read_text().split()] == [int(began[0]), done]


def test_a_scheduler_that_is_lost_ends_what_is_under_way() -> None:
    from nb2prod.executors import dask

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{found.getsockname()[1]}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--host", address]
    scheduler = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
    worker = subprocess.Popen(command, env=environment, start_new_session=True, **quiet)  # type: ignore[call-overload]
    try:
        with dask.workers(9, scheduler=address) as pool:
            assert pool.submit(add, 1).result(30) == 2
            under_way = [pool.submit(time.sleep, 30) for _ in range(3)]
            scheduler.kill()
            wait(under_way, 20)
            for future in under_way:
                with pytest.raises(WorkerLost, match="connection to the Dask scheduler is lost"):
                    future.result(0)
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        scheduler.kill()
        worker.wait()
        scheduler.wait()


def test_no_scheduler_at_an_address_is_an_error_with_a_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    from nb2prod.executors import dask

    monkeypatch.setattr(dask, "CONNECT", 0.5)
    with pytest.raises(WorkerLost, match=r"tcp://127.0.0.1:9: no Dask scheduler answers there\n  fix: start one"):
        dask.workers(1, scheduler="tcp://127.0.0.1:9")


def test_what_is_no_address_is_refused_before_anything_is_tried() -> None:
    from nb2prod.executors import dask

    with pytest.raises(UsageError, match="this is no address of a Dask scheduler"):
        dask.workers(1, scheduler="over there")


def test_an_executor_without_a_scheduler_says_who_has_one() -> None:
    with pytest.raises(UsageError, match="the executor serial has no --scheduler\n  fix: --executor dask"):
        executor_named("serial", scheduler="tcp://127.0.0.1:8786")


def threads() -> list[int]:
    import numpy as np
    import threadpoolctl

    np.ones((2, 2)) @ np.ones((2, 2))
    return [library["num_threads"] for library in threadpoolctl.threadpool_info()]


def test_the_cores_are_shared_out_among_the_workers(pool: Any) -> None:
    share = max(1, len(os.sched_getaffinity(0)) // len(pool.addresses()))
    assert set(pool.submit(threads).result()) == {int(os.environ.get("OPENBLAS_NUM_THREADS", share))}
