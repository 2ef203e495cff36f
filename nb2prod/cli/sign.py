"""`nb2prod sign`: the holder of a key vouches for a package."""

from __future__ import annotations

from pathlib import Path

import click

from nb2prod.cli._words import PATH, as_json, print_json


@click.command()
@click.argument("package", type=PATH)
@click.option("--key", type=PATH, required=True, metavar="KEY.pem", help="The private key: of an elliptic curve.")
@click.option("--certificate", type=PATH, metavar="CERT.pem", help="The certificate of that key.")
@click.option("--chain", type=PATH, multiple=True, metavar="CA.pem", help="What the certificate leads to. Repeatable.")
@as_json
def sign(package: Path, key: Path, certificate: Path | None, chain: tuple[Path, ...], as_json: bool) -> None:
    """Sign a PACKAGE, with OpenSSF model signing and a key of your own; `nb2prod verify --key` checks it.

    The password of a key is taken from the variable NB2PROD_SIGN_PASSWORD.
    """
    from nb2prod import api

    digest = api.sign(package, key, certificate=certificate, chain=chain)
    if as_json:
        print_json({"schema": "nb2prod/sign/1", "package": str(package), "digest": digest})
        return
    click.echo(f"{package}: signed sha256:{digest}")
