"""scikit-learn's `n_jobs`, in a step that runs on a cluster: joblib's tasks become tasks of the same cluster.

    use(scheduler, say)        once in the process of a step, before its cells

Only what asks for more than one job goes there; all else runs as ever. While such a call waits, the step's worker is
told (`say(True)`, and `say(False)` afterwards), so that it gives its place to the tasks: steps that wait for each
other's places would wait for ever. What a task computes computes alone: neither it nor a library's threads take more
than the one place that it has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nb2prod.kernel import watching


def use(scheduler: str, say: Callable[[bool], None]) -> None:
    """From now on, in this thread, joblib asks the cluster of that address."""
    import joblib

    joblib.parallel_config(_chooser(scheduler, say))


def _chooser(scheduler: str, say: Callable[[bool], None]) -> Any:
    """What joblib asks first: one job runs here, more on the cluster, with which it is connected then."""
    from joblib.parallel import FallbackToBackend, ParallelBackendBase, SequentialBackend

    class Chooser(ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
        default_n_jobs = 1
        cluster: Any = None

        def effective_n_jobs(self, n_jobs: int | None) -> int:
            return 1 if n_jobs in (1, None) else int(self._connected().effective_n_jobs(n_jobs))

        def configure(self, n_jobs: int | None = 1, parallel: Any = None, **options: Any) -> int:
            if n_jobs in (1, None):
                raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
            raise FallbackToBackend(self._connected())

        def _connected(self) -> Any:
            if self.cluster is None:
                # it is ours, and not the notebook's, to speak to the scheduler
                watching.allow(scheduler.rpartition("/")[2])
                with watching.off():
                    self.cluster = _backend(scheduler, say)
            return self.cluster

    return Chooser()


def _backend(scheduler: str, say: Callable[[bool], None]) -> Any:
    import distributed
    from joblib._dask import DaskDistributedBackend

    class OnCluster(DaskDistributedBackend):  # type: ignore[misc]
        def start_call(self) -> None:
            say(True)
            super().start_call()

        def stop_call(self) -> None:
            super().stop_call()
            say(False)

        def effective_n_jobs(self, n_jobs: int) -> int:
            places = int(super().effective_n_jobs(n_jobs))
            return min(n_jobs, places) if n_jobs > 0 else places

        async def _to_func_args(self, func: Any) -> Any:
            batch, tasks = await super()._to_func_args(func)
            return Alone(batch), tasks

    return OnCluster(client=distributed.Client(scheduler, set_as_default=False))


class Alone:
    """A batch of joblib's tasks, in which nothing else runs at the same time."""

    def __init__(self, batch: Any) -> None:
        self._said = repr(batch)

    def __call__(self, tasks: Any = None) -> list[Any]:
        import joblib

        with joblib.parallel_config("sequential"):
            return [call(*arguments, **named) for call, arguments, named in tasks]

    def __repr__(self) -> str:
        return self._said
