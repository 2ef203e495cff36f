"""`nb2prod cache`: what isolated steps would not run again, why others would, and how much room that takes."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nb2prod.cli._words import PATH, as_json, from_file, parameters, print_json, store, texts

if TYPE_CHECKING:
    from nb2prod.core.result import Foreseen
    from nb2prod.storage.step_entries import Entry

AGES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


@click.group(invoke_without_command=True)
@store
@as_json
@click.pass_context
def cache(ctx: click.Context, store: str, as_json: bool) -> None:
    """What is kept of isolated steps: list it, explain what a run would take, prune it."""
    if ctx.invoked_subcommand is not None:
        return
    from nb2prod import api

    rows = api.cached(store)
    if as_json:
        print_json({"schema": "nb2prod/cache/1", "store": store, "entries": [_entry(*row) for row in rows]})
        return
    _print_table(rows)


@cache.command()
@click.argument("notebook", type=PATH)
@parameters
@store
@click.option("--kernel", help="Another kernel than the notebook names.")
@as_json
def explain(
    notebook: Path, given: tuple[tuple[str, str], ...], file: Path | None, store: str, kernel: str | None, as_json: bool
) -> None:
    """Say of each step of NOTEBOOK whether a run would take it from the store, or why it would run."""
    from nb2prod import api

    found = api.explain_cache(notebook, from_file(file), store=store, texts=texts(given), kernel=kernel)
    if as_json:
        rows = [{"step": one.step, "taken": one.taken, "reason": one.reason} for one in found]
        print_json({"schema": "nb2prod/cache-explain/1", "notebook": str(notebook), "steps": rows})
        return
    _print_foreseen(found)


@cache.command()
@store
@click.option("--older", type=click.FloatRange(min=0), metavar="DAYS", help="What was not used for so many days.")
@click.option("--to", metavar="SIZE", help="Down to that size (500M, 10G), what was longest unused first.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@as_json
def prune(store: str, older: float | None, to: str | None, everything: bool, as_json: bool) -> None:
    """Remove what is not needed.  [default: down to the limit, 10 GB or NB2PROD_STORE_LIMIT]"""
    from nb2prod import api

    found = api.prune_cache(store, older_days=older, to=to, everything=everything)
    if as_json:
        figures = {"entries": found.entries, "points": found.points, "freed": found.freed, "left": found.left}
        print_json({"schema": "nb2prod/cache-prune/1", "store": store, **figures})
        return
    removed = f"{found.entries} entries, {found.points} resume points, {_size(found.freed)}"
    click.echo(f"removed {removed}; {_size(found.left)} are left")


def _entry(entry: Entry, hits: int, used: float) -> dict[str, Any]:
    return {
        "step": entry.step,
        "cells": list(entry.cells),
        "notebook": entry.notebook,
        "made": entry.made,
        "used": used,
        "size": entry.size,
        "hits": hits,
        "seconds": entry.seconds,
        "key": entry.key,
    }


def _print_table(rows: Iterable[tuple[Entry, int, float]]) -> None:
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    if not rows:
        click.echo("nothing is kept here; `nb2prod run NOTEBOOK --engine steps` keeps what its steps leave")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("step", "notebook", "age", "used", "size", "saves", "hits"):
        table.add_column(name, justify="right" if name in ("age", "used", "size", "saves", "hits") else "left")
    now = time.time()
    for entry, hits, used in rows:
        name = entry.step or f"[dim]cells {', '.join(map(str, entry.cells))}[/dim]"
        sizes = (_age(now - entry.made), _age(now - used), _size(entry.size), f"{entry.seconds:.1f} s", str(hits))
        table.add_row(name, Path(entry.notebook).name, *sizes)
    Console(highlight=False).print(table)
    kept = {digest: size for entry, _, _ in rows for digest, size in entry.contents.items()}
    click.echo(f"{len(rows)} entries, {_size(sum(kept.values()))}")


def _print_foreseen(found: Iterable[Foreseen]) -> None:
    found = list(found)
    width = max((len(one.step) for one in found), default=0)
    for one in found:
        mark = click.style("taken", fg="green") if one.taken else click.style("runs ", fg="yellow")
        click.echo(f"{one.step:{width}}  {mark}  {one.reason}")


def _age(seconds: float) -> str:
    size, unit = next((row for row in AGES if seconds >= row[0]), AGES[-1])
    return f"{seconds / size:.0f} {unit}"


def _size(size: float) -> str:
    scale, unit = next((row for row in UNITS if size >= row[0]), (1.0, "B"))
    return f"{size / scale:.1f} {unit}" if scale > 1 else f"{size:.0f} B"
