"""Three texts become one: what one side changed is taken, what both changed is a conflict, as git has it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nb2prod.core.errors import UsageError

LABELS = ("project", "as exported", "notebook")
CONFLICT = re.compile(r"^<<<<<<< project\n.*?^>>>>>>> notebook\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Merged:
    """`text` has markers where `conflicts` (line, the lines with their markers) are."""

    text: str
    conflicts: tuple[tuple[int, str], ...] = ()


def merged(base: str, ours: str, theirs: str) -> Merged:
    """Line by line. Raises UsageError without git."""
    if ours == theirs or base == theirs:
        return Merged(ours)
    if base == ours:
        return Merged(theirs)
    text = _by_git(_ended(base), _ended(ours), _ended(theirs))
    conflicts = [(text[: found.start()].count("\n") + 1, found[0]) for found in CONFLICT.finditer(text)]
    return Merged(text, tuple(conflicts))


def _ended(text: str) -> str:
    return text if text.endswith("\n") or not text else f"{text}\n"


def _by_git(base: str, ours: str, theirs: str) -> str:
    if shutil.which("git") is None:
        raise UsageError("both sides have changed, and to merge them needs git", fix="install git")
    with tempfile.TemporaryDirectory(prefix="nb2prod-") as name:
        folder = Path(name)
        for side, text in (("base", base), ("ours", ours), ("theirs", theirs)):
            (folder / side).write_bytes(text.encode())
        labels = [word for label in LABELS for word in ("-L", label)]
        command = ["git", "merge-file", "-p", "--diff3", *labels, "ours", "base", "theirs"]
        # settings of the person or of a repository around it must not change what comes out
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False, env=_plain())
    if not 0 <= done.returncode <= 127:
        raise UsageError(
            f"git does not merge: {done.stderr.decode(errors='replace').strip()}", fix="look at `git --version`"
        )
    return done.stdout.decode()


def _plain() -> dict[str, str]:
    import os

    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CEILING_DIRECTORIES": "/"}


def without_conflict(base: str, ours: str, theirs: str) -> str | None:
    """The merge of pieces of code, None where they conflict; without a final line end, as they come."""
    made = merged(f"{base}\n", f"{ours}\n", f"{theirs}\n")
    return None if made.conflicts else made.text.removesuffix("\n")
