"""Numbers, times, paths and messages of others, as the console writes them."""

from __future__ import annotations

import math
import re
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f]")


def short_path(path: str) -> str:
    """A path as a person would type it here."""
    full = Path(path).absolute()
    return str(full.relative_to(Path.cwd())) if full.is_relative_to(Path.cwd()) else path


def tests_text(passed: int, failed: int) -> str:
    if failed:
        return f"{failed} of {counted(passed + failed, 'test')} failed"
    return f"{counted(passed, 'test')} passed" if passed else ""


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration_text(seconds: float) -> str:
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def size_text(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def number_text(value: float) -> str:
    """Four digits are enough to see; whole numbers are whole."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.4g}"


def without_escapes(text: str) -> str:
    return _ESCAPES.sub("", text)


def first_line(message: str) -> str:
    return next(iter(without_escapes(message).strip().splitlines()), "")
