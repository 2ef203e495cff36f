"""`nb2prod test`: the notebook's tests through pytest."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nb2prod.cli._words import PATH, as_json, print_json, refuse_input, texts


@click.command()
@click.argument("notebooks", type=PATH, nargs=-1, required=True)
@click.option("-p", "--parameter", "given", nargs=2, multiple=True, metavar="NAME VALUE", help="Repeatable.")
@click.option("-k", "select", metavar="EXPRESSION", help="Only tests that match, as pytest's -k.")
@click.option("--junit", type=PATH, help="Write a JUnit XML report.")
@as_json
def test(
    notebooks: tuple[Path, ...],
    given: tuple[tuple[str, str], ...],
    select: str | None,
    junit: Path | None,
    as_json: bool,
) -> None:
    """Run the notebook's tests through pytest."""
    from nb2prod import api
    from nb2prod.stages import documents

    refuse_input(junit, notebooks)
    results, code = api.test(notebooks, junit=junit, select=select, parameters=texts(given), quiet=as_json)
    if as_json:
        print_json(documents.tested(results))
    sys.exit(code)
