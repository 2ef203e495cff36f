"""A verb of the command line, run from within a notebook, in a process of its own.

The notebook's own process is no place for it: there a loop is running already, so that an interrupt would not reach the
run; ending a kernel closes sockets that this one shares; and MLflow, pytest and their settings would stay behind.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

INLINE = "module://matplotlib_inline.backend_inline"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the command said: its document (empty when it has none), its exit code, its last words on stderr."""

    document: Mapping[str, Any] = field(default_factory=dict)
    code: int = 0
    words: str = ""


def command(words: Sequence[str], progress: Callable[[str], None]) -> Answer:
    """Run `nb2prod WORDS --json`; `progress` is told each line that it writes. An interrupt is passed on to it."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stdout:
        child = subprocess.Popen(
            [sys.executable, "-m", "nb2prod", *words, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment(os.environ),
            start_new_session=True,
        )
        lines = _followed(child, progress)
        stdout.seek(0)
        return Answer(_document(stdout.read()), child.returncode, "\n".join(lines[-20:]))


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """The child's variables: what a kernel sets for itself is not for others."""
    inherited = {name: value for name, value in own.items() if (name, value) != ("MPLBACKEND", INLINE)}
    inherited.pop("JPY_SESSION_NAME", None)
    return inherited


def _followed(child: subprocess.Popen[str], progress: Callable[[str], None]) -> list[str]:
    lines: list[str] = []
    assert child.stderr is not None
    while True:
        try:
            for line in child.stderr:
                lines.append(line.rstrip())
                progress(line.rstrip())
            child.wait()
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)
        else:
            return lines


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return dict(document) if isinstance(document, dict) else {}
