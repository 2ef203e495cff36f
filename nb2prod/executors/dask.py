"""On a Dask cluster: one on this machine unless `scheduler` names another (`tcp://10.0.0.7:8786`).

Workers need nb2prod and the notebook's libraries installed, and nothing else: the work carries the code, a store at a
URL carries the values. A worker that is lost takes nothing with it: Dask gives what it had to another. A scheduler that
is lost ends the run with WorkerLost, and `--resume` goes on with another.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import platform
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from nb2prod.core.errors import MissingExtra, Nb2prodError, UsageError, WorkerLost

logger = logging.getLogger(__name__)
Made = TypeVar("Made")
CONNECT = 20.0  # seconds until a scheduler that does not answer is taken for gone
NO_WORKER = 60.0  # seconds that work may wait while there is no worker at all
LOOK = 2.0
CLOSE = 10.0
ADDRESS = re.compile(r"(?:(?:tcp|tls|ws|wss)://)?[\w.:\[\]-]+:\d+")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def open(scheduler: str = "") -> Executor:
    """For the steps of one pipeline: a thread here for each that may run at once, which gives it to a worker."""
    client, cluster = _connected(max(2, len(os.sched_getaffinity(0))), scheduler)
    return Steps(Cluster(client, cluster))


def workers(count: int, scheduler: str = "") -> Executor:
    """`count` processes for work that can be pickled; of a cluster that is there already, all that it has."""
    return Cluster(*_connected(count, scheduler))


class Cluster(Executor):
    """A standard Executor over a Dask client, on which other calls go on when one takes its worker with it.

    A call whose worker is lost is done by another; one that every worker is lost over raises BrokenExecutor. When the
    scheduler is lost, or there is no worker any more, all futures raise WorkerLost. Who calls something that lasts
    should let a process beside the worker do it: a worker must answer its scheduler.
    """

    def __init__(self, client: Any, cluster: Any = None) -> None:
        self.client = client
        self._cluster = cluster
        self._lock = threading.Lock()
        self._under_way: dict[Future[Any], Any] = {}
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="nb2prod-dask", daemon=True).start()

    @property
    def is_own(self) -> bool:
        """Whether the workers were started here, for us."""
        return self._cluster is not None

    def submit(self, call: Callable[..., Made], /, *arguments: Any, **named: Any) -> Future[Made]:
        return self._submit("", functools.partial(call, **named) if named else call, arguments)

    def submit_to(self, worker: str, call: Callable[..., Made], /, *arguments: Any) -> Future[Made]:
        """Call it in the worker of that address; without one, in any."""
        return self._submit(worker, call, arguments)

    def everywhere(self, call: Callable[..., Any], /, *arguments: Any) -> None:
        """Call it in every worker that there is, now, also in those that are busy; who cannot, does not."""
        try:
            if self.client.status == "running":
                self.client.run(call, *arguments, on_error="ignore")
        except (OSError, TimeoutError, RuntimeError) as error:
            logger.debug("the connection to Dask is gone: %s", error)

    def addresses(self) -> frozenset[str]:
        """The workers that there are."""
        return frozenset(self.client.scheduler_info(n_workers=-1)["workers"])

    def _submit(self, worker: str, call: Callable[..., Made], arguments: tuple[Any, ...]) -> Future[Made]:
        if self._closed.is_set():
            raise RuntimeError("cannot schedule new futures after shutdown")
        here: Future[Made] = Future()
        there = self._asked(worker, call, arguments)
        with self._lock:
            self._under_way[here] = there
        here.add_done_callback(self._forget)
        self.client.loop.add_callback(self._arrives, here, there)
        return here

    def _asked(self, worker: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        chosen: dict[str, Any] = {"workers": [worker], "allow_other_workers": False} if worker else {}
        try:
            return self.client.submit(call, *arguments, pure=False, **chosen)
        except Exception as error:
            if self.client.status == "running":
                raise  # it cannot be pickled
            raise _gone(error) from error

    async def _arrives(self, here: Future[Any], there: Any) -> None:
        """Hand on what comes, once. In Dask's loop: many results are on their way at the same time."""
        try:
            found, status = await there._result(raiseit=False), there.status
        except BaseException as error:  # noqa: BLE001 - what the call itself raised is returned: this is the way here
            found, status = error, "cancelled"
        if not here.set_running_or_notify_cancel():
            return
        if status == "finished":
            here.set_result(found)
        else:
            here.set_exception(_gone(found) if status == "cancelled" else _said(found[1]))

    def _forget(self, here: Future[Any]) -> None:
        with self._lock:
            there = self._under_way.pop(here, None)
        if here.cancelled() and there is not None and not there.done():
            there.cancel()

    def _watch(self) -> None:
        """Without a worker Dask waits for ever."""
        last = time.monotonic()
        while not self._closed.wait(LOOK):
            with self._lock:
                waiting = list(self._under_way.items())
            if not waiting or self._workers():
                last = time.monotonic()
            elif time.monotonic() - last > NO_WORKER:
                for here, there in waiting:
                    there.cancel()
                    if here.set_running_or_notify_cancel():
                        here.set_exception(_no_worker())

    def _workers(self) -> int:
        """How many there are; while nobody can say (the connection is gone), none."""
        try:
            return len(self.addresses())
        except Exception:  # noqa: BLE001 - the futures say what happened to the connection
            return 0

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if self._closed.is_set():
            return
        with self._lock:
            waiting = list(self._under_way)
        for here in waiting if cancel_futures else ():
            here.cancel()
        if wait:
            for here in waiting:
                if not here.cancelled():
                    here.exception()
        self._closed.set()
        self._close()

    def _close(self) -> None:
        """What we started ends with us at the latest; a connection that is gone already needs no closing."""
        for close in (self.client.close, *([self._cluster.close] if self._cluster is not None else [])):
            try:
                close(timeout=CLOSE)
            except Exception as error:  # noqa: BLE001 - what was asked for is done, or has failed, before this
                logger.debug("closing what belongs to Dask: %s", error)


