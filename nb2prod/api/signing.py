"""Who vouches for a package: to sign one, and to ask who did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def sign(
    package: Path | str, key: Path | str, *, certificate: Path | str | None = None, chain: Sequence[Path | str] = ()
) -> str:
    """Sign a package with a private key in a PEM file, and its certificate if there is one; the digest it signed."""
    from nb2prod.stages.provenance import signing

    found = None if certificate is None else Path(certificate)
    return signing.sign(Path(package), Path(key), found, [Path(path) for path in chain])


def verify_signature(package: Path | str, key: Path | str) -> str:
    """Who signed the package, as this public key or certificate says. Raises NotProved when nobody did who has it."""
    from nb2prod.stages.provenance import signing

    return signing.verify_signature(Path(package), Path(key))
