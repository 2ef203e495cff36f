"""`nb2prod export`: the pipeline for another place."""

from __future__ import annotations

from pathlib import Path

import click

from nb2prod.cli._words import PATH


@click.command()
@click.argument("notebook", type=PATH)
@click.option("--to", "target", required=True, metavar="TARGET", help="What it becomes.")
@click.option("-o", "--output", type=PATH, required=True, help="A folder that is not there yet.")
def export(notebook: Path, target: str, output: Path) -> None:
    """Write the pipeline for another place."""
    from nb2prod import api

    for path in api.export(notebook, target, output):
        click.echo(path)
