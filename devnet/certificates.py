"""Certificates of a local network: an authority that lives for one generation, and who it vouches for.

Its key is thrown away at once: whoever needs another certificate generates all of them again.
"""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from devnet.layout import HOST

VALID: Final = datetime.timedelta(days=3650)
CLOCKS_APART: Final = datetime.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM texts."""

    certificate: str
    key: str


def certificates(names: Sequence[str]) -> tuple[str, list[Certificate]]:
    """The authority's certificate (PEM), and one certificate for 127.0.0.1 per name."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("devnet", authority_key, "devnet", authority_key, is_ca=True)
    made = []
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, key, "devnet", authority_key, is_ca=False)
        key_bytes = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        made.append(Certificate(_pem(certificate), key_bytes.decode()))
    return _pem(authority), made


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_APART)
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(here, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
