"""`nb2prod suggest`: tags for a notebook that has none."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nb2prod.cli._words import PATH, as_json, print_json, refuse_input

if TYPE_CHECKING:
    from nb2prod.stages.suggest import Suggestion


@click.command()
@click.argument("notebook", type=PATH)
@click.option("-o", "--output", type=PATH, help="Write the tagged copy to this notebook.")
@click.option("--write", is_flag=True, help="Write it beside the notebook, as NAME.tagged.ipynb.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier copy.")
@as_json
def suggest(notebook: Path, output: Path | None, write: bool, overwrite: bool, as_json: bool) -> None:
    """Propose tags for the untagged cells, with reasons, and write a tagged copy; nothing runs."""
    from nb2prod import api
    from nb2prod.core.errors import UsageError
    from nb2prod.stages import documents
    from nb2prod.stages.suggest import default_output

    if output is not None and write:
        raise UsageError("--write and -o both say where the copy goes", fix="leave out --write")
    refuse_input(output, [notebook])
    target = default_output(notebook) if write else output
    suggestion = api.suggest(notebook, target, overwrite=overwrite)
    if as_json:
        print_json(documents.suggested(suggestion, None if target is None else str(target)))
    else:
        _print_suggestion(suggestion, target)
    if any(finding.severity == "error" for finding in suggestion.refused):
        sys.exit(3)


def _print_suggestion(suggestion: Suggestion, target: Path | None) -> None:
    import shutil

    from nb2prod.drawing import proposal

    rows = [(str(found.cell), found.source, found.tags, found.why) for found in suggestion.cells]
    if suggestion.moved:
        place = sum(found.cell < (suggestion.parameters_at or 0) for found in suggestion.cells)
        why = "a new cell: literals that the cells below use"
        rows.insert(place, ("new", suggestion.parameters_source, ("parameters",), why))
    width = shutil.get_terminal_size((120, 24)).columns
    click.echo(proposal.as_text(rows, width=width, color=sys.stdout.isatty()))
    for note in suggestion.notes:
        click.echo(f"\n{click.style('note', fg='blue', bold=True)}  {note}")
    if suggestion.refused:
        click.echo(f"\n{click.style('a person must decide', fg='red', bold=True)}")
    for finding in suggestion.refused:
        click.echo(f"  {finding.place}: {finding.code}: {finding.message}\n    fix: {finding.fix}")
    click.echo()
    if target is None:
        click.echo(f"to write a tagged copy:  nb2prod suggest {suggestion.notebook.path} --write")
        return
    click.echo(f"wrote {target}; look at it, change what you would say otherwise, then")
    wanted = ["inspect", "check", "run", "verify", *(["package"] if suggestion.packs else [])]
    for verb in wanted:
        click.echo(f"  nb2prod {verb} {target}{' -o PACKAGE' if verb == 'package' else ''}")
