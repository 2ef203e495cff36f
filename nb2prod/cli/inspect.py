"""`nb2prod inspect`: look at a notebook, which does not run, or at a package, of which nothing is loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from nb2prod.cli._words import PATH, as_json, policy, refuse_input


@click.command()
@click.argument("source", type=PATH, metavar="NOTEBOOK|PACKAGE", required=False)
@click.option("--format", "style", type=click.Choice(["text", "json", "svg", "mermaid"]), default="text")
@click.option("-o", "--output", type=PATH, help="Write to a file instead of stdout.")
@policy
@as_json
def inspect(source: Path | None, style: str, output: Path | None, policy: str | None, as_json: bool) -> None:
    """Show a NOTEBOOK's parameters, steps, tests and model, and run nothing; or what a PACKAGE would do, and load
    nothing of it. Without either, print a policy: `nb2prod inspect --policy default`.
    """
    from nb2prod import api
    from nb2prod.core.errors import UsageError
    from nb2prod.storage import archives

    style = "json" if as_json else style
    if source is None:
        if policy is None or style != "text":
            raise UsageError("there is nothing to look at", fix="name a notebook or a package")
        _show(api.policy_text(policy), output)
    elif source.is_dir() or archives.is_archive(source):
        _show_package(source, style, output, policy)
    elif policy is not None:
        raise UsageError("--policy is for a package", fix="leave it out")
    else:
        refuse_input(output, [source])
        _show(api.inspect(source, format=style, width=_width(), color=_in_color(output)), output)


def _show_package(source: Path, style: str, output: Path | None, policy: str | None) -> None:
    """Ends with exit code 5 when the package may not be loaded."""
    from nb2prod import api
    from nb2prod.core.errors import NotProved, UsageError

    if output is not None and output.resolve().is_relative_to(source.resolve()):
        raise UsageError("the output would change the package", where=str(output), fix="name another file")
    found = api.inspect_package(source, policy)
    _show(api.package_report(found, format=style, width=_width(), color=_in_color(output)), output)
    if not found.allowed:
        sys.exit(NotProved.exit_code)


def _show(text: str, output: Path | None) -> None:
    from nb2prod.storage import files

    if output is None:
        click.echo(text)
    else:
        files.write_text(output, text + "\n")
        click.echo(f"wrote {output}", err=True)


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns


def _in_color(output: Path | None) -> bool:
    return output is None and sys.stdout.isatty()
