"""`nb2prod package`: the model, packed and proved."""

from __future__ import annotations

from pathlib import Path

import click

from nb2prod.cli._words import PATH, as_json, from_file, parameters, print_json, texts, trackers


@click.command()
@click.argument("source", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The package's folder.")
@parameters
@click.option("--name", help="The package's name.  [default: the notebook's]")
@click.option("--version", default="1", show_default=True)
@click.option("--register", metavar="NAME", help="Also register it in the MLflow registry.")
@click.option("--track/--no-track", default=True, help="Log the run to MLflow.")
@click.option(
    "--fallback",
    metavar="WHAT",
    help="Of a map: what a key without a model gets: refuse (default), null, item:NUMBER, pooled.",
)
@as_json
def package(
    source: Path,
    output: Path,
    given: tuple[tuple[str, str], ...],
    file: Path | None,
    name: str | None,
    version: str,
    register: str | None,
    track: bool,
    fallback: str | None,
    as_json: bool,
) -> None:
    """Package the model of a NOTEBOOK, or of an earlier RUN's folder, and prove that it answers the same.

    Of a map's folder: one model that asks the model of each row's key.
    """
    from nb2prod import api
    from nb2prod.core.errors import UsageError
    from nb2prod.stages import documents

    if register and not track:
        raise UsageError("--register needs the run in MLflow", fix="leave out --no-track")
    made = api.package(
        source,
        output,
        parameters=from_file(file),
        texts=texts(given),
        name=name,
        version=version,
        register=register,
        trackers=trackers(track),
        fallback=fallback,
        tell=lambda line: click.echo(line, err=True),
    )
    if as_json:
        print_json(documents.packaged(made))
        return
    path = made.parity.paths[0]
    click.echo(f"{click.style('package', bold=True)} {made.name} {made.version} in {made.directory}")
    click.echo(f"  format  {made.format.format}: {made.format.reason}")
    click.echo(f"  parity  {made.parity.verdict}: {path.exact} of {path.rows} predictions equal in a fresh process")
    click.echo(f"  digest  sha256:{made.digest}")
    if made.registered:
        click.echo(f"  registered as {made.registered}")
