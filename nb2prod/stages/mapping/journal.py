"""What a map leaves: `items.jsonl`, a line for each item as soon as its result is there, and at the end a table of it.

    items.jsonl        append-only; a kill costs the line that was being written, and the items that were running
    results.parquet    one row an item, in the order of the table

Columns: `number`, `status`, `seconds`, `error`, `step`, `cell`, `line`, `printed`; `key.NAME` and `params.NAME` as the
table gives them; `metrics.NAME`, where a NaN is a NaN that was measured and an empty cell a metric that was not;
`model.shard`, `model.offset`, `model.length` and `model.sha256` where the notebook tags a model. The names are those of
`mlflow.search_runs`, and no name of the notebook's can collide with another.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nb2prod.core.errors import StoreError
from nb2prod.core.mapping import Item, ItemResult, MapPlan, ModelReference
from nb2prod.storage.files import replacing

FILE = "items.jsonl"
RESULTS = "results.parquet"
CHUNK = 20_000  # results that are in memory at once while the table is written
FIELDS = ("number", "status", "seconds", "metrics", "error", "step", "cell", "line", "printed")


class ItemsJournal:
    """Appends results. `places` says where each item's line is, for reading the file in another order."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FILE
        self.places: dict[int, int] = {}
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._end = self._known()
            self._file = self.path.open("r+b" if self.path.exists() else "w+b")
            self._file.truncate(self._end)  # the line that a kill has torn
            self._file.seek(self._end)
        except OSError as error:
            raise self._cannot(error) from error

    def append(self, results: Sequence[ItemResult]) -> None:
        lines = [_line(result) for result in results]
        try:
            self._file.write(b"".join(lines))
            self._file.flush()
        except OSError as error:
            raise self._cannot(error) from error
        for result, line in zip(results, lines, strict=True):
            self.places[result.number] = self._end
            self._end += len(line)

    def close(self) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise self._cannot(error) from error

    def read(self, items: Mapping[int, Item]) -> Iterator[ItemResult]:
        """The results so far in the order of the table; key and parameters are the item's."""
        with self.path.open("rb") as file:
            for number in sorted(self.places):
                file.seek(self.places[number])
                yield _result(json.loads(file.readline()), items[number])

    def _known(self) -> int:
        """Note the places of the lines that are there already; returns where the last whole one ends."""
        end = 0
        if not self.path.exists():
            return end
        with self.path.open("rb") as file:
            for count, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    self.places[json.loads(line)["number"]] = end
                except (ValueError, KeyError, TypeError) as error:
                    raise StoreError(f"line {count} of the map's journal is damaged", where=str(self.path)) from error
                end += len(line)
        return end

    def _cannot(self, error: OSError) -> StoreError:
        return StoreError(f"cannot write the map's journal: {error.strerror or error}", where=str(self.path))


def _line(result: ItemResult) -> bytes:
    content = {name: getattr(result, name) for name in FIELDS}
    content = {name: value for name, value in content.items() if value not in (None, "", {})}
    if result.kept is not None:
        content["kept"] = dataclasses.astuple(result.kept)
    return json.dumps(content, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _result(content: dict[str, Any], item: Item) -> ItemResult:
    kept = content.pop("kept", None)
    return ItemResult(
        key=item.key,
        given=item.given,
        kept=None if kept is None else ModelReference(*kept),
        **{"metrics": {}, **content},
    )


# -- the table --------------------------------------------------------------------------------------------------------


def write_results(path: Path, plan: MapPlan, items: Sequence[Item], results: Iterable[ItemResult]) -> Path:
    """Write the table of results. Raises StoreError."""
    import pyarrow
    from pyarrow import parquet

    columns = _columns(plan, items)
    schema = pyarrow.schema([(name, type_) for name, (type_, _) in columns.items()])
    with replacing(path) as partial, parquet.ParquetWriter(partial, schema) as writer:
        for chunk in _chunks(results):
            arrays = [
                pyarrow.array([take(result) for result in chunk], type_, from_pandas=False)
                for type_, take in columns.values()
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
    return path


def _chunks(results: Iterable[ItemResult]) -> Iterator[list[ItemResult]]:
    chunk: list[ItemResult] = []
    for result in results:
        chunk.append(result)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    yield chunk


Take = Callable[[ItemResult], Any]


def _columns(plan: MapPlan, items: Sequence[Item]) -> dict[str, tuple[Any, Take]]:
    """(type, how to take it from a result) of each column."""
    import pyarrow

    text, number = pyarrow.string(), pyarrow.int64()
    columns: dict[str, tuple[Any, Take]] = {"number": (number, lambda result: result.number)}
    for prefix, of in (("key", _key), ("params", _given)):
        for name in dict.fromkeys(name for item in items[:1] for name in of(item)):
            columns[f"{prefix}.{name}"] = _item_column(name, of, [of(item)[name] for item in items])
    columns |= {
        "status": (text, lambda result: result.status),
        "seconds": (pyarrow.float64(), lambda result: result.seconds),
        "error": (text, lambda result: result.error or None),
        "step": (text, lambda result: result.step),
        "cell": (number, lambda result: result.cell),
        "line": (number, lambda result: result.line),
        "printed": (text, lambda result: result.printed or None),
    }
    for name in dict.fromkeys(name for step in plan.pipeline.steps for name in step.metrics):
        columns[f"metrics.{name}"] = (pyarrow.float64(), _metric(name))
    if plan.pipeline.model is not None:
        for name, type_ in (("shard", text), ("offset", number), ("length", number), ("sha256", text)):
            columns[f"model.{name}"] = (type_, _of_model(name))
    return columns


def _key(of: Item | ItemResult) -> Mapping[str, Any]:
    return of.key


def _given(of: Item | ItemResult) -> Mapping[str, Any]:
    return of.given


def _item_column(name: str, of: Callable[[Any], Mapping[str, Any]], values: Sequence[Any]) -> tuple[Any, Take]:
    """A column of the items' own values, by their types; what Arrow has no type for becomes text."""
    import pyarrow

    try:
        type_ = pyarrow.array(values, from_pandas=False).type
    except (pyarrow.ArrowException, OverflowError, TypeError):
        type_ = pyarrow.null()
    if not pyarrow.types.is_null(type_):
        return type_, lambda result: of(result)[name]
    return pyarrow.string(), lambda result: None if of(result)[name] is None else str(of(result)[name])


def _metric(name: str) -> Take:
    return lambda result: result.metrics.get(name)


def _of_model(name: str) -> Take:
    return lambda result: None if result.kept is None else getattr(result.kept, name)
