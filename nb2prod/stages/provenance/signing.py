"""A package's signature: who vouches for it, in the format of OpenSSF model signing, with keys that are kept offline.

The signature is a Sigstore bundle in `signature.json`, the one file that `checksums` does not name: it is about all the
others, the checksums among them. Anybody can check it without nb2prod:

    model_signing verify key PACKAGE --signature PACKAGE/signature.json --public_key KEY.pub \\
        --ignore-paths PACKAGE/signature.json

Signing says nothing of what a model does, only that the holder of a key has seen these bytes. Which keys count is said
by who uses the package, never by the package.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nb2prod.core.errors import NotProved, UsageError
from nb2prod.storage import checksums
from nb2prod.storage.files import replacing

FILE = checksums.SIGNATURE
PASSWORD = "NB2PROD_SIGN_PASSWORD"


def sign(folder: Path, private_key: Path, certificate: Path | None = None, chain: Sequence[Path] = ()) -> str:
    """Sign a whole package with an elliptic key in a PEM file, and with its certificate if there is one.

    Returns the digest that was signed. An earlier signature goes. A key with a password needs the variable
    NB2PROD_SIGN_PASSWORD.
    """
    digest = checksums.verify(folder)
    config = signer(private_key, certificate, chain)
    with replacing(folder / FILE) as partial:
        # the name of the file that is being written is not among the ignored: so it is not written before
        partial.unlink()
        config.set_hashing_config(_hashing(folder)).sign(folder, partial)
    return digest


def signer(private_key: Path, certificate: Path | None = None, chain: Sequence[Path] = ()) -> Any:
    """What signs with this key. Raises UsageError when it cannot, for instance before a long run."""
    config = _library("signing").Config()
    if certificate is None and chain:
        raise UsageError("--chain is of a certificate", fix="name that with --certificate, or leave --chain out")
    if certificate is not None:
        _refuse_certificate(private_key, certificate, chain)
    try:
        if certificate is None:
            config.use_elliptic_key_signer(private_key=private_key, password=_password())
        else:
            config.use_certificate_signer(
                private_key=private_key, signing_certificate=certificate, certificate_chain=list(chain)
            )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"the key cannot be used to sign: {_told(error)}", where=str(private_key), fix=_key_fix(str(error))
        ) from error
    return config


def _key_fix(told: str) -> str:
    if "not encrypted" in told:
        return f"unset {PASSWORD}: this key has no password"
    return f"give a private key of an elliptic curve (P-256, P-384, P-521) as PEM; its password in {PASSWORD}"


def _refuse_certificate(private_key: Path, certificate: Path, chain: Sequence[Path]) -> None:
    """With a certificate that nobody could verify afterwards, nothing is signed."""
    for path in (private_key, certificate, *chain):
        if not path.is_file():
            raise UsageError("there is no such file", where=str(path), fix="give the files as PEM")
    if not chain:
        raise UsageError("a certificate needs the one that it leads to", fix="name it with --chain CA.pem")
    if b"ENCRYPTED" in private_key.read_bytes():
        raise UsageError(
            "a key with a password cannot sign by a certificate: model-signing takes no password there",
            where=str(private_key),
            fix="sign with the key alone, or with a copy of it without a password, kept where nobody else reads it",
        )
    reason = _unfit(certificate)
    if reason:
        raise UsageError(f"the certificate {reason}", where=str(certificate), fix="ask its authority for one to sign")


def _unfit(certificate: Path) -> str:
    """Why who verifies would not take a signature with this certificate; empty when nothing is known against it."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except ValueError:
        return "cannot be read as PEM"
    if found.not_valid_after_utc < datetime.now(UTC):
        return f"has expired on {found.not_valid_after_utc:%Y-%m-%d}"
    for extension in found.extensions:
        if isinstance(extension.value, x509.KeyUsage) and extension.value.digital_signature:
            return ""
        if isinstance(extension.value, x509.ExtendedKeyUsage) and ExtendedKeyUsageOID.CODE_SIGNING in extension.value:
            return ""
    return "is not for signing: it names neither the usage digitalSignature nor codeSigning"


def is_signed(folder: Path) -> bool:
    return (folder / FILE).is_file()


def verify_signature(folder: Path, public_key: Path) -> str:
    """Who signed the package, as this public key or certificate says. Nothing of the package is loaded.

    `public_key` is a PEM file: a public key, or the certificate of an authority that the signer's must lead to. Raises
    NotProved when the package is not whole, has no signature, or has one of other bytes or of another key.
    """
    checksums.verify(folder)
    if not is_signed(folder):
        raise NotProved("the package is not signed", where=str(folder), fix="ask its maker for a signed one")
    config = _library("verifying").Config().set_hashing_config(_hashing(folder))
    try:
        if _is_certificate(public_key):
            config.use_certificate_verifier(certificate_chain=[public_key])
        else:
            config.use_elliptic_key_verifier(public_key=public_key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"this is no public key to verify with: {_told(error)}",
            where=str(public_key),
            fix="give a public key of an elliptic curve, or a certificate, as PEM",
        ) from error
    try:
        config.verify(folder, folder / FILE)
    except Exception as error:
        raise NotProved(
            f"the signature does not hold: {_told(error)}; nothing of the package was loaded",
            where=str(folder),
            fix=f"fetch the package again, or ask whoever has the key of {public_key.name}",
        ) from error
    return _signer(folder, public_key)


def _hashing(folder: Path) -> Any:
    """Everything but the signature, and what MLflow writes into its own copy of a registered model."""
    ignored = [FILE, checksums.LEFT_BY_MLFLOW]
    return _library("hashing").Config().set_ignored_paths(paths=ignored, ignore_git_paths=False)


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"model_signing.{name}")
    except ImportError as error:
        raise UsageError(
            f"signatures need model-signing and pyOpenSSL: {error}", fix="pip install 'nb2prod[sign]'"
        ) from error


def _password() -> bytes | None:
    text = os.environ.get(PASSWORD)
    return text.encode() if text else None


def _is_certificate(path: Path) -> bool:
    return b"BEGIN CERTIFICATE" in path.read_bytes()


def _signer(folder: Path, public_key: Path) -> str:
    """The name in the signer's certificate, or for a key alone the SHA-256 that tells it from others."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    if not _is_certificate(public_key):
        key = serialization.load_pem_public_key(public_key.read_bytes())
        raw = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return f"key sha256:{_sha256(raw)}"
    material = json.loads((folder / FILE).read_bytes())["verificationMaterial"]
    first = material["x509CertificateChain"]["certificates"][0]["rawBytes"]
    return x509.load_der_x509_certificate(base64.b64decode(first)).subject.rfc4514_string()


def _sha256(raw: bytes) -> str:
    import hashlib

    return hashlib.sha256(raw).hexdigest()


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return str(error.strerror)
    text = str(error).strip()
    other = re.findall(r"(?:Hash mismatch for|Extra files found|Missing files)[^']*\\?'([^'\\]+)", text)
    if other:
        return (
            f"it is about another {other[0]}" if "Hash mismatch" in text else f"it is about other files: {text}"[:300]
        )
    return (text.partition("\n")[0] or type(error).__name__)[:300]
