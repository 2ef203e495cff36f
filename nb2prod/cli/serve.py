"""`nb2prod serve`: a package over HTTP."""

from __future__ import annotations

from typing import Any

import click

from nb2prod.cli._words import policy


@click.command()
@click.argument("package", metavar="PACKAGE")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--token", envvar="NB2PROD_TOKEN", help="Bearer token; needed for an address that is not this machine.")
@click.option(
    "--runtime",
    type=click.Choice(["auto", "onnx", "mlflow"]),
    default="auto",
    show_default=True,
    help="What answers; auto: the ONNX translation where it is proved, else the model.",
)
@click.option("--log", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form of the log.")
@policy
def serve(package: str, host: str, port: int, token: str | None, runtime: Any, log: Any, policy: str | None) -> None:
    """Serve a package's folder, or models:/NAME@ALIAS: a page to try it at /, /predict, /invocations, /v2, /metrics."""
    from nb2prod import api

    api.serve(package, host=host, port=port, token=token, runtime=runtime, log=log, policy=policy)
