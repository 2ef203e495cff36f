"""What `nb2prod verify PACKAGE` prints: the paths to an answer, what does not hold, and what is to be known."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nb2prod.cli._words import print_json

if TYPE_CHECKING:
    from nb2prod.stages.certificate.examine import Examined


def verify_package(
    source: Path,
    key: Path | None,
    paths: tuple[str, ...],
    other_versions: bool,
    policy: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Ends with exit code 5 when the package, a folder or an archive, is not what its certificate says."""
    from nb2prod import api

    with api.package_folder(source, policy) as folder:
        _verify_folder(folder, key, paths, other_versions, policy, output, as_json)


def _verify_folder(
    folder: Path,
    key: Path | None,
    paths: tuple[str, ...],
    other_versions: bool,
    policy: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    from nb2prod import api
    from nb2prod.stages import documents
    from nb2prod.storage import files

    signed = {} if key is None else {"signed_by": api.verify_signature(folder, key)}
    examined = api.examine(folder, paths=paths, allow_other_versions=other_versions, policy=policy)
    if output is not None:
        files.write_text(output, api.certificate_report(folder, examined, format="html"))
        click.echo(f"wrote {output}", err=True)
    if as_json:
        print_json({**documents.verified(str(folder), examined), **signed})
    else:
        if signed:
            click.echo(f"{folder}: signed by {signed['signed_by']}")
        _print(folder, examined)
    if not examined.holds:
        from nb2prod.core.errors import NotProved

        sys.exit(NotProved.exit_code)


def _print(folder: Path, examined: Examined) -> None:
    from nb2prod import api

    to_terminal = sys.stdout.isatty()
    color = to_terminal and not os.environ.get("NO_COLOR")
    width = shutil.get_terminal_size((100, 24)).columns
    click.echo(api.certificate_report(folder, examined, width=width, color=color), color=True if color else None)
    for note in examined.notes:
        click.echo(f"note: {note}")
    for problem in examined.problems:
        click.echo(f"{click.style('different', fg='red', bold=True)}: {problem.what}")
    if examined.holds:
        status = click.style(examined.found.verdict, fg="green", bold=True)
        click.echo(f"{status}: {folder} has its files as packed, and every path that was tried answers as certified")
