"""Folders for the length of a command: sockets, values on their way, checked copies of packages.

A killed command cannot remove its own. Their names tell whose they are (`nb2prod-1f3a-1234-…`: host and process), so
that the next one removes those of processes of this host that are gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
import tempfile
from pathlib import Path

NAME = re.compile(r"nb2prod-([0-9a-f]{4})-(\d+)-\w+")


def prefix() -> str:
    """What the name of a folder of this process begins with."""
    return f"nb2prod-{_host()}-{os.getpid()}-"


def folder() -> tempfile.TemporaryDirectory[str]:
    """One of this process, removed at the end of the `with`, or by the next command when this one is killed."""
    return tempfile.TemporaryDirectory(prefix=prefix())


def _host() -> str:
    """Short, because the path of a socket may have no more than a hundred characters.

    Containers of one pod share host name and /tmp but count their processes apart: there a number is somebody else's.
    """
    return hashlib.sha256(f"{socket.gethostname()} {_namespace()}".encode()).hexdigest()[:4]


def _namespace() -> str:
    """Linux's name for what this process's number counts in; empty where there is only one."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def sweep() -> None:
    """Remove the folders of this user's processes that are gone."""
    with os.scandir(tempfile.gettempdir()) as entries:
        names = [entry.name for entry in entries if entry.name.startswith("nb2prod-")]
    for name in names:
        found = NAME.fullmatch(name)
        if found and found[1] == _host() and _is_ours_and_left(Path(tempfile.gettempdir()) / name, int(found[2])):
            shutil.rmtree(Path(tempfile.gettempdir()) / name, ignore_errors=True)


def _is_ours_and_left(folder: Path, process: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        if not hasattr(os, "getuid") or folder.stat().st_uid != os.getuid():
            return False
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
    return False
