"""A process that may look at packages and load none: an audit hook writes down whatever would be a breach of that.

    python -m tests.stages.watched_process SCRATCH PATH…

For each path it prints one line of JSON: what was said of it by each way in, and the breaches. Unpickling, running code
of a package, importing a library that loads models, starting a process, opening an address, and writing outside of
`SCRATCH` are breaches.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from nb2prod.core.errors import Nb2prodError
from nb2prod.core.policy import Policy
from nb2prod.stages import admission, trust

BYTES, FILES = 20_000_000, 300  # what its policy allows
LIBRARIES = ("mlflow", "cloudpickle", "skops", "joblib", "onnx", "onnxruntime", "pandas", "numpy", "scipy", "sklearn")
LOADERS = (*LIBRARIES, "evil")
RUNS = ("os.system", "subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork", "socket.connect", "ctypes.dlopen")
WRITES = ("os.mkdir", "os.rename", "os.link", "os.symlink", "shutil.copyfile")


class Watch:
    def __init__(self, scratch: Path) -> None:
        self.scratch = str(scratch)
        self.breaches: list[str] = []
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "pickle.find_class" or event in RUNS:
            self.breaches.append(f"{event} {arguments!r}"[:200])
        elif event == "import" and arguments[0].partition(".")[0] in LOADERS:
            self.breaches.append(f"import {arguments[0]}")
        elif event == "exec" and self._is_of_package(getattr(arguments[0], "co_filename", "")):
            self.breaches.append(f"exec {arguments[0].co_filename}")
        elif event == "open" and self._is_written(arguments):
            self.breaches.append(f"open {arguments[0]!r} {arguments[1]!r}")
        elif event in WRITES and not self._is_inside(arguments[-1] if event != "os.mkdir" else arguments[0]):
            self.breaches.append(f"{event} {arguments!r}"[:200])

    def _is_of_package(self, filename: str) -> bool:
        return filename.startswith((self.scratch, "<unknown>"))

    def _is_written(self, arguments: tuple[Any, ...]) -> bool:
        path, mode, flags = arguments
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if isinstance(flags, int) else "w" in str(mode)
        return writes and not isinstance(path, int) and not self._is_inside(path)

    def _is_inside(self, path: Any) -> bool:
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        return os.path.normpath(Path.cwd() / text).startswith(self.scratch) or text == os.devnull


def said(path: Path, policy: Policy) -> list[str]:
    """What each way in says: to look, to read, to admit."""
    return [_told(lambda: _admit(path, policy)), _told(lambda: _judge(path, policy))]


def _admit(path: Path, policy: Policy) -> None:
    with admission.admitted(path, policy):
        pass


def _judge(path: Path, policy: Policy) -> None:
    contents, _, _ = admission.inspected(path, policy)
    trust.refuse(contents, policy)


def _told(act: Any) -> str:
    try:
        act()
    except Nb2prodError as error:
        return f"{type(error).__name__} {error.exit_code}: {error.what}"
    return "allowed"


def main() -> None:
    scratch = Path(sys.argv[1])
    policy = Policy(maximum_size=BYTES, maximum_files=FILES)
    watch = Watch(scratch)
    for path in map(Path, sys.argv[2:]):
        watch.breaches.clear()
        answers = said(path, policy)
        print(json.dumps({"said": answers, "breaches": watch.breaches}))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
