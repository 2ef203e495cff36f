"""What `nb2prod verify PACKAGE` prints: the paths to an answer, what does not hold, and what is to be known."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nb2prod.cli._words import print_json

if TYPE_CHECKING:
    from nb2prod.stages.certificate.examine import Examined

CLIENT = "client"  # `stages.certificate.client.PATH`, which loads what serves


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a package is to be verified: `client` names somebody's own, in place of the certificate's paths."""

    key: Path | None = None
    paths: tuple[str, ...] = ()
    other_versions: bool = False
    policy: str | None = None
    client: str | None = None

    def __bool__(self) -> bool:
        return self != Asked()


def verify_package(source: Path, asked: Asked, output: Path | None, as_json: bool) -> None:
    """Ends with exit code 5 when the package, a folder or an archive, is not what its certificate says."""
    from nb2prod import api

    if asked.client is not None and (asked.paths or asked.other_versions):
        from nb2prod.core.errors import UsageError

        raise UsageError("a client is held against one path", fix="leave out --path and --allow-other-versions")
    with api.package_folder(source, asked.policy) as folder:
        _verify_folder(folder, asked, output, as_json)


def _examined(folder: Path, asked: Asked) -> Examined:
    from nb2prod import api

    if asked.client is not None:
        return api.examine_client(folder, asked.client, policy=asked.policy)
    return api.examine(folder, paths=asked.paths, allow_other_versions=asked.other_versions, policy=asked.policy)


def _verify_folder(folder: Path, asked: Asked, output: Path | None, as_json: bool) -> None:
    from nb2prod import api
    from nb2prod.stages import documents
    from nb2prod.storage import files

    signed = {} if asked.key is None else {"signed_by": api.verify_signature(folder, asked.key)}
    examined = _examined(folder, asked)
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
        told = f"{folder} has its files as packed, and every path that was tried answers as certified"
        if examined.found.path(CLIENT) is not None:
            told = f"{folder} has its files as packed, and gets every row from the client as it is"
        click.echo(f"{status}: {told}")
