"""Files are scored in other processes: each has some of the files, and loads the model once for them.

An executor gives its workers `score_apart`, which starts a process and waits for it: a worker of a cluster must answer
its scheduler meanwhile, and a thread has nothing of its own that a model could harm. The process is this module, run as
`python -m nb2prod.stages.scoring.elsewhere`; it reads what to do from stdin and answers on stdout, in pickles that we
made ourselves. The parts are files, so the workers of a cluster must see the folder of the output, and the data.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, wait
from pathlib import Path
from typing import Any

from nb2prod.core.errors import WorkerLost
from nb2prod.core.policy import Policy
from nb2prod.core.scored import Advance
from nb2prod.stages.admission import admitted, find_policy
from nb2prod.stages.scoring.one_file import Tell, Total, Work, score_files
from nb2prod.stages.scoring.parts import Parts, Request

SHARES = 4  # of the files, for each worker, at most: who is done early takes another
WORTH = 64 << 20  # bytes for which it pays to load the model once more
LOOK = 0.5
_under_way: set[subprocess.Popen[bytes]] = set()


def on(executor: Callable[[], Executor], workers: int, policy: Policy | None) -> Work:
    """Scoring by the workers of an executor, which is opened when there is something to do.

    Each admits the package for itself: a worker of a cluster does not see the copy that was made here.
    """

    def work(request: Request, package: Path, files: Sequence[int], tell: Tell) -> str:
        shares = _shares(request, files, workers)
        chosen = find_policy(Path(request.package)) if policy is None else policy
        with executor() as pool:
            futures = [pool.submit(score_apart, request, share, chosen) for share in shares]
            try:
                _watch(request, futures, tell)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                _end_all()
                raise
            return futures[0].result()

    return work


def _shares(request: Request, files: Sequence[int], workers: int) -> list[list[int]]:
    """The files in about equal shares by size, the largest first."""
    size = sum(request.sources[file].size for file in files)
    count = min(len(files), max(workers, min(workers * SHARES, size // WORTH)))
    shares: list[tuple[int, list[int]]] = [(0, []) for _ in range(count)]
    for number in sorted(files, key=lambda file: -request.sources[file].size):
        least = min(range(count), key=lambda place: shares[place][0])
        size, share = shares[least]
        shares[least] = (size + request.sources[number].size, [*share, number])
    return [share for _, share in shares]


def _watch(request: Request, futures: Sequence[Future[str]], tell: Tell) -> None:
    """Until all are done, or one has failed: then its error is raised."""
    parts, waiting = Parts(request), set(futures)
    while waiting:
        done, waiting = wait(waiting, timeout=LOOK, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
        total = Total(request, last := _Last())
        for number in range(len(request.sources)):
            there = parts.done(number)
            total.hear(number, there.rows, there.rejected, 1.0 if there.whole else 0.0)
        tell(last.heard)


class _Last:
    """Keeps the last that it heard."""

    heard = Advance(0, 0, 0.0)

    def __call__(self, advance: Advance) -> None:
        self.heard = advance


def score_apart(request: Request, files: Sequence[int], policy: Policy) -> str:
    """Score these files in a process of their own. Raises what is raised there."""
    process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    _under_way.add(process)
    with process, _ended(process):
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # its end is told below
            process.stdin.write(pickle.dumps((request, list(files), policy)))
            process.stdin.flush()
        said = process.stdout.read()
    if process.returncode or not said:
        raise WorkerLost(
            f"a process that scores ended with {process.returncode}",
            fix="make the same call again: it goes on where it was",
        )
    answer: Any = pickle.loads(said)
    if isinstance(answer, Exception):
        raise answer
    return str(answer)


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Whatever happens, the process does not outlive this."""
    try:
        yield
    except BaseException:
        process.kill()
        raise
    finally:
        _under_way.discard(process)


def _end_all() -> None:
    for process in list(_under_way):
        process.kill()


def _end_with_caller() -> None:
    """Who started this process keeps its stdin open as long as it waits; when it is killed, nobody waits any more."""
    while os.read(0, 1):
        pass
    os._exit(WorkerLost.exit_code)


def main() -> None:
    answers = sys.stdout.buffer
    request, files, policy = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_caller, daemon=True).start()
    with contextlib.redirect_stdout(sys.stderr):  # what the model prints is no answer
        try:
            with admitted(Path(request.package), policy) as package:
                answer: Any = score_files(request, package, files, lambda _: None)
        except Exception as error:  # noqa: BLE001 - it is raised again where it was asked for
            answer = error
    answers.write(pickle.dumps(answer))
    answers.flush()


if __name__ == "__main__":
    main()
