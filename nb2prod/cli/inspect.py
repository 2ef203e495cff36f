"""`nb2prod inspect`: look at a notebook; nothing runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nb2prod.cli._words import PATH, as_json, refuse_input


@click.command()
@click.argument("notebook", type=PATH)
@click.option("--format", "style", type=click.Choice(["text", "json", "svg", "mermaid"]), default="text")
@click.option("-o", "--output", type=PATH, help="Write to a file instead of stdout.")
@as_json
def inspect(notebook: Path, style: str, output: Path | None, as_json: bool) -> None:
    """Show parameters, steps, tests and model; nothing runs."""
    import shutil

    from nb2prod import api
    from nb2prod.storage import files

    refuse_input(output, [notebook])
    to_terminal = output is None and sys.stdout.isatty()
    width = shutil.get_terminal_size((100, 24)).columns
    text = api.inspect(notebook, format="json" if as_json else style, width=width, color=to_terminal)
    if output is None:
        click.echo(text)
    else:
        files.write_text(output, text + "\n")
        click.echo(f"wrote {output}", err=True)
