"""Parts become the output: one Parquet or CSV file, whole or not there, and another of the rows that were rejected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nb2prod.core.errors import StoreError, UsageError
from nb2prod.stages.scoring.parts import ROWS, Parts
from nb2prod.storage.files import replacing, write_text

SUFFIXES = (".parquet", ".csv")
SAID = "scored.json"


def refuse_output(output: Path, inputs: Iterable[str]) -> None:
    if output.suffix not in SUFFIXES:
        raise UsageError(
            f"the output is a .parquet or a .csv file, not {output.suffix or 'one without an ending'}",
            where=str(output),
        )
    if output.is_dir():
        raise UsageError("the output is a folder", where=str(output), fix="name a file")
    for path in map(Path, inputs):
        for written in (output, rejected_of(output), said_of(output)):
            if written.exists() and path.exists() and written.samefile(path):
                raise UsageError("the output would overwrite the data", where=str(path), fix="name another file")


def rejected_of(output: Path) -> Path:
    return output.with_name(f"{output.stem}.rejected{output.suffix}")


def said_of(output: Path) -> Path:
    """Beside a CSV file, which has no room for it: whose predictions these are."""
    return output.with_name(f"{output.stem}.scored.json")


def assemble(parts: Parts, names: tuple[str, ...], output: Path, said: Mapping[str, str]) -> None:
    """Write the output, and the rejected rows where there are any; a file of rejected rows of earlier goes."""
    bad = _Joined(parts, names, rejected=True)
    if bad.schema is not None:
        _write(rejected_of(output), bad, {}, parts.home)
    _write(output, _Joined(parts, names), said, parts.home)
    if output.suffix == ".csv":
        made = write_text(parts.home / SAID, json.dumps(said, ensure_ascii=False, indent=2) + "\n")
        _put(made, said_of(output))
    if bad.schema is None:
        rejected_of(output).unlink(missing_ok=True)


def _put(made: Path, path: Path) -> None:
    """What was made among the parts becomes the file: so nothing is left beside it when a call is killed."""
    try:
        made.replace(path)
    except OSError as error:
        raise StoreError(f"it cannot be written: {error.strerror}", where=str(path)) from error


class _Joined:
    """The parts of all files, one after the other, in one schema: that of the first part with rows."""

    def __init__(self, parts: Parts, names: tuple[str, ...], *, rejected: bool = False) -> None:
        self._parts, self._names, self._rejected = parts, names, rejected
        tables = [table.schema for table in self._raw()]
        self.schema = _common(tables, str(parts.home)) if tables else None

    def tables(self) -> Iterator[Any]:
        for table in self._raw():
            if table.num_rows:
                yield table.cast(self.schema)

    def _raw(self) -> Iterator[Any]:
        import pyarrow

        for number, name in enumerate(self._names):
            for table in self._parts.problems(number) if self._rejected else self._parts.tables(number):
                if self._rejected and len(self._names) > 1:  # which file a row is of
                    table = table.add_column(0, "file", pyarrow.repeat(name, table.num_rows))
                yield table


def _common(schemas: list[Any], where: str) -> Any:
    """The schema that all parts have, those apart in which a column has nothing but missing values.

    Rows are few in parts without rows, and say nothing of a type.
    """
    import pyarrow

    plain = [schema.remove_metadata() for schema in schemas]
    try:
        made = pyarrow.unify_schemas(plain)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError) as error:
        raise StoreError(
            f"the files cannot become one, as a column is of several types: {error}",
            where=where,
            fix="score files of one kind together",
        ) from error
    kept = {key: value for key, value in (schemas[0].metadata or {}).items() if key not in (ROWS, b"kept")}
    return made.with_metadata(kept)


def _write(path: Path, joined: _Joined, said: Mapping[str, str], among: Path) -> None:
    import pyarrow

    assert joined.schema is not None
    schema = joined.schema.with_metadata({**(joined.schema.metadata or {}), **_as_metadata(said)})
    try:
        with replacing(among / path.name) as partial, _writer(path, partial, schema) as writer:
            for table in joined.tables():
                writer.write_table(table.replace_schema_metadata(schema.metadata))
    except pyarrow.ArrowException as error:
        raise StoreError(
            f"it cannot be written: {error}", where=str(path), fix="write .parquet, or --keep fewer columns"
        ) from error
    _put(among / path.name, path)


def _as_metadata(said: Mapping[str, str]) -> dict[bytes, bytes]:
    return {f"nb2prod.{key}".encode(): value.encode() for key, value in said.items()}


def _writer(path: Path, partial: Path, schema: Any) -> Any:
    from pyarrow import csv, parquet

    if path.suffix == ".csv":
        return csv.CSVWriter(str(partial), schema)
    return parquet.ParquetWriter(str(partial), schema)
