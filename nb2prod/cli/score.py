"""`nb2prod score`: the model's answers for whole tables."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, cast

import click

from nb2prod.cli._words import PATH, as_json, policy, print_json, scheduler

if TYPE_CHECKING:
    from nb2prod.core.scored import Advance, OnBadRows, Runtime, Scored

EVERY = 5.0  # seconds between plain lines
LISTED = 5


@click.command()
@click.argument("package", type=PATH)
@click.argument("data", nargs=-1, required=True, metavar="DATA…")
@click.option("-o", "--output", type=PATH, required=True, help="A .parquet or .csv file.")
@click.option("--keep", metavar="COLUMNS", help="The data's columns to keep (a,b,c; '' for none).  [default: all]")
@click.option(
    "--on-bad-rows",
    type=click.Choice(("reject", "refuse")),
    default="reject",
    show_default=True,
    help="Put rows that do not fit into OUTPUT.rejected, or write nothing at all.",
)
@click.option(
    "--missing", "missing", multiple=True, metavar="WORD", help="A word for a missing value in CSV. Repeatable."
)
@click.option(
    "--runtime",
    type=click.Choice(("auto", "onnx", "model")),
    default="auto",
    show_default=True,
    help="What answers: the model, its proved ONNX translation, or that where it is proved equal.",
)
@click.option("--executor", default="serial", show_default=True, help="For many files: serial, processes, dask.")
@scheduler
@click.option("--workers", type=click.IntRange(min=1), help="How many files at once.  [default: one for each core]")
@click.option("--fresh", is_flag=True, help="Begin again, where an earlier call was stopped.")
@policy
@as_json
def score(
    package: Path,
    data: tuple[str, ...],
    output: Path,
    keep: str | None,
    on_bad_rows: str,
    missing: tuple[str, ...],
    runtime: str,
    executor: str,
    scheduler: str,
    workers: int | None,
    fresh: bool,
    policy: str | None,
    as_json: bool,
) -> None:
    """Score every row of DATA (.parquet and .csv files, folders, patterns) with a PACKAGE's model.

    The same call after an interruption goes on where it was. Exit code 3 when rows were rejected.
    """
    from nb2prod import api
    from nb2prod.stages import documents

    reached = _Reached()
    with _stoppable(reached), _progress() as tell:
        scored = api.score(
            package,
            data,
            output,
            keep=None if keep is None else [name.strip() for name in keep.split(",") if name.strip()],
            on_bad_rows=cast("OnBadRows", on_bad_rows),
            runtime=cast("Runtime", runtime),
            missing=missing,
            fresh=fresh,
            executor=executor,
            workers=workers,
            scheduler=scheduler,
            policy=policy,
            tell=lambda advance: tell(reached.heard(advance)),
        )
    if as_json:
        print_json(documents.scored(scored))
    else:
        _print(scored)
    if scored.exit_code:
        sys.exit(scored.exit_code)


def _print(scored: Scored) -> None:
    new = scored.rows - scored.resumed
    speed = f", {new / scored.seconds:,.0f} rows/s" if new and scored.seconds else ""
    click.echo(f"{click.style('scored', bold=True)} {scored.rows - scored.rejected:,} of {scored.rows:,} rows{speed}")
    answered = "its proved ONNX translation" if scored.runtime == "onnx" else "the model itself"
    click.echo(f"  package  {scored.package} {scored.version} (sha256:{scored.digest[:16]}…), {answered}")
    click.echo(f"  output   {_here(scored.output)}")
    if scored.resumed:
        click.echo(f"  resumed  {scored.resumed:,} rows were done before")
    if scored.rejected:
        click.echo(click.style(f"  rejected {scored.rejected:,} rows, told in {_here(scored.rejected_to)}", fg="red"))
        for reason, count in list(scored.reasons.items())[:LISTED]:
            click.echo(f"    {count:,} × {reason}")
        if len(scored.reasons) > LISTED:
            click.echo(f"    and {len(scored.reasons) - LISTED} other reasons")


def _here(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


@dataclass
class _Reached:
    """How far it is."""

    rows: int = 0

    def heard(self, advance: Advance) -> Advance:
        self.rows = advance.rows
        return advance


@contextmanager
def _stoppable(reached: _Reached) -> Iterator[None]:
    """SIGINT and SIGTERM end the command at once; it says what is kept."""

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        kept = f"{reached.rows:,} rows are done and kept: the same command goes on there"
        click.echo(f"interrupted; {kept if reached.rows else 'nothing was written'}", err=True)
        sys.stdout.flush()
        os._exit(130)  # a thread in which the model is asked cannot be stopped, and Python would wait for it
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress() -> Iterator[Callable[[Advance], None]]:
    terminal = sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"
    if terminal:
        with _bar() as tell:
            yield tell
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Callable[[Advance], None]]:
    """Rows, rate, rejected rows and the time left, on one line that goes when all is done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    began = time.monotonic()
    words = [TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.percentage:>3.0f} %")]
    told = [TextColumn("{task.fields[said]}"), TimeRemainingColumn(compact=True)]
    with Progress(*words, *told, console=Console(stderr=True), transient=True, expand=True) as progress:
        bar = progress.add_task("scoring", total=1.0, said="")
        first: list[int] = []

        def tell(advance: Advance) -> None:
            first.append(advance.rows)
            rate = (advance.rows - first[0]) / max(1e-9, time.monotonic() - began)
            bad = f", [red]{advance.rejected:,} rejected[/]" if advance.rejected else ""
            progress.update(bar, completed=advance.share, said=f"{advance.rows:,} rows, {rate:,.0f}/s{bad}")
            del first[1:]

        yield tell


def _lines() -> Callable[[Advance], None]:
    following = time.monotonic() + EVERY

    def tell(advance: Advance) -> None:
        nonlocal following
        if time.monotonic() >= following:
            following = time.monotonic() + EVERY
            click.echo(f"{advance.rows:,} rows, {advance.share:.0%}, {advance.rejected:,} rejected", err=True)

    return tell
