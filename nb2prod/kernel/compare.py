"""Two portraits, part by part: where they first differ, by how much, and what nobody can compare.

    compare("df", one, other)   ->   Difference("different", 'df["income"], row 17: 3.5 and 3.6', …)

The notebook's own value comes first in the sentence. As a program of its own, so that what the values need leaves no
trace here:

    python -P -m nb2prod.kernel.compare FOLDER      reads pairs as JSON, one a line, and answers with a line for each
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nb2prod.core.equality import Difference
from nb2prod.kernel import boundary, compare_numbers
from nb2prod.kernel.compare_words import article, brackets, counted, kind, number, quoted, shown
from nb2prod.kernel.portrait import ATOMS, Array, Blank, Column, Items, Members, Pairs, Said, Table, Thing
from nb2prod.kernel.portrait_reading import bytes_of, dtype_of, key_of, numbers_of, rows_of
from nb2prod.storage.codec import plain

# what scikit-learn measures with a clock and puts beside its results
TIMES = re.compile(r"(refit_time_|(mean_|std_)?(fit|score)_times?_?)")
IDENTITY = re.compile(r"\._\w*id")  # scikit-learn's vectorizers remember the id() of their stop words
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{6,}\b")


def compare(name: str, one: Any, other: Any) -> Difference:
    """The notebook's portrait and that of isolated steps."""
    walk = _Walk()
    try:
        walk.parts(one, other, name)
    except RecursionError:
        walk.uncompared[f"{name}: nested too deeply"] = None
    return walk.result()


