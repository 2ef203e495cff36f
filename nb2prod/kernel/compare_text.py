"""What two runs printed, line by line. Times that were measured and addresses in memory are never called equal.

0.912                          0.913                          different
0.30000000000000004            0.3                            tolerant
<Model at 0x7f3a51c0>          <Model at 0x7f66d2e0>          uncompared
fitted in 0.31 s               fitted in 0.29 s               uncompared
"""

from __future__ import annotations

import re

from nb2prod.core.equality import Difference

TOLERANCE = 1e-9
NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?(?![\w.])")
UNIT = r"(?:s|sec|secs|seconds?|ms|[µμ]s|us|ns|min|mins|minutes?|it/s|s/it)"
MASKS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("an address in memory", re.compile(r"\b0x[0-9a-fA-F]{6,}\b")),
    ("the time of day", re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?\b")),
    ("the time of day", re.compile(r"\b\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?\b")),
    ("whether a file was there", re.compile(r"^(?:Writing|Overwriting)(?= \S+$)")),  # what %%writefile says
    ("a time that was measured", re.compile(r"(?<=^CPU times: ).*$|(?<=^Wall time: ).*$")),  # what %%time says
    ("a time that was measured", re.compile(rf"\b\d+(?:[.,]\d+)?(?:e[-+]?\d+)?\s?{UNIT}\b(?!/)")),
    ("a time that was measured", re.compile(r"(?i)(?<=time)\s*[:=]\s*\d+(?:\.\d+)?")),
)
LONGEST = 60


def compare_text(name: str, one: str, other: str) -> Difference:
    """The notebook's text and that of isolated steps."""
    ours, theirs = one.splitlines(), other.splitlines()
    items, first, near = max(len(ours), len(theirs)), "", ""
    masked: list[str] = []
    count = 0
    for number, (line, another) in enumerate(zip(ours, theirs, strict=False), start=1):
        if line == another:
            continue
        count += 1
        said = f"{name}, line {number}: {shown(line)} and {shown(another)}"
        reason = _masked(line, another)
        if reason:
            masked.append(f"{name}, line {number}: {reason} ({shown(line)} and {shown(another)})")
        elif _near(line, another):
            near = near or said
        else:
            first = first or said
    if len(ours) != len(theirs):
        count += abs(len(ours) - len(theirs))
        first = first or _missing(name, ours, theirs)
    if not count and one != other:
        count, first = 1, f"{name}: the lines end otherwise"
    verdict = "different" if first else "uncompared" if masked else "tolerant" if near else "equal"
    tolerance = "printed numbers: 1 part in 10^9" if verdict == "tolerant" else ""
    return Difference(
        verdict,  # type: ignore[arg-type]
        first or near,
        count=count,
        items=items,
        tolerance=tolerance,
        uncompared=tuple(masked[:20]),
    )


def _missing(name: str, ours: list[str], theirs: list[str]) -> str:
    """The first line that only one side has, below all that both have."""
    shorter = min(len(ours), len(theirs))
    side, lines = ("the notebook", ours) if len(ours) > shorter else ("isolated steps", theirs)
    return f"{name}, line {shorter + 1}: only {side} printed {shown(lines[shorter])}"


def _masked(line: str, other: str) -> str:
    """What was measured, when the two lines differ in nothing else; empty when they do."""
    for reason, pattern in MASKS:
        line, other = pattern.sub("…", line), pattern.sub("…", other)
        if line == other:
            return reason
    return ""


def _near(line: str, other: str) -> bool:
    """Whether two lines differ in the last digits of floats alone."""
    if NUMBER.sub("#", line) != NUMBER.sub("#", other):
        return False
    pairs = zip(NUMBER.findall(line), NUMBER.findall(other), strict=True)
    return all(one == two or _close(one, two) for one, two in pairs)


def _close(one: str, other: str) -> bool:
    a, b = float(one), float(other)
    return "." in one + other and abs(a - b) <= TOLERANCE * max(abs(a), abs(b))


def shown(text: str) -> str:
    return repr(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")
