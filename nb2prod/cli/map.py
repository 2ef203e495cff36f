"""`nb2prod map`: the pipeline once per row or group of a table."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from nb2prod.cli._words import PATH, as_json, from_file, parameters, print_json, scheduler, texts

if TYPE_CHECKING:
    from nb2prod.core.mapping import Isolation, MapSummary, Tracking


@click.command()
@click.argument("notebook", type=PATH, required=False)
@click.option("--over", "table", type=PATH, metavar="TABLE", help="A .csv or .parquet file: an item for each row.")
@click.option("--by", metavar="COLUMNS", default="", help="An item for each group of rows with equal COLUMNS (a,b,c).")
@click.option("--rows", metavar="NAME", default="", help="The parameter that takes a group's rows.")
@parameters
@click.option("--only", metavar="EXPRESSION", default="", help="Rows for which it is true: 'month == 1'.")
@click.option("--limit", type=click.IntRange(min=1), help="The first items alone.")
@click.option("--min-rows", type=click.IntRange(min=1), default=1, help="Leave out groups of fewer rows.")
@click.option(
    "--isolation",
    type=click.Choice(("fork", "shared", "function")),
    default="fork",
    show_default=True,
    help="How items are kept apart.",
)
@click.option("--executor", help="Where items run: processes, serial, dask.  [default: processes]")
@scheduler
@click.option("--workers", type=click.IntRange(min=1), help="How many items at once.  [default: one for each core]")
@click.option("--timeout", type=click.FloatRange(min=0.01), help="Seconds that one item may take.")
@click.option("--test/--no-test", "tests", default=True, help="Run the notebook's tests for each item.")
@click.option(
    "--fail-on",
    type=click.Choice(("none", "any")),
    default="none",
    show_default=True,
    help="Exit with 1 when an item failed.",
)
@click.option("--resume", type=PATH, metavar="RUN", help="Go on with a map that was stopped.")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Where runs are kept.")
@click.option("--experiment", default="", help="MLflow experiment.  [default: the notebook's name]")
@click.option(
    "--track",
    type=click.Choice(("summary", "each")),
    default="summary",
    show_default=True,
    help="MLflow: one run, or one for each item as well.",
)
@click.option("--no-track", is_flag=True, help="Nothing in MLflow.")
@click.option("--floor", "floors", multiple=True, metavar="FLOOR", help="What must hold: 'p05(r2) >= 0.1'. Repeatable.")
@click.option("--allow-missing", is_flag=True, help="Judge floors without the items that have no value.")
@click.option("--allow-shell", is_flag=True, help="Let steps run their shell lines, all items beside each other.")
@as_json
def map(
    notebook: Path | None,
    table: Path | None,
    by: str,
    rows: str,
    given: tuple[tuple[str, str], ...],
    file: Path | None,
    only: str,
    limit: int | None,
    min_rows: int,
    isolation: str,
    executor: str | None,
    scheduler: str,
    workers: int | None,
    timeout: float | None,
    tests: bool,
    fail_on: str,
    resume: Path | None,
    runs: Path,
    experiment: str,
    track: str,
    no_track: bool,
    floors: tuple[str, ...],
    allow_missing: bool,
    allow_shell: bool,
    as_json: bool,
) -> None:
    """Run the notebook's pipeline once per row, or group of rows, of a table.

    Every column is a parameter; with --by, the key columns and the group's rows are. A failing item is a result.
    """
    from nb2prod import api
    from nb2prod.stages.map import document

    where: dict[str, Any] = {"executor": executor, "scheduler": scheduler, "workers": workers}
    if resume is not None:
        _refuse_beside_resume(notebook, table)
        other = floors or None  # None: those that the map began with
        summary = api.resume_map(
            resume, from_file(file), texts=texts(given), floors=other, allow_missing=allow_missing, **where
        )
    else:
        book, over = _needed(notebook, table)
        summary = api.map(
            book,
            over,
            from_file(file),
            texts=texts(given),
            by=[column.strip() for column in by.split(",") if column.strip()],
            rows=rows,
            only=only,
            limit=limit,
            min_rows=min_rows,
            isolation=cast("Isolation", isolation),
            timeout=timeout,
            tests=tests,
            track=cast("Tracking", "none" if no_track else track),
            experiment=experiment,
            floors=floors,
            allow_missing=allow_missing,
            runs=runs,
            allow_shell=allow_shell,
            **{**where, "executor": executor or "processes"},
        )
    _tell_floors(summary)
    if as_json:
        print_json(document(summary))
    if summary.stopped:
        sys.exit(130)
    if any(not judgement.holds for judgement in summary.judged):
        sys.exit(5)
    if fail_on == "any" and summary.failed:
        sys.exit(1)


def _tell_floors(summary: MapSummary) -> None:
    """Floors, with the worst items of those that do not hold, and where the whole report is."""
    from nb2prod.stages.floors import lines

    for line in lines(summary.judged):
        click.echo(line, err=True)
    if not summary.stopped:
        click.echo(f"  report:  {os.path.relpath(Path(summary.directory) / 'report.html')}", err=True)


def _needed(notebook: Path | None, table: Path | None) -> tuple[Path, Path]:
    from nb2prod.core.errors import UsageError

    if notebook is None or table is None:
        raise UsageError("a map needs a notebook and a table", fix="nb2prod map NOTEBOOK --over TABLE")
    return notebook, table


def _refuse_beside_resume(notebook: Path | None, table: Path | None) -> None:
    from nb2prod.core.errors import UsageError

    if notebook is not None or table is not None:
        raise UsageError("a map that goes on knows its notebook and table", fix="nb2prod map --resume RUN")
