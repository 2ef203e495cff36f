"""`nb2prod sync`: an exported project and its notebook, brought up to date with each other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nb2prod.cli._words import PATH, as_json, print_json, refuse_input

if TYPE_CHECKING:
    from nb2prod.stages.sync import Back, Forward

COLOURS = {"+": "green", "-": "red", "@": "cyan"}
MARKS = {"<": "green", ">": "blue", "|": "yellow", "=": "yellow"}


@click.command()
@click.argument("project", type=PATH)
@click.argument("notebook", type=PATH)
@click.option("-o", "--output", type=PATH, help="Write a copy of the notebook with the project's changes here.")
@click.option("--update", is_flag=True, help="The other way: merge the notebook's changes into the project.")
@click.option("--write-conflicts", is_flag=True, help="With --update: leave conflicts in the files, as git marks them.")
@click.option("--run", "run_folder", type=PATH, help="With --update: a run of the notebook, for the project's test.")
@click.option("--record", is_flag=True, help="With --update: run the notebook now, for that test.")
@as_json
def sync(
    project: Path,
    notebook: Path,
    output: Path | None,
    update: bool,
    write_conflicts: bool,
    run_folder: Path | None,
    record: bool,
    as_json: bool,
) -> None:
    """What changed in an exported project since, and the notebook: shown, and carried from one to the other.

    Without --update it shows what engineers changed in functions of the project, cell by cell, and writes a copy of the
    notebook with those changes. Nothing is executed, but for --record.
    """
    from nb2prod import api
    from nb2prod.core.errors import UsageError
    from nb2prod.stages.syncing import documents

    refuse_input(output, [notebook])
    if not update and (write_conflicts or run_folder is not None or record):
        raise UsageError("--write-conflicts, --run and --record belong to --update", fix="add --update")
    if update and output is not None:
        raise UsageError("--update changes the project, and -o writes a notebook", fix="give one of them")
    if update:
        run = _recorded(notebook) if record else run_folder
        merge = api.sync_update(project, notebook, run=run, write_conflicts=write_conflicts)
        print_json(documents.forward(merge, written=write_conflicts)) if as_json else _print_forward(
            merge, write_conflicts
        )
        sys.exit(5 if merge.conflicts else 0)
    found = api.sync(project, notebook, output)
    print_json(documents.back(found, output)) if as_json else _print_back(found, output)
    if found.refused:
        sys.exit(3)


def _recorded(notebook: Path) -> Path:
    from nb2prod import api
    from nb2prod.core.errors import NotebookFailed

    result = api.run(notebook, trackers=("console",))
    if result.failure is not None:
        raise NotebookFailed(result.failure.message, where=result.failure.place, fix="correct the notebook first")
    return Path(result.directory)


# -- back -------------------------------------------------------------------------------------------------------------


def _print_back(found: Back, output: Path | None) -> None:
    from nb2prod.stages.fix import difference

    for one in found.returned:
        place = f"{one.file}:{one.line}"
        cells = ", ".join(map(str, one.cells))
        name = one.function or "functions"
        click.echo(f"{click.style(name, bold=True)}  {place}  →  cell{'s' if len(one.cells) > 1 else ''} {cells}")
    for line in difference(found.before, found.after).splitlines():
        bold = line.startswith("cell ")
        click.echo(click.style(line, fg=COLOURS.get(line[:1]), bold=bold) if line[:1] in COLOURS or bold else line)
    if found.refused:
        click.echo(f"\n{click.style('stays in the project', fg='red', bold=True)}")
    for refused in found.refused:
        click.echo(f"  {found.project / refused.file}:{refused.line}: {refused.what}")
    if found.own:
        click.echo(f"\nthe project's own, no part of the notebook: {', '.join(found.own)}")
    click.echo(_summary(found, output), err=True)


def _summary(found: Back, output: Path | None) -> str:
    if not found.returned and not found.refused:
        told = "the functions of the project are those of the notebook"
        return told if output is None else f"{told}; wrote {output}, as the notebook is"
    count = len(found.returned)
    if not count:
        return "nothing of it can go back to the notebook" + ("" if output is None else f"; wrote {output} as it is")
    functions = "1 place" if count == 1 else f"{count} places"
    if output is None:
        return f"{functions} can go back to the notebook: -o COPY.ipynb writes a copy with them"
    return f"wrote {output}: {functions} brought back; exported again, it gives them as they stand in the project"


# -- forward ----------------------------------------------------------------------------------------------------------


def _print_forward(merge: Forward, written: bool) -> None:
    for conflict in merge.conflicts:
        place = f"{merge.project / conflict.file}:{conflict.line}"
        click.echo(f"{click.style('conflict', fg='red', bold=True)}  {place}")
        for line in conflict.text.rstrip("\n").split("\n"):
            mark = line[:1] if line[:7] == line[:1] * 7 else ""
            click.echo(f"  {click.style(line, fg=MARKS[mark]) if mark in MARKS else line}")
    stopped = bool(merge.conflicts) and not written
    for name, text in merge.texts.items():
        word = "takes away" if text is None else "merges" if name in merge.kept else "brings"
        click.echo(f"{f'would: {word}' if stopped else word}  {name}")
    for name in merge.data:
        click.echo(f"{'would: brings' if stopped else 'brings'}  {name}")
    click.echo(_end(merge, written), err=True)


def _end(merge: Forward, written: bool) -> str:
    count = len(merge.conflicts)
    conflicts = "1 conflict" if count == 1 else f"{count} conflicts"
    if count and written:
        return f"{conflicts} left in the files, between <<<<<<< and >>>>>>>: resolve them, then `make check test`"
    if count:
        return f"{conflicts}: nothing is written; --write-conflicts leaves them in the files, to be resolved there"
    if not merge.texts and not merge.data:
        return "the project has all that the notebook has"
    stale = merge.recorded_is_earlier
    told = "; tests/recorded.json is of the notebook before: --record makes it anew" if stale else ""
    return f"the project is up to date: `make check test` looks at it{told}"
