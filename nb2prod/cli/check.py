"""`nb2prod check`: what is wrong or doubtful, as lines, a page, or what code reviews read."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nb2prod.cli._words import PATH, as_json, refuse_input

if TYPE_CHECKING:
    from nb2prod.core.finding import Severity
    from nb2prod.stages.check import Checked


def _explain(ctx: click.Context, _: click.Parameter, code: str | None) -> None:
    if code is not None:
        from nb2prod import api

        click.echo(api.explain("" if code == "all" else code))
        ctx.exit()


@click.command()
@click.argument("paths", type=PATH, nargs=-1, required=True, metavar="NOTEBOOK|FOLDER...")
@click.option("--format", "style", type=click.Choice(["text", "json", "sarif", "github"]), default="text")
@click.option("--select", multiple=True, metavar="CODES", help="Only these codes, and errors. Repeatable, or commas.")
@click.option("--ignore", multiple=True, metavar="CODES", help="Not these codes. Repeatable, or commas.")
@click.option("--fail-on", type=click.Choice(["error", "warning", "note"]), help="Exit with 3 from there on.")
@click.option(
    "--resolve-imports", "resolve", is_flag=True, help="Import what star imports name, to learn what they bind."
)
@click.option("--fix", is_flag=True, help="Write a corrected copy, NAME.fixed.ipynb, and check that.")
@click.option("-o", "--output", type=PATH, help="With --fix: the copy's name.")
@click.option("--explain", metavar="CODE", callback=_explain, is_eager=True, expose_value=False, help="Or: all.")
@as_json
def check(
    paths: tuple[Path, ...],
    style: str,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    fail_on: Severity | None,
    resolve: bool,
    fix: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """List what is wrong or doubtful, with a fix for each; nothing runs."""
    from nb2prod import api

    chosen, ignored = _codes(select), _codes(ignore)
    if fix or output is not None:
        paths = _fixed(paths, output, chosen, ignored, wanted=fix)
    checked = api.check_all(paths, select=chosen, ignore=ignored, fail_on=fail_on, resolve=resolve)
    _print_checked(checked, "json" if as_json else style)
    if any(one.failed and one.problem is None for one in checked):
        sys.exit(3)
    unread = next((one.problem for one in checked if one.problem is not None), None)
    if unread is not None:
        sys.exit(unread.exit_code)


def _codes(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(code.strip() for words in given for code in words.split(",") if code.strip())


def _fixed(
    paths: tuple[Path, ...], output: Path | None, select: tuple[str, ...], ignore: tuple[str, ...], *, wanted: bool
) -> tuple[Path, ...]:
    """The corrected copies; a notebook that needs none stays in the list itself."""
    from nb2prod import api
    from nb2prod.core.errors import UsageError

    if not wanted:
        raise UsageError("-o names the copy that --fix writes", fix="add --fix, or leave out -o")
    if len(paths) != 1 or paths[0].is_dir():
        raise UsageError("--fix corrects one notebook at a time", fix="name one notebook")
    refuse_input(output, paths)
    copy, difference, count = api.fix(paths[0], output, select=select, ignore=ignore)
    if copy is None:
        click.echo(f"{paths[0]}: there is nothing that --fix corrects", err=True)
        return paths
    for line in difference.splitlines():
        click.echo(click.style(line, fg={"+": "green", "-": "red", "@": "cyan"}.get(line[:1])), err=True)
    click.echo(f"wrote {copy}: {count} finding{'' if count == 1 else 's'} corrected", err=True)
    return (copy,)


def _print_checked(checked: Sequence[Checked], style: str) -> None:
    import os
    import shutil

    from nb2prod import api

    to_terminal = style == "text" and sys.stdout.isatty()
    form = style if style != "text" else "page" if to_terminal else "lines"
    width = shutil.get_terminal_size((100, 24)).columns
    text = api.report(checked, format=form, width=width, color=to_terminal and not os.environ.get("NO_COLOR"))
    if text:
        click.echo(text, color=True if to_terminal else None)
    for one in checked:
        if one.problem is not None and not to_terminal:
            click.echo(f"{click.style('error:', fg='red', bold=True)} {one.problem}", err=True)
