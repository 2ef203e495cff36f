"""`nb2prod serve`: a package over HTTP."""

from __future__ import annotations

import click


@click.command()
@click.argument("package", metavar="PACKAGE")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--token", envvar="NB2PROD_TOKEN", help="Bearer token; needed for an address that is not this machine.")
def serve(package: str, host: str, port: int, token: str | None) -> None:
    """Serve a package's folder, or models:/NAME@ALIAS: /predict, /invocations, /livez, /readyz, /metrics."""
    from nb2prod import api

    api.serve(package, host=host, port=port, token=token)
