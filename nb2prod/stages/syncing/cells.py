"""Changed statements of a function as changed lines of the cells that it was made from.

What the engineer changed is written in, what he left is left as its author wrote it: so are magics, lines that only
show something, and everything else of the cell that is not in the project.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from nb2prod.core.edit import Edit
from nb2prod.core.origin import Piece
from nb2prod.stages.syncing.aligning import Pair, aligned
from nb2prod.stages.syncing.segments import Segment, same_code

MAGIC = re.compile(r"^\s*[%!]", re.MULTILINE)
TIMED = re.compile(r"%time\s+(?=\S)")
Merge = Callable[[str, str, str], str | None]  # (base, ours, theirs): None where they conflict
Restore = Callable[[str], str]


class CannotGoBack(ValueError):
    """A change has no place in the notebook; `line` of the project says where it is."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


@dataclass
class _Changed:
    """What becomes of one piece: None where it stays."""

    text: list[str] | None = None
    lead: list[str] | None = None
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)

    @property
    def anything(self) -> bool:
        return self.text is not None or self.lead is not None or bool(self.before) or bool(self.after)


@dataclass(frozen=True)
class Writing:
    """How text gets from the project to the notebook: `sources` are the cells, by number."""

    sources: Sequence[str]
    restore: Restore
    merge: Merge

    def lines(self, cell: int) -> list[str]:
        return self.sources[cell].split("\n")


def edits(
    pieces: Sequence[Piece], before: Sequence[Segment], after: Sequence[Segment], writing: Writing
) -> tuple[Edit, ...]:
    """The edits of cells that make `after` of `before`, whose segments are the pieces. Raises CannotGoBack."""
    if len(pieces) != len(before):
        raise CannotGoBack("it is not what was exported", before[0].line if before else 1)
    changes = [_Changed() for _ in pieces]
    pairs = aligned(before, after)
    for position, (old, new) in enumerate(pairs):
        if old is not None and new is not None:
            _change(changes[old], pieces[old], before[old], after[new], writing)
        elif old is not None:
            _remove(changes[old], pieces[old], before[old], after[-1].line)
        elif new is not None and (position == 0 or pairs[position - 1][0] is not None):
            _insert(changes, pieces, pairs, position, after, writing)
    return tuple(_written(pieces, changes, before, writing))


def _change(change: _Changed, piece: Piece, old: Segment, new: Segment, writing: Writing) -> None:
    (before, lead_before, comments_before), (after, lead_after, comments_after) = old.key, new.key
    if lead_before != lead_after:
        change.lead = list(new.lead)
    if (before, comments_before) != (after, comments_after):
        if piece.made:
            raise CannotGoBack(f"`{old.text}` stands for the end of a cell", new.line)
        change.text = _text(piece, old, new, writing).split("\n")


def _text(piece: Piece, old: Segment, new: Segment, writing: Writing) -> str:
    """The new statement, in the author's own layout where the change leaves it."""
    own = "\n".join(writing.lines(piece.cell)[piece.first - 1 : piece.last])
    base, anew = writing.restore(old.text), writing.restore(new.text)
    if MAGIC.search(own):
        return _with_magics(base, own, anew, new.line)
    for made in (_line_by_line(base, own, anew), writing.merge(base, own, anew) if "\n" in own else None):
        if made is not None and same_code(made, anew):
            return made
    return anew


def _with_magics(base: str, own: str, anew: str, line: int) -> str:
    """A changed statement that has a magic in the notebook, which must be there afterwards."""
    timed = TIMED.match(own)
    if timed and "\n" not in anew:
        return timed[0] + anew
    made = (_line_by_line(base, own, anew) or "").split("\n")
    if not all(there in made for there in own.split("\n") if MAGIC.match(there)):
        raise CannotGoBack("the statement has a magic in the notebook", line)
    return "\n".join(made)


def _line_by_line(base: str, own: str, anew: str) -> str | None:
    """The author's own lines where they are not changed, when he breaks the statement as the project does."""
    here, there, changed = own.split("\n"), base.split("\n"), anew.split("\n")
    if len(here) != len(there) or len(here) == 1:
        return None
    matcher = difflib.SequenceMatcher(None, there, changed, autojunk=False)
    parts = [here[a:b] if what == "equal" else changed[c:d] for what, a, b, c, d in matcher.get_opcodes()]
    return "\n".join(line for part in parts for line in part)


def _remove(change: _Changed, piece: Piece, old: Segment, line: int) -> None:
    if piece.made:
        raise CannotGoBack(f"`{old.text}` stands for the end of a cell, and is gone", line)
    change.text, change.lead = [], []


# -- new statements ---------------------------------------------------------------------------------------------------


