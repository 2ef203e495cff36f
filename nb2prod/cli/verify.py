"""`nb2prod verify`: proofs, of a notebook and of a package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nb2prod.cli._words import PATH, as_json, from_file, parameters, print_json, refuse_input, texts

if TYPE_CHECKING:
    from nb2prod.core.equality import Equality


@click.command()
@click.argument("source", type=PATH, metavar="NOTEBOOK|PACKAGE")
@parameters
@click.option("-o", "--output", type=PATH, help="Of a notebook: write the report, one HTML page.")
@click.option("--engine", default="steps", show_default=True, help="Of a notebook: what is compared with its kernel.")
@click.option("--allow-shell", is_flag=True, help="Let isolated steps run their shell lines.")
@click.option("--kernel", help="Another kernel than the notebook names.")
@click.option("--timeout", type=click.FloatRange(min=0.01), help="Seconds that one cell may take.")
@as_json
def verify(
    source: Path,
    given: tuple[tuple[str, str], ...],
    file: Path | None,
    output: Path | None,
    engine: str,
    allow_shell: bool,
    kernel: str | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Prove that a NOTEBOOK's isolated steps equal it, value by value; or check a PACKAGE and its proof again."""
    from nb2prod import api
    from nb2prod.core.errors import UsageError
    from nb2prod.stages import documents
    from nb2prod.storage import files

    if source.is_dir():
        if given or file or output or kernel or timeout or allow_shell:
            raise UsageError("of a package everything is fixed", fix="leave out the options, or name a notebook")
        _verify_package(source, as_json)
        return
    refuse_input(output, [source])
    equality = api.verify_notebook(
        source,
        from_file(file),
        texts=texts(given),
        engine=engine,
        kernel=kernel,
        timeout=timeout,
        allow_shell=allow_shell,
        tell=lambda line: click.echo(line, err=True),
    )
    if output is not None:
        files.write_text(output, api.equality_report(equality, format="html"))
        click.echo(f"wrote {output}", err=True)
    if as_json:
        print_json(documents.verified_notebook(equality))
    else:
        _print_equality(equality)
    if equality.exit_code:
        sys.exit(equality.exit_code)


def _print_equality(equality: Equality) -> None:
    import os
    import shutil

    from nb2prod import api

    for finding in equality.findings:
        click.echo(f"{finding.place}: {finding.message} [{finding.code}]\n  fix: {finding.fix}", err=True)
    if equality.failure is not None:
        click.echo(f"{equality.failure.place}: {equality.failure.message}", err=True)
    to_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size((100, 24)).columns
    color = to_terminal and not os.environ.get("NO_COLOR")
    click.echo(api.equality_report(equality, width=width, color=color), color=True if color else None)


def _verify_package(folder: Path, as_json: bool) -> None:
    from nb2prod import api
    from nb2prod.stages import documents

    parity = api.verify(folder)
    if as_json:
        print_json(documents.verified(str(folder), parity))
        return
    click.echo(f"{folder}: files as packed, predictions {parity.verdict}")
    for path in parity.paths:
        click.echo(f"  {path.path}: {path.exact} of {path.rows} equal, largest difference {path.difference:g}")
