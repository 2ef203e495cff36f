"""Which statement of a changed function is which of the function as it was exported."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from nb2prod.stages.syncing.segments import Segment

ALIKE = 0.5  # from here on a statement counts as the changed form of another
Pair = tuple[int | None, int | None]


def aligned(before: Sequence[Segment], after: Sequence[Segment]) -> list[Pair]:
    """(position before, position after) in order; None where a statement is only on one side."""
    matcher = difflib.SequenceMatcher(None, [s.key for s in before], [s.key for s in after], autojunk=False)
    pairs: list[Pair] = []
    for what, i, i_end, j, j_end in matcher.get_opcodes():
        if what == "equal":
            pairs += zip(range(i, i_end), range(j, j_end), strict=True)
        else:
            pairs += [
                (None if a is None else a + i, None if b is None else b + j)
                for a, b in _changed(before[i:i_end], after[j:j_end])
            ]
    return pairs


def _changed(before: Sequence[Segment], after: Sequence[Segment]) -> list[Pair]:
    """The pairing in order with the greatest likeness."""
    best = [[0.0] * (len(after) + 1) for _ in range(len(before) + 1)]
    like = [[_likeness(one, other) for other in after] for one in before]
    for i in range(len(before) - 1, -1, -1):
        for j in range(len(after) - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + like[i][j])
    pairs: list[Pair] = []
    i = j = 0
    while i < len(before) and j < len(after):
        if like[i][j] and best[i][j] == best[i + 1][j + 1] + like[i][j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            pairs.append((i, None))
            i += 1
        else:
            pairs.append((None, j))
            j += 1
    return [*pairs, *((n, None) for n in range(i, len(before))), *((None, n) for n in range(j, len(after)))]


def _likeness(one: Segment, other: Segment) -> float:
    """From 0 to 2; the place behind the last statement is like nothing but itself."""
    if not one.text or not other.text:
        return 2.0 if one.text == other.text else 0.0
    if one.meaning == other.meaning:
        return 2.0
    ratio = difflib.SequenceMatcher(None, one.text, other.text, autojunk=False).ratio()
    return ratio if ratio >= ALIKE else 0.0