def _insert(
    changes: Sequence[_Changed],
    pieces: Sequence[Piece],
    pairs: Sequence[Pair],
    position: int,
    after: Sequence[Segment],
    writing: Writing,
) -> None:
    """Put a row of new statements below the one before them, or above the one after them, in their cells."""
    row = _row(pairs, position)
    new = [after[n] for n in row]
    above = next((old for old, _ in reversed(pairs[:position]) if old is not None), None)
    below = next(old for old, _ in pairs[position + len(row) :] if old is not None)
    following = next((after[n] for _, n in pairs[position + len(row) :] if n is not None), None)
    if above is not None and pieces[above].made:
        above = None
        if pieces[below].made:
            raise CannotGoBack("it stands below what stands for the end of a cell", new[0].line)
    split = _split(new, following) if above is not None and _is_another(pieces, above, below) else len(new)
    if above is None:
        split = 0
    for segment in new[:split]:
        assert above is not None
        changes[above].after += _lines(segment, writing)
    for segment in reversed(new[split:]):
        apart = [""] if following is not None and following.apart and segment is new[-1] else []
        changes[below].before[:0] = [*_lines(segment, writing, first=segment is new[split]), *apart]


def _row(pairs: Sequence[Pair], position: int) -> list[int]:
    row: list[int] = []
    for old, new in pairs[position:]:
        if old is not None or new is None:
            break
        row.append(new)
    return row


def _is_another(pieces: Sequence[Piece], above: int, below: int) -> bool:
    return pieces[above].cell != pieces[below].cell and below < len(pieces) - 1


def _split(new: Sequence[Segment], following: Segment | None) -> int:
    """How many of the statements between two cells are of the upper one: an empty line parts cells."""
    if following is None or following.apart:
        return len(new)
    return next((n for n in range(len(new) - 1, -1, -1) if new[n].apart), len(new))


def _lines(segment: Segment, writing: Writing, *, first: bool = False) -> list[str]:
    above = [""] if segment.apart and not first else []
    return [*above, *segment.lead, *writing.restore(segment.text).split("\n")]


# -- the cells --------------------------------------------------------------------------------------------------------


def _written(
    pieces: Sequence[Piece], changes: Sequence[_Changed], before: Sequence[Segment], writing: Writing
) -> Iterator[Edit]:
    """Edits of whole lines. Statements that share a line are written one below the other when one of them changes."""
    for group in _groups(pieces):
        if not any(changes[n].anything for n in group):
            continue
        first, last = pieces[group[0]], pieces[group[-1]]
        lines = writing.lines(first.cell)
        made: list[str] = []
        for n in group:
            made += changes[n].before
            made += _lead(changes[n], pieces[n], lines)
            text = changes[n].text
            if text is None and len(group) > 1:
                text = writing.restore(before[n].text).split("\n")
            made += lines[pieces[n].first - 1 : pieces[n].last] if text is None else text
            made += changes[n].after
        yield _edit(first.cell, first.above, last.last, lines, made)


def _groups(pieces: Sequence[Piece]) -> list[list[int]]:
    groups: list[list[int]] = []
    for n, piece in enumerate(pieces):
        above = pieces[groups[-1][-1]] if groups else None
        if above is not None and above.cell == piece.cell and piece.first <= above.last and not piece.made:
            groups[-1].append(n)
        else:
            groups.append([n])
    return groups


def _lead(change: _Changed, piece: Piece, lines: Sequence[str]) -> list[str]:
    own = list(lines[piece.above - 1 : piece.first - 1])
    if change.lead is None or (change.text == [] and not change.lead):
        return own if change.lead is None else []
    empty = next((n for n, line in enumerate(own) if line.strip()), len(own))
    return [*own[:empty], *change.lead]


def _edit(cell: int, first: int, last: int, lines: Sequence[str], made: Sequence[str]) -> Edit:
    """Lines `first` to `last` become `made`; `last` before `first` is a place between two lines."""
    if last >= first and made:
        return Edit(cell, (first, 0), (last, len(lines[last - 1])), "\n".join(made))
    if last >= first:
        return _without(cell, first, last, lines)
    if first > len(lines):
        end = (len(lines), len(lines[-1]))
        return Edit(cell, end, end, "".join(f"\n{line}" for line in made))
    return Edit(cell, (first, 0), (first, 0), "".join(f"{line}\n" for line in made))


def _without(cell: int, first: int, last: int, lines: Sequence[str]) -> Edit:
    if last < len(lines):
        return Edit(cell, (first, 0), (last + 1, 0), "")
    above = (first - 1, len(lines[first - 2])) if first > 1 else (1, 0)
    return Edit(cell, above, (last, len(lines[last - 1])), "")
