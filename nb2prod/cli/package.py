"""`nb2prod package`: the model, packed and proved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nb2prod.cli._words import PATH, as_json, from_file, parameters, print_json, texts, trackers

if TYPE_CHECKING:
    from nb2prod.core.parity import Parity


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
@click.option(
    "--lock",
    default="pins",
    show_default=True,
    metavar="pins|hashed|FILE",
    help="The lock's hashes: none, those of the package index (asked by pip), or those of a lock that has them.",
)
@click.option("--sign", type=PATH, metavar="KEY.pem", help="Sign it with this private key.")
@click.option(
    "--prove",
    multiple=True,
    metavar="PATH",
    help="Also certify 'isolated pipeline', 'clean environment', 'batch scoring', 'exported project'; or all.",
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
    lock: str,
    sign: Path | None,
    prove: tuple[str, ...],
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
        lock=lock,
        sign=sign,
        prove=prove,
        tell=lambda line: click.echo(line, err=True),
    )
    if as_json:
        print_json(documents.packaged(made))
        return
    path = made.parity.paths[0]
    click.echo(f"{click.style('package', bold=True)} {made.name} {made.version} in {made.directory}")
    click.echo(f"  format  {made.format.format}: {made.format.reason}")
    click.echo(f"  parity  {made.parity.verdict}: {path.exact} of {path.rows} predictions equal in a fresh process")
    for line in _paths(made.parity):
        click.echo(f"          {line}")
    if made.onnx:
        told = f"translated, in {made.onnx['precision']}" if made.onnx["kept"] else f"none: {made.onnx['reason']}"
        click.echo(f"  onnx    {told}")
    click.echo(f"  digest  sha256:{made.digest}")
    if sign is not None:
        click.echo(f"  signed  with {sign}")
    if made.registered:
        click.echo(f"  registered as {made.registered}")


def _paths(parity: Parity) -> Iterator[str]:
    """Of the probe set: which paths are as the notebook, and what those that can refuse a row refuse."""
    probed = [path for path in parity.paths if path.marks]
    for verdict in ("equal", "tolerant"):
        names = [path.path for path in probed if path.verdict == verdict]
        if names:
            yield f"{len(probed[0].marks)} rows of the probe set {verdict} by {', '.join(names)}"
    refused = max((path.refused for path in probed), default=0)
    if refused:
        yield f"{refused} of them are refused; parity.html says which and why"