class _Walk:
    """Side by side through two portraits."""

    def __init__(self) -> None:
        self.first = ""
        self.near = ""  # the first of the differences within tolerance
        self.tolerance = ""
        self.count = 0
        self.items = 0
        self.absolute = self.relative = self.ulps = 0.0
        self.uncompared: dict[str, None] = {}
        self.seen: set[tuple[int, int]] = set()

    def result(self) -> Difference:
        verdict: Any = "different" if self.first else "uncompared" if self.uncompared else "equal"
        if self.near and verdict == "equal":
            verdict = "tolerant"
        return Difference(
            verdict,
            self.first or self.near,
            self.absolute,
            self.relative,
            self.ulps,
            self.count,
            self.items,
            self.tolerance if self.near and not self.first else "",
            tuple(self.uncompared),
        )

    def differ(self, path: str, one: Any, other: Any, what: str = "", count: int = 1) -> None:
        self.count += count
        self.first = self.first or f"{path}: {what or f'{shown(one)} and {shown(other)}'}"

    def skip(self, path: str, reason: str) -> None:
        if len(self.uncompared) < 20:
            self.uncompared[f"{path}: {reason}"] = None

    # -- part by part ------------------------------------------------------------------------------------------------

    def parts(self, one: Any, other: Any, path: str) -> None:
        if isinstance(one, Blank) and isinstance(other, Blank):
            self.skip(path, one.reason)
        elif type(one) is not type(other):
            self.differ(path, one, other, f"{shown(one)} ({kind(one)}) and {shown(other)} ({kind(other)})")
        elif type(one) in ATOMS:
            self.atoms(one, other, path)
        elif (id(one), id(other)) not in self.seen:
            self.seen.add((id(one), id(other)))
            if not isinstance(one, Column | Blank) and one.kind != other.kind:
                self.differ(path, one, other, f"{article(one.kind)} and {article(other.kind)}")
            else:
                WALKS[type(one)](self, one, other, path)

    def atoms(self, one: Any, other: Any, path: str) -> None:
        self.items += 1
        if isinstance(one, float | complex) and type(one) in (float, complex):
            found = compare_numbers.gap(np.asarray(one), np.asarray(other))
            if found is not None:
                self.gap(found, lambda place: path, np.asarray(one), np.asarray(other))
        elif one != other:
            self.numbers_apart(one, other)
            self.differ(path, one, other)

    def numbers_apart(self, one: Any, other: Any) -> None:
        if type(one) is int and max(abs(one), abs(other)) < 2**63:
            self.absolute = max(self.absolute, float(abs(one - other)))
            self.relative = max(self.relative, abs(one - other) / max(abs(one), abs(other)))

    def gap(self, found: compare_numbers.Gap, place: Callable[[tuple[int, ...]], str], one: Any, other: Any) -> None:
        """Numbers that are not the same: beyond the tolerance, or within it."""
        self.absolute = max(self.absolute, found.absolute)
        self.relative = max(self.relative, found.relative)
        self.ulps = max(self.ulps, found.ulps)
        self.count += found.count
        text = f"{place(found.place)}: {number(one[found.place])} and {number(other[found.place])}"
        if found.beyond:
            self.first = self.first or text
        else:
            self.near = self.near or text
            self.tolerance = self.tolerance or found.tolerance

    def sequence(self, one: list[Any], other: list[Any], place: Callable[[int], str], path: str) -> None:
        """Items in their order; many plain ones at once."""
        if len(one) != len(other):
            self.differ(path, one, other, f"{counted(len(one), 'item')} and {counted(len(other), 'item')}")
            return
        if _alike(one, other):
            self.items += len(one)
            return
        if len(one) > 16 and _all_floats(one) and _all_floats(other):
            self.items += len(one)
            a, b = np.asarray(one), np.asarray(other)
            found = compare_numbers.gap(a, b)
            if found is not None:
                self.gap(found, lambda where: place(where[0]), a, b)
            return
        for number_of, (a, b) in enumerate(zip(one, other, strict=True)):
            if a is not b or type(a) not in ATOMS:
                self.parts(a, b, place(number_of))
            else:
                self.items += 1

    def list_of(self, one: Items, other: Items, path: str) -> None:
        self.sequence(one.items, other.items, lambda n: f"{path}[{n}]", path)

    def pairs(self, one: Pairs, other: Pairs, path: str) -> None:
        keys, others = [key_of(key) for key in one.keys], [key_of(key) for key in other.keys]
        if keys != others:
            self.keys(keys, others, one, other, path)
        values = dict(zip(others, other.values, strict=True))
        for key, mine, value in zip(keys, one.keys, one.values, strict=True):
            if key in values:
                self.named(mine, value, values[key], f"{path}[{quoted(mine)}]")

    def keys(self, keys: list[Any], others: list[Any], one: Pairs, other: Pairs, path: str) -> None:
        there, here = set(keys), set(others)
        if there == here:
            self.differ(path, one, other, "the keys are in another order")
            return
        missing = [mine for mine, key in zip(one.keys, keys, strict=True) if key not in here]
        added = [mine for mine, key in zip(other.keys, others, strict=True) if key not in there]
        said = [f"{quoted(key)} is only in the notebook's" for key in missing[:1]]
        said += [f"{quoted(key)} is only in the isolated steps'" for key in added[:1]]
        self.differ(path, one, other, "; ".join(said), len(missing) + len(added))

    def named(self, label: Any, one: Any, other: Any, path: str) -> None:
        """A part with a name; one that holds a measured time is not compared unless it is the same anyway."""
        if isinstance(label, str) and TIMES.fullmatch(label.lstrip(".")):
            apart = _Walk()
            apart.parts(one, other, path)
            if apart.first or apart.near:
                self.skip(path, "a time that was measured")
                return
        if isinstance(label, str) and IDENTITY.fullmatch(label) and _are_addresses(one, other):
            self.skip(path, "an address in memory")
            return
        self.parts(one, other, path)

    def members(self, one: Members, other: Members, path: str) -> None:
        """Whatever the order: items are matched by what they are."""
        mine, theirs = sorted(map(key_of, one.items), key=repr), sorted(map(key_of, other.items), key=repr)
        self.items += len(mine)
        if mine == theirs:
            return
        apart = [item for item in one.items if key_of(item) not in set(theirs)]
        added = [item for item in other.items if key_of(item) not in set(mine)]
        said = [f"{shown(item)} is only in the notebook's" for item in apart[:1]]
        said += [f"{shown(item)} is only in the isolated steps'" for item in added[:1]]
        self.differ(path, one, other, "; ".join(said), max(len(apart) + len(added), 1))

    def thing(self, one: Thing, other: Thing, path: str) -> None:
        for name in (*one.parts, *(name for name in other.parts if name not in one.parts)):
            inner = f"{path}{name}"
            if name not in other.parts or name not in one.parts:
                side = "the notebook's" if name in one.parts else "the isolated steps'"
                self.differ(path, one, other, f"{name.lstrip('. ')} is only in {side}")
            else:
                self.named(name, one.parts[name], other.parts[name], inner)

    def said(self, one: Said, other: Said, path: str) -> None:
        self.items += 1
        if one.text == other.text:
            return
        if ADDRESS.sub("", one.text) == ADDRESS.sub("", other.text):
            self.skip(path, "an address in memory")
        elif one.kind == "code":
            self.differ(path.removesuffix("'s code"), one, other, "its code is another")
        else:
            self.differ(path, one, other)

    # -- arrays and tables -------------------------------------------------------------------------------------------

    def array(self, one: Array, other: Array, path: str, place: Callable[[tuple[int, ...]], str] | None = None) -> None:
        if dtype_of(one) != dtype_of(other):
            self.differ(path, one, other, f"{dtype_of(one)} and {dtype_of(other)}")
        elif one.shape != other.shape:
            self.differ(path, one, other, f"shape {one.shape} and shape {other.shape}")
        else:
            self.items += int(np.prod(one.shape))
            if bytes_of(one) != bytes_of(other):
                self.numbers(numbers_of(one), numbers_of(other), place or (lambda where: f"{path}{brackets(where)}"))

    def numbers(self, one: Any, other: Any, place: Callable[[tuple[int, ...]], str]) -> None:
        if one.dtype.names is None:
            found = compare_numbers.gap(one, other)
            if found is not None:
                self.gap(found, place, one, other)
            return
        for name in one.dtype.names:  # between the fields may lie bytes that mean nothing
            self.numbers(one[name], other[name], _in_field(place, name))

    def column(self, one: Column, other: Column, path: str) -> None:
        if one.dtype != other.dtype:
            self.differ(path, one, other, f"{one.dtype} and {other.dtype}")
            return
        if one.categories is not None:
            self.parts(one.categories, other.categories, f"{path}'s categories")
        if one.missing is not None:
            self.array(one.missing, other.missing, path, lambda where: f"{path}, row {where[0]} (missing)")
        if isinstance(one.values, Array) and isinstance(other.values, Array):
            self.array(one.values, other.values, path, lambda where: f"{path}, row {where[0]}")
        elif isinstance(one.values, Items) and isinstance(other.values, Items):
            self.sequence(one.values.items, other.values.items, lambda n: f"{path}, row {n}", path)
        else:
            self.parts(one.values, other.values, path)

    def table(self, one: Table, other: Table, path: str) -> None:
        rows, others = rows_of(one), rows_of(other)
        if rows != others:
            self.differ(path, one, other, f"{counted(rows, 'row')} and {counted(others, 'row')}")
            return
        if one.index is not None:
            self.parts(one.index, other.index, f"{path}.index")
        self.labels(one, other, path)
        self.parts(one.more, other.more, path)
        if one.kind == "pandas.Index" or not one.labels:
            for level, (mine, theirs) in enumerate(zip(one.columns, other.columns, strict=False)):
                self.parts(mine, theirs, path if len(one.columns) == 1 else f"{path} (level {level})")
            return
        theirs_by = dict(zip(map(key_of, other.labels), other.columns, strict=True))
        for label, mine in zip(one.labels, one.columns, strict=True):
            if key_of(label) in theirs_by:
                self.named(label, mine, theirs_by[key_of(label)], f"{path}[{quoted(label)}]")

    def labels(self, one: Table, other: Table, path: str) -> None:
        mine, theirs = [key_of(label) for label in one.labels], [key_of(label) for label in other.labels]
        if mine == theirs:
            return
        if sorted(map(repr, mine)) == sorted(map(repr, theirs)):
            self.differ(path, one, other, "the columns are in another order")
            return
        only = [label for label in one.labels if key_of(label) not in theirs]
        added = [label for label in other.labels if key_of(label) not in mine]
        said = [f"column {quoted(label)} is only in the notebook's" for label in only[:1]]
        said += [f"column {quoted(label)} is only in the isolated steps'" for label in added[:1]]
        self.differ(path, one, other, "; ".join(said), len(only) + len(added))


