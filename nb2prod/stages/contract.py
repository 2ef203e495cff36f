"""`contract.json`: what a package says of its columns beyond their types, for people, for schemas and for checks.

Of each column of the signature, as far as it is known: what the notebook's prose says of it, the values or the range
that the example had, and whether the model knows no other values (`enforced`). The service shows all of it in its
schema and its form (`nb2prod.serving.contract`), and refuses rows only for what is enforced.

A rule is a fact about the model, never a guess about data: values are enforced where the model was asked about another
one and failed, and then they are all the values that it was fitted on. What the example had is told, not enforced.

Nothing of it is about one person: no row, no text of a column with many different ones, no number of a column whose
numbers are nearly all different whole numbers (an identifier), and ranges of real numbers are widened to two digits.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nb2prod.core.notebook import Notebook
from nb2prod.stages.model_folder import Kept, Written
from nb2prod.storage.files import write_text

FILE = "contract.json"
SCHEMA = "nb2prod/contract/1"
LISTED = 50  # different values of one column, at most
SEEN = 3  # rows that have a value, at least, before it is told
UNSEEN = "\u2400 a value that no data has"
_DIGITS = 2
_LONGEST = 300


def write(folder: Path, kept: Kept, written: Written, notebook: Notebook | None = None) -> None:
    """Write the contract into the package's folder."""
    content = {"schema": SCHEMA, "columns": columns(kept, written, notebook)}
    write_text(folder / FILE, json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def columns(kept: Kept, written: Written, notebook: Notebook | None = None) -> dict[str, dict[str, Any]]:
    example = written.described.example
    if not hasattr(example, "columns"):
        return {}
    told = described(notebook, [str(name) for name in example.columns]) if notebook is not None else {}
    rules = enforced(kept, written)
    required = {str(one.name): one.required for one in written.described.signature.inputs.inputs}
    found = {}
    for name in example.columns:
        facts = {"description": told[str(name)]} if str(name) in told else {}
        facts |= rules.get(name) or seen(example[name])
        found[str(name)] = {**facts, "nullable": not required.get(str(name), True)}
    return found


# ---- what the example had --------------------------------------------------------------------------------------------


def seen(column: Any) -> dict[str, Any]:
    """Values of a column that has few different ones, or the range of its numbers; nothing that is about one row."""
    import pandas as pd

    present = column.dropna()
    kind = present.dtype.kind
    if not len(present) or kind == "b":
        return {}
    if kind in "iuf":
        return _range(present) if pd.notna(present).all() else {}
    if not all(isinstance(value, str) for value in present):
        return {}
    counts = present.value_counts()
    values = sorted(str(value) for value, count in counts.items() if count >= SEEN)
    is_list = len(counts) <= LISTED and len(counts) * SEEN <= len(present)
    return {"values": values} if is_list and values else {}


def _range(present: Any) -> dict[str, Any]:
    low, high = present.min(), present.max()
    if present.dtype.kind == "f":
        return {"minimum": _widened(float(low), math.floor), "maximum": _widened(float(high), math.ceil)}
    few = present.nunique() * SEEN <= len(present)
    return {"minimum": int(low), "maximum": int(high)} if few else {}


def _widened(number: float, away: Any) -> float | int:
    """The next number outwards that has two digits: a limit, and nobody's own number."""
    if not math.isfinite(number) or number == 0.0:
        return 0 if number == 0.0 else number
    exponent = math.floor(math.log10(abs(number))) - _DIGITS + 1
    steps = away(number / 10.0**exponent) if exponent >= -300 else away(number)
    return float(f"{steps}e{exponent}")


# ---- what the model knows --------------------------------------------------------------------------------------------


def enforced(kept: Kept, written: Written) -> dict[Any, dict[str, Any]]:
    """Columns of which the model knows all values, and fails for another."""
    example, found = written.described.example, {}
    for recipe in written.described.restored:
        if recipe["as"] == "category" and all(isinstance(value, str) for value in recipe["categories"]):
            found[recipe["column"]] = {"values": list(recipe["categories"]), "enforced": True}
    if written.described.restored:
        return found
    known = {name: values for name, values in known_values(kept.model).items() if name in example.columns}
    tried = {name: unseen for name, values in known.items() if (unseen := _unseen(values)) is not None}
    # most models take anything everywhere, which one question tells
    if not tried or not _fails(kept, example, tried):
        return found
    for name, unseen in tried.items():
        if _fails(kept, example, {name: unseen}):
            values = [getattr(value, "item", lambda value=value: value)() for value in known[name]]
            found[name] = {"values": values, "enforced": True}
    return found


def _unseen(values: Sequence[Any]) -> Any:
    """A value of their kind that is none of them; None when there is no such kind."""
    if all(isinstance(value, str) for value in values):
        return UNSEEN
    is_number = all(isinstance(getattr(value, "item", lambda value=value: value)(), int | float) for value in values)
    return max(values) + 1 if is_number and all(value == value for value in values) else None


def known_values(model: Any) -> dict[Any, list[Any]]:
    """The categories that scikit-learn's encoders within the model learnt, by the column that they came from."""
    return {name: values for estimator, names in _fitted(model) for name, values in _learnt(estimator, names)}


def _fitted(model: Any) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Transformers on the columns that the model is given, each with the names of its own."""
    model = getattr(model, "best_estimator_", model)
    first = model.steps[0][1] if getattr(model, "steps", None) else model
    for _, transformer, names in getattr(first, "transformers_", ()):
        wanted = [names] if isinstance(names, str) else names
        if (
            not isinstance(transformer, str)
            and not isinstance(wanted, slice)
            and all(isinstance(n, str) for n in wanted)
        ):
            yield transformer, list(wanted)
    if first is not model and type(first).__name__ == "FunctionTransformer" and len(model.steps) > 1:
        yield from _fitted(model[1:])  # a function adds columns; those that it leaves have their names
    elif hasattr(first, "categories_") and hasattr(first, "feature_names_in_"):
        yield first, list(first.feature_names_in_)


def _learnt(estimator: Any, names: Sequence[Any]) -> Iterator[tuple[Any, list[Any]]]:
    steps = [step for _, step in getattr(estimator, "steps", [("", estimator)])]
    for step in steps:
        categories = getattr(step, "categories_", None)
        if categories is not None and len(categories) == len(names):
            yield from zip(names, (list(found) for found in categories), strict=True)


def _fails(kept: Kept, example: Any, unseen: Mapping[Any, Any]) -> bool:
    """Whether the model raises for a row with these values, by column, that no data has."""
    row = example.head(1).copy()
    for name, value in unseen.items():
        row[name] = value
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept.asked.predict(row)
    except Exception:  # noqa: BLE001 - a model may raise anything; that it does is the answer
        return True
    return False


# ---- what the notebook says ------------------------------------------------------------------------------------------

_ITEM = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+(.*)$")
_NAMES = re.compile(r"^((?:`[^`]+`(?:\s*(?:,|and|und|et|y|&)\s*)?)+)(.*)$", re.DOTALL)
_ROW = re.compile(r"^\s*\|\s*`?([^`|]+?)`?\s*\|\s*([^|]+?)\s*\|")
_EMPHASIS = re.compile(r"(\*\*|\*|__)(\S(?:[^*\n]*?\S)?)\1")
_ANOTHER = re.compile(r";\s+(?=`[^`]+`\s*[,:–—-])")


def described(notebook: Notebook, names: Sequence[str]) -> dict[str, str]:
    """What the prose says of columns: items of lists and rows of tables that begin with a column's name."""
    found: dict[str, str] = {}
    for cell in notebook.cells:
        if cell.kind == "markdown":
            for name, text in (*_of_items(_items(cell.source)), *_of_rows(cell.source)):
                if name in names and text:
                    found.setdefault(name, text[:_LONGEST])
    return found


def _items(source: str) -> Iterator[str]:
    """Items of lists, each as one line, also when it goes on in indented ones."""
    item: list[str] = []
    for line in (*source.splitlines(), ""):
        begins = _ITEM.match(line)
        if item and (begins or not line.strip() or not line.startswith(" ")):
            yield " ".join(item)
            item = []
        if begins:
            item = [begins[1].strip()]
        elif item:
            item.append(line.strip())


def _of_items(items: Iterable[str]) -> Iterator[tuple[str, str]]:
    for item in items:
        for part in _ANOTHER.split(item):
            begins = _NAMES.match(_EMPHASIS.sub(r"\2", part))
            if begins is not None and begins[2].strip():
                text = begins[2].strip().lstrip(",:–—-= ").strip()
                yield from ((name, text) for name in re.findall(r"`([^`]+)`", begins[1]))


def _of_rows(source: str) -> Iterator[tuple[str, str]]:
    for line in source.splitlines():
        row = _ROW.match(line)
        if row is not None and not set(row[2]) <= set("-: "):
            yield row[1].strip(), row[2].strip()
