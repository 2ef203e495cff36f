"""The probe set, frozen with the package: rows of the example and boundary rows, and what the notebook made of them.

    parity/rows.parquet     the rows, in the types of the package's signature (or .npy of an array)
    parity/outcomes.json    each row's name and the outcome of the notebook's object, made in its kernel

The kernel asked its object about the rows in the notebook's own types. A row that the signature's types cannot say is
left out, with a note: nobody can ask the package about it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nb2prod.core.errors import NotProved
from nb2prod.core.outcome import as_json, digest_of, from_json
from nb2prod.core.result import Result
from nb2prod.stages import columns
from nb2prod.stages.certificate.compare import Rows
from nb2prod.storage import artifacts
from nb2prod.storage.artifacts import FORMATS, Stored
from nb2prod.storage.files import write_text

ROWS = "parity/rows"
OUTCOMES = "parity/outcomes.json"
SCHEMA = "nb2prod/probe/1"
PICKLE = ".pkl"


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """`stored` is the file of the table within the package, None before it is written."""

    table: Any
    rows: Rows
    notes: tuple[str, ...] = ()
    stored: Stored | None = None

    @property
    def count(self) -> int:
        return len(self.rows.what)

    @property
    def inputs(self) -> str:
        assert self.stored is not None
        return self.stored.content or self.stored.digest

    @property
    def digest(self) -> str:
        """Over what the notebook made of the rows."""
        return digest_of(self.rows.expected)


def kept(result: Result) -> ProbeSet | None:
    """As the run kept it; None when the run has none: of an example that is no table, or an earlier version's run."""
    rows, outcomes = (result.artifact("probe", name) for name in ("rows", "outcomes"))
    if rows is None or outcomes is None:
        return None
    run = Path(result.directory)
    path = run / outcomes.path
    content = json.loads(artifacts.checked(path, path.read_bytes(), outcomes.digest))
    return _probe_set(artifacts.read(run / rows.path, rows.digest), content)


def _probe_set(table: Any, content: dict[str, Any]) -> ProbeSet:
    expected = tuple(from_json(one) for one in content["outcomes"])
    rows = Rows(tuple(content["what"]), int(content["real"]), expected)
    if not len(table) == len(rows.what) == len(expected):
        raise ValueError("rows, names and outcomes are not as many")
    return ProbeSet(table, rows, tuple(content["notes"]))


def described(probe: ProbeSet, example: Any) -> ProbeSet:
    """The rows in the types of `example`, the one that the signature describes."""
    if not hasattr(probe.table, "columns") or not hasattr(example, "columns"):
        same = type(probe.table) is type(example) and probe.table.dtype == example.dtype
        return probe if same else _kept_rows(probe, probe.table, dict.fromkeys(range(probe.count), "the signature"))
    lost: dict[int, str] = {}
    # without columns that the model was not fitted on, which the signature leaves out
    table = probe.table[list(example.columns)].copy()
    for place, name in enumerate(table.columns):
        column, wanted = table.iloc[:, place], example.iloc[:, place].dtype
        if column.dtype != wanted:
            said, unsaid = _said(column, wanted, example.iloc[:, place].iloc[0])
            table.isetitem(place, said)
            lost |= dict.fromkeys(unsaid, f"{name}, as {wanted},")
    return _kept_rows(probe, table, lost)


def _said(column: Any, wanted: Any, filler: Any) -> tuple[Any, list[int]]:
    """A column in another type, and the places where that type has no such value (something else stands there)."""
    import numpy as np
    import pandas as pd

    whole = columns.in_type(column, wanted)
    if whole is not None:
        return whole, []
    values, unsaid = [], []
    for place in range(len(column)):
        one = column.iloc[[place]]
        made = columns.in_type(one, wanted)
        if made is not None:
            values.append(made.iloc[0])
            continue
        try:
            with np.errstate(invalid="ignore"):  # what does not fit is found below
                made = one.astype(wanted)
            # a category without a value becomes no bool, but an object
            same = made.dtype == wanted and bool((made.isna() == one.isna()).all())
            with np.errstate(invalid="ignore"):
                same = same and bool((made.isna() | (made.astype(one.dtype) == one)).all())
        except (TypeError, ValueError, OverflowError):
            same = False
        values.append(made.iloc[0] if same else filler)
        unsaid += [] if same else [place]
    return pd.Series(values, index=column.index, dtype=wanted, name=column.name), unsaid


def _kept_rows(probe: ProbeSet, table: Any, lost: dict[int, str]) -> ProbeSet:
    left = [place for place in range(probe.count) if place not in lost]
    rows = Rows(
        tuple(probe.rows.what[place] for place in left),
        sum(place < probe.rows.real for place in left),
        tuple(probe.rows.expected[place] for place in left),
    )
    notes = [f"{probe.rows.what[place]}: {where} cannot say it" for place, where in sorted(lost.items())]
    return ProbeSet(table.iloc[left] if hasattr(table, "iloc") else table[left], rows, (*probe.notes, *notes))


def write(probe: ProbeSet, folder: Path) -> ProbeSet | None:
    """None, and nothing is written, when only a pickle could hold the rows: nobody should unpickle for a proof."""
    stored = artifacts.write(probe.table, folder / ROWS)
    if stored.path.suffix == PICKLE:
        stored.path.unlink()
        return None
    told = {
        "schema": SCHEMA,
        "real": probe.rows.real,
        "what": list(probe.rows.what),
        "notes": list(probe.notes),
        "outcomes": [as_json(one) for one in probe.rows.expected],
    }
    write_text(folder / OUTCOMES, json.dumps(told, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
    return dataclasses.replace(probe, stored=stored)


def read(folder: Path) -> ProbeSet | None:
    """Of a package; None when it has none. Raises NotProved when it cannot be read."""
    there = [folder / f"{ROWS}{suffix}" for suffix in FORMATS if suffix != PICKLE]
    found = [path for path in there if path.is_file()]
    if not found and not (folder / OUTCOMES).is_file():
        return None
    try:
        content = json.loads((folder / OUTCOMES).read_bytes())
        stored = artifacts.found(found[0])
        return dataclasses.replace(_probe_set(artifacts.read(stored.path, stored.digest), content), stored=stored)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise NotProved("the probe set cannot be read", where=str(folder / OUTCOMES)) from error