WALKS: Mapping[type, Callable[[_Walk, Any, Any, str], None]] = {
    Items: _Walk.list_of,
    Pairs: _Walk.pairs,
    Members: _Walk.members,
    Thing: _Walk.thing,
    Said: _Walk.said,
    Array: _Walk.array,
    Column: _Walk.column,
    Table: _Walk.table,
}


def _are_addresses(one: Any, other: Any) -> bool:
    return type(one) is int and type(other) is int and one != other and min(one, other) > 2**32


def _alike(one: list[Any], other: list[Any]) -> bool:
    """Whether two lists of plain values are the same, at the speed of C; False when that is not sure."""
    kinds = set(map(type, one))
    return kinds <= {str, bytes, int, type(None)} and kinds == set(map(type, other)) and one == other


def _all_floats(items: list[Any]) -> bool:
    return set(map(type, items)) == {float}


def _in_field(place: Callable[[tuple[int, ...]], str], name: str) -> Callable[[tuple[int, ...]], str]:
    return lambda where: f'{place(where)}["{name}"]'


# -- as a program ----------------------------------------------------------------------------------------------------


def answers(folder: Path, lines: Iterable[str]) -> Iterator[str]:
    """For each pair `{"name", "one", "other"}` of digests, the difference as JSON."""
    for line in lines:
        pair = json.loads(line)
        found = compare(pair["name"], boundary.load(folder, pair["one"]), boundary.load(folder, pair["other"]))
        yield json.dumps(plain(found))


def main() -> None:
    for answer in answers(Path(sys.argv[1]), sys.stdin):
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
