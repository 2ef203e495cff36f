"""`nb2prod verify`: proofs, of a notebook and of a package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nb2prod.cli._certificate import Asked, verify_package
from nb2prod.cli._words import PATH, as_json, from_file, parameters, policy, print_json, refuse_input, texts

if TYPE_CHECKING:
    from nb2prod.core.equality import Equality


@click.command()
@click.argument("source", type=PATH, metavar="NOTEBOOK|PACKAGE")
@parameters
@click.option("-o", "--output", type=PATH, help="Write the report, one HTML page.")
@click.option("--engine", default="steps", show_default=True, help="Of a notebook: what is compared with its kernel.")
@click.option("--allow-shell", is_flag=True, help="Let isolated steps run their shell lines.")
@click.option("--kernel", help="Another kernel than the notebook names.")
@click.option("--key", type=PATH, metavar="KEY", help="Of a package: the public key that must have signed it.")
@click.option("--path", "paths", multiple=True, metavar="NAME", help="Of a package: only this path; repeatable.")
@click.option(
    "--allow-other-versions", is_flag=True, help="Of a package: other libraries are no fault while the numbers hold."
)
@click.option(
    "--client", metavar="CLIENT", help="Of a package: a client of your own, FILE.py:FUNCTION or a command, instead."
)
@click.option("--timeout", type=click.FloatRange(min=0.01), help="Seconds that one cell may take.")
@policy
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
    key: Path | None,
    paths: tuple[str, ...],
    allow_other_versions: bool,
    client: str | None,
    policy: str | None,
    as_json: bool,
) -> None:
    """Prove that a NOTEBOOK's isolated steps equal it, value by value; or check a PACKAGE and its proof again."""
    from nb2prod import api
    from nb2prod.core.errors import UsageError
    from nb2prod.stages import documents
    from nb2prod.storage import archives, files

    asked = Asked(key, paths, allow_other_versions, policy, client)
    if source.is_dir() or archives.is_archive(source):
        if given or file or kernel or timeout or allow_shell:
            raise UsageError("of a package everything is fixed", fix="leave out the options, or name a notebook")
        verify_package(source, asked, output, as_json)
        return
    if asked:
        what = "--key, --path, --client, --policy and --allow-other-versions"
        raise UsageError(f"{what} are for a package", fix="leave them out")
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