class Steps(ThreadPoolExecutor):
    """Threads that wait for what runs `away`, as many as the cluster has room for."""

    def __init__(self, away: Cluster) -> None:
        self.away = away
        super().__init__(max(1, sum(away.client.ncores().values())), thread_name_prefix="step")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait, cancel_futures=cancel_futures)
        self.away.shutdown(wait)


def _connected(count: int, scheduler: str) -> tuple[Any, Any]:
    try:
        import dask
        import distributed
    except ImportError as error:
        raise MissingExtra("distributed", "dask", purpose="the executor dask") from error
    # what counts is said in our words; DASK_LOGGING__DISTRIBUTED=info lets Dask speak for itself
    silent = False if dask.config.get("logging", None) else logging.CRITICAL
    if silent:
        logging.getLogger("distributed").setLevel(silent)
    if scheduler:
        return _existing(distributed, scheduler), None
    with dask.config.set(_settings(max(1, count))), _environment_kept():
        cluster: Any = distributed.LocalCluster(
            n_workers=max(1, count),
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            memory_limit=None,
            silence_logs=silent,
        )
        return distributed.Client(cluster, set_as_default=False), cluster


def _settings(count: int) -> dict[str, Any]:
    """Of a cluster of our own: the machine's cores are shared out among the workers, unless the user has said how."""
    threads = str(max(1, len(os.sched_getaffinity(0)) // count))
    return {
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.nanny.pre-spawn-environ": {name: threads for name in THREADS if name not in os.environ},
    }


@contextlib.contextmanager
def _environment_kept() -> Iterator[None]:
    """What Dask sets for workers in our own environment goes from there when they have started."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]


def _existing(distributed: Any, scheduler: str) -> Any:
    if not ADDRESS.fullmatch(scheduler):
        raise UsageError("this is no address of a Dask scheduler", where=scheduler, fix="write it as tcp://HOST:8786")
    try:
        client = distributed.Client(scheduler, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise WorkerLost(
            "no Dask scheduler answers there",
            where=scheduler,
            fix="start one (dask scheduler), or correct the address: tcp://HOST:8786",
        ) from error
    try:
        _refuse_strangers(client, scheduler)
    except BaseException:
        client.close(timeout=5)
        raise
    return client


def _refuse_strangers(client: Any, scheduler: str) -> None:
    """Code travels as Python's own bytes, and values as pickles: both sides have to be of one kind."""
    try:
        client.wait_for_workers(1, timeout=CONNECT)
    except TimeoutError as error:
        raise WorkerLost(
            "the scheduler has no workers", where=scheduler, fix=f"start some: dask worker {scheduler}"
        ) from error
    ours = versions()
    for worker, found in client.run(_versions_there, on_error="return").items():
        if isinstance(found, Exception):
            raise WorkerLost(
                f"it cannot work for us: {type(found).__name__}: {found}",
                where=worker,
                fix="install nb2prod[dask] in the environment of the workers",
            )
        for what, version in ours.items():
            if found[what] != version:
                raise WorkerLost(
                    f"it has {what} {found[what]}, and we have {version}",
                    where=worker,
                    fix="give the workers the environment that the command runs in",
                )


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {"Python": ".".join(platform.python_version_tuple()[:2]), "nb2prod": version("nb2prod")}


def _versions_there() -> dict[str, str]:
    from nb2prod.executors import dask as ours

    return ours.versions()


def _said(error: Exception) -> Exception:
    """Dask's own words for a call that took its worker with it, three times, in those of the standard library."""
    if type(error).__name__ == "KilledWorker":
        return BrokenExecutor("every worker that had it was lost; the workers' logs say why")
    return error


def _gone(error: BaseException) -> Nb2prodError:
    last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return WorkerLost(
        f"the connection to the Dask scheduler is lost ({last})",
        fix="look at the scheduler, then go on with --resume, where the command has it",
    )


def _no_worker() -> Nb2prodError:
    return WorkerLost(
        f"the scheduler has had no worker for {NO_WORKER:g} s", fix="start workers, then go on with --resume"
    )
