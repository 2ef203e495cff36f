"""`nb2prod export`: the pipeline for another place."""

from __future__ import annotations

from pathlib import Path

import click

from nb2prod.cli._words import PATH


@click.command()
@click.argument("notebook", type=PATH)
@click.option("--to", "target", required=True, metavar="TARGET", help="What it becomes: project, …")
@click.option("-o", "--output", type=PATH, required=True, help="A folder that is not there yet.")
@click.option("--run", "run_folder", type=PATH, help="A run of the notebook, with which a project's test compares.")
@click.option("--record", is_flag=True, help="Run the notebook now, for that test.")
@click.option("--allow-shell", is_flag=True, help="Let shell lines become calls of the shell.")
def export(notebook: Path, target: str, output: Path, run_folder: Path | None, record: bool, allow_shell: bool) -> None:
    """Write the pipeline for another place.

    Nothing is executed, but for --record.
    """
    from nb2prod import api
    from nb2prod.core.errors import NotebookFailed, UsageError

    if record and run_folder is not None:
        raise UsageError("--run names a run, and --record makes one", fix="give one of them")
    if record:
        if output.exists() and not (output.is_dir() and not any(output.iterdir())):
            raise UsageError("there is something already", where=str(output), fix="name a folder that is not there")
        result = api.run(notebook, trackers=("console",))
        if result.failure is not None:
            raise NotebookFailed(result.failure.message, where=result.failure.place, fix="correct the notebook first")
        run_folder = Path(result.directory)
    for path in api.export(notebook, target, output, run=run_folder, allow_shell=allow_shell):
        click.echo(path)
    if target == "project" and run_folder is None:
        click.echo("no test compares with the notebook: name a run of it with --run, or give --record", err=True)
