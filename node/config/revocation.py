"""Certificates that their authority has taken back: a file of revocation lists beside a listener's CA file.

PEM, one list for each authority in use. OpenSSL holds every new connection against it and refuses a client
whose authority has no list here, or one whose next update is overdue: failure closes. What is live already is
asked about here, by issuer and serial number.
"""

import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.primitives.errors import ConfigError

if TYPE_CHECKING:
    from cryptography import x509

FILE_BYTES_MAX: Final = 16 << 20
_LIST: Final = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----\n?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Revocations:
    """What the lists of one file say."""

    withdrawn: frozenset[tuple[bytes, int]] = frozenset()
    """(issuer's name, serial number) of each certificate."""
    ends_at: float | None = None
    """Unix time at which the first of the lists is overdue."""

    def has(self, certificate: "x509.Certificate") -> bool:
        """Whether a certificate was taken back."""
        return (certificate.issuer.public_bytes(), certificate.serial_number) in self.withdrawn

    def problem(self, now: float) -> str | None:
        """Why clients are refused; None when they are not."""
        if self.ends_at is None or now < self.ends_at:
            return None
        date = datetime.fromtimestamp(self.ends_at, UTC).isoformat(timespec="minutes")
        return f"the revocation list was to be replaced by {date}; its authority's clients are refused"


NOTHING: Final = Revocations()
"""No file: nothing is asked about."""


def apply_revocations(context: ssl.SSLContext, path: Path, ca: Path) -> Revocations:
    """Make a listener's context, whose CA file is loaded, hold clients against the lists. ConfigError."""
    found = read_revocations(path, ca)
    try:
        context.load_verify_locations(path)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigError([f"{path}: no revocation lists: {error}"]) from error
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return found


def read_revocations(path: Path, ca: Path) -> Revocations:
    """The lists in a file, each signed by an authority in `ca`; ConfigError for anything else."""
    from cryptography import x509

    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        authorities = x509.load_pem_x509_certificates(ca.read_bytes())
        lists = [x509.load_pem_x509_crl(part) for part in _LIST.findall(data)]
        withdrawn = {(each.issuer.public_bytes(), entry.serial_number) for each in lists for entry in each}
    except (OSError, ValueError) as error:
        raise ConfigError([f"{path}: the revocation lists cannot be read: {error}"]) from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError([f"{path}: more than {FILE_BYTES_MAX} bytes of revocation lists"])
    if not lists:
        raise ConfigError([f"{path}: holds no revocation list (PEM, BEGIN X509 CRL)"])
    problems = [
        f"{path}: the list of {each.issuer.rfc4514_string()} is signed by no authority in {ca}"
        for each in lists
        if not any(_is_signed(each, authority) for authority in authorities)
    ]
    if problems:
        raise ConfigError(problems)
    ends = [each.next_update_utc.timestamp() for each in lists if each.next_update_utc is not None]
    return Revocations(frozenset(withdrawn), min(ends, default=None))


def _is_signed(found: "x509.CertificateRevocationList", authority: "x509.Certificate") -> bool:
    # The library names one type of key too many for lists; a key that signs certificates signs them.
    return found.issuer == authority.subject and found.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
