"""Certificates for tests of mutual TLS."""

import datetime
import hashlib
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Member:
    """A certificate and its key, in files."""

    certificate: Path
    key: Path
    fingerprint: str


class Authority:
    """Who signs certificates for 127.0.0.1."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.name = name
        self.key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(name, self.key.public_key(), is_ca=True, hours=1)
        self.path = self._write(f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM))

    def member(self, name: str, *, hours: int = 1, names: tuple[str, ...] = ()) -> Member:
        """A certificate, for these hosts, too, valid so long; it has run out when `hours` is negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(name, key.public_key(), is_ca=False, hours=hours, names=names)
        key_bytes = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Member(
            self._write(f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM)),
            self._write(f"{name}.key", key_bytes),
            hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest(),
        )

    def revoke(self, *members: Member, hours: int = 1) -> Path:
        """A new revocation list of exactly these, to be replaced after so long."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .last_update(now - datetime.timedelta(hours=2))
            .next_update(now + datetime.timedelta(hours=hours))
        )
        for member in members:
            certificate = x509.load_pem_x509_certificate(member.certificate.read_bytes())
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number)
                .revocation_date(now)
                .build()
            )
        signed = builder.sign(self.key, hashes.SHA256())
        return self._write(f"{self.name}.crl", signed.public_bytes(serialization.Encoding.PEM))

    def _certificate(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        *,
        is_ca: bool,
        hours: int,
        names: tuple[str, ...] = (),
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        hosts = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *map(x509.DNSName, names)]
        here = x509.SubjectAlternativeName(hosts)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=48))
            .not_valid_after(now + datetime.timedelta(hours=hours))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(here, critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def _write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        return path
