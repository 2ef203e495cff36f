"""A signature by a key with a password, and by a certificate; what nobody could verify is refused before it is made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nb2prod.core.errors import NotProved, UsageError
from nb2prod.stages.provenance import signing
from nb2prod.storage import checksums

NOW = datetime.now(UTC)
SIGNS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])
SERVES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a package is to a signature: files, and their checksums."""
    made = tmp_path / "package"
    made.mkdir()
    (made / "model.skops").write_bytes(b"weights")
    checksums.write(made)
    return made


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def written(key: ec.EllipticCurvePrivateKey, path: Path, password: bytes = b"") -> Path:
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    return path


class Authority:
    """Somebody who vouches for the keys of others, with a certificate of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.file = self.certificate("ca", self.key, x509.BasicConstraints(ca=True, path_length=None))

    def certificate(
        self, whose: str, key: ec.EllipticCurvePrivateKey, use: Any, until: datetime = NOW + timedelta(days=30)
    ) -> Path:
        made = (
            x509.CertificateBuilder()
            .subject_name(name(whose))
            .issuer_name(name("ca"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=60))
            .not_valid_after(until)
            .add_extension(use, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        file = self.folder / f"{whose}.crt"
        file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return file


def test_a_key_with_a_password_signs_when_the_variable_has_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    private, public = written(key, tmp_path / "locked.pem", b"open sesame"), tmp_path / "key.pub"
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))
    with pytest.raises(UsageError, match="Password was not given"):
        signing.sign(folder, private)
    monkeypatch.setenv(signing.PASSWORD, "wrong")
    with pytest.raises(UsageError, match="Incorrect password"):
        signing.sign(folder, private)
    assert not signing.is_signed(folder)
    monkeypatch.setenv(signing.PASSWORD, "open sesame")
    signing.sign(folder, private)
    assert signing.verify_signature(folder, public).startswith("key sha256:")
    with pytest.raises(UsageError, match="not encrypted") as refused:
        signing.sign(folder, written(key, tmp_path / "plain.pem"))
    assert refused.value.fix == f"unset {signing.PASSWORD}: this key has no password"


def test_a_certificate_says_who_signed_to_whoever_trusts_its_authority(folder: Path, tmp_path: Path) -> None:
    authority, key = Authority(tmp_path), ec.generate_private_key(ec.SECP256R1())
    private = written(key, tmp_path / "ann.pem")
    signing.sign(folder, private, authority.certificate("ann", key, SIGNS), [authority.file])
    assert signing.verify_signature(folder, authority.file) == "CN=ann"
    (tmp_path / "others").mkdir()
    with pytest.raises(NotProved, match="the signature does not hold"):
        signing.verify_signature(folder, Authority(tmp_path / "others").file)


def test_a_certificate_that_nobody_could_verify_signs_nothing(folder: Path, tmp_path: Path) -> None:
    authority, key = Authority(tmp_path), ec.generate_private_key(ec.SECP256R1())
    private, chain = written(key, tmp_path / "ann.pem"), [authority.file]
    good = authority.certificate("good", key, SIGNS)
    refused: list[tuple[str, Any]] = [
        ("is not for signing", (private, authority.certificate("web", key, SERVES), chain)),
        ("has expired on", (private, authority.certificate("old", key, SIGNS, NOW - timedelta(days=1)), chain)),
        ("cannot be read as PEM", (private, private, chain)),
        ("does not match", (written(authority.key, tmp_path / "other.pem"), good, chain)),
        ("a certificate needs the one that it leads to", (private, good, [])),
        ("--chain is of a certificate", (private, None, chain)),
        ("there is no such file", (private, tmp_path / "gone.crt", chain)),
        ("takes no password there", (written(key, tmp_path / "locked.pem", b"secret"), good, chain)),
    ]
    for reason, given in refused:
        with pytest.raises(UsageError, match=reason):
            signing.sign(folder, *given)
    assert not signing.is_signed(folder)
