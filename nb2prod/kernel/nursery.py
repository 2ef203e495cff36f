"""The process that all steps of a run come from: it has imported their libraries once, and forks one child a step.

    python -P -m nb2prod.kernel.nursery ADDRESS

It listens to the engine at ADDRESS: `("fork", address)` makes a child that reports at that address and answers its
process number; `("ended", process)` waits for a child and answers how it ended. A child is a process group of its own,
and dies with the nursery, as the nursery dies with the engine.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from multiprocessing.connection import Client, Connection

DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
OUR_SEED = "NB2PROD_HASH_SEED"  # says that PYTHONHASHSEED was set by the engine and not by the user


def serve(address: str) -> None:
    """Fork children until the engine goes away."""
    die_with_parent()
    if os.environ.pop(OUR_SEED, ""):
        os.environ.pop("PYTHONHASHSEED", None)  # it was ours, and is no affair of what the notebook starts
    engine = Client(address, "AF_UNIX")
    _prepare(engine)
    while True:
        try:
            request, what = engine.recv()
        except (EOFError, OSError):
            return
        if request == "fork":
            child = os.fork()
            if child == 0:
                engine.close()
                _child(what)
            engine.send(child)
        else:
            engine.send(_ended(what))


def _prepare(engine: Connection) -> None:
    """Import what the steps will need; what cannot be imported fails in the step that asks for it."""
    import importlib

    from nb2prod.kernel import step_process

    names = engine.recv()
    step_process.prepare()  # first: some libraries ask, when they are imported, what they are imported in
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001 - a library that breaks here breaks again where the notebook imports it
            sys.modules.pop(name, None)
    step_process.inherit()
    engine.send("ready")


def _child(address: str) -> None:
    os.setpgid(0, 0)
    die_with_parent()
    code = 1
    try:
        from nb2prod.kernel import step_process

        step_process.work(Client(address, "AF_UNIX"))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing above us may go on in a forked child
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _ended(child: int) -> int | None:
    """How a child ended: its exit code, or a signal's number below zero; None when it still runs."""
    for _ in range(100):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    return None


def die_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)


if __name__ == "__main__":
    serve(sys.argv[1])
