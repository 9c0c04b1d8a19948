"""What `phoenix signer serve` is told: where it listens, who may ask, which keys it holds and for whom.

host = "10.0.0.5"
port = 9000
data_dir = "signer-data"              # guard, audit logs (audit, signatures), whose keys the tokens have
audit_bytes_max = 2147483648          # optional: of signatures, the record of what was asked and given
tls_certificate = "signer.pem"
tls_key = "signer.key"
tls_ca = "ca.pem"
tls_crl = "ca.crl"                    # optional: clients' certificates that the CA has taken back
lease_s = 30                          # one node at a time has a key, and so long after it was last heard of
metrics_port = 9600                   # /metrics, /health/live, /health/ready; off when absent

[clients]                             # name -> SHA-256 of the certificate (openssl x509 -fingerprint -sha256)
core-1 = "AB:12:..."                  # or several, while one takes the other's place: ["AB:12:...", "CD:..."]

[[keys]]
chain_id = 1337
clients = ["core-1"]
kinds = ["clique-header"]             # or "transaction": which accounts sign transactions is said here
backend = "pkcs11"                    # and what belongs to it, as in a node's section [signing]
pkcs11_module = "/usr/lib/softhsm/libsofthsm2.so"
pkcs11_token = "signer"
pkcs11_key = "sealer-1"
pin_file = "pin"
disabled = false                      # true: it is not opened (`phoenix signer key disable`)

This file and the TLS files are read again when they change, or at SIGHUP; where it listens and data_dir stay.
"""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from node.config.settings import AuditSettings, SigningSettings
from node.primitives.errors import ConfigError

FINGERPRINT_BYTES: Final = 32
KINDS: Final = frozenset({"clique-header", "transaction"})
LEASE_S_MIN: Final = 1.0
LEASE_S_MAX: Final = 3600.0
AUDIT_BYTES: Final = AuditSettings().disk_bytes_max
AUDIT_BYTES_LEAST: Final = 1 << 20


class _Key(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    chain_id: int
    clients: list[str]
    kinds: list[str] = msgspec.field(default_factory=lambda: ["clique-header"])
    backend: Literal["keystore", "pkcs11"] = "keystore"
    keystore: str | None = None
    password_file: str | None = None
    pkcs11_module: str | None = None
    pkcs11_token: str | None = None
    pkcs11_key: str | None = None
    pin_file: str | None = None
    pin_fd: int | None = None
    timeout_s: float = 10.0
    disabled: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    host: str = "127.0.0.1"
    port: int = 9000
    data_dir: str
    tls_certificate: str
    tls_key: str
    tls_ca: str
    tls_crl: str | None = None
    lease_s: float = 30.0
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    audit_bytes_max: int = AUDIT_BYTES
    clients: dict[str, str | list[str]]
    keys: list[_Key]


@dataclass(frozen=True, slots=True)
class KeySettings:
    """One key and its policy."""

    signing: SigningSettings
    chain_id: int
    clients: frozenset[str]
    """Names of who may use it."""
    kinds: frozenset[str]
    """What may be signed with it."""
    disabled: bool = False
    """It is not opened."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """A remote signer."""

    host: str
    port: int
    data_dir: Path
    tls_certificate: Path
    tls_key: Path
    tls_ca: Path
    clients: dict[bytes, str]
    """SHA-256 of a client's certificate -> its name."""
    keys: tuple[KeySettings, ...]
    lease_s: float = 30.0
    """See `lease`; 0 switches leases off, and leaves two nodes that share a key to the guard alone."""
    tls_crl: Path | None = None
    """Certificates that the CA has taken back; a replaced file is taken up."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """Prometheus text and /health/{live,ready}; off when absent."""
    audit_bytes_max: int = AUDIT_BYTES
    """Of what was asked and given; what comes when it is full is not on record, and an alarm."""


def load_service_settings(path: Path) -> ServiceSettings:
    """Read the file; paths in it are relative to it. ConfigError lists what is wrong."""
    try:
        parsed = msgspec.convert(tomllib.loads(path.read_text()), type=_File)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from error
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigError([f"{path}: {error}"]) from error
    problems = list(_problems(parsed))
    if problems:
        raise ConfigError([f"{path}: {problem}" for problem in problems])
    folder = path.absolute().parent
    return ServiceSettings(
        parsed.host,
        parsed.port,
        folder / parsed.data_dir,
        folder / parsed.tls_certificate,
        folder / parsed.tls_key,
        folder / parsed.tls_ca,
        {_fingerprint(text): name for name, text in _certificates(parsed)},
        tuple(_key(key, folder) for key in parsed.keys),
        parsed.lease_s,
        None if parsed.tls_crl is None else folder / parsed.tls_crl,
        metrics_host=parsed.metrics_host,
        metrics_port=parsed.metrics_port,
        audit_bytes_max=parsed.audit_bytes_max,
    )


def _problems(parsed: _File) -> list[str]:
    problems = [
        f"clients.{name}: not a SHA-256 fingerprint in hex"
        for name, text in _certificates(parsed)
        if len(_fingerprint(text)) != FINGERPRINT_BYTES
    ]
    if parsed.lease_s != 0 and not LEASE_S_MIN <= parsed.lease_s <= LEASE_S_MAX:
        problems.append(f"lease_s is {parsed.lease_s:g}; {LEASE_S_MIN:g} to {LEASE_S_MAX:g}, or 0 for none")
    if parsed.audit_bytes_max < AUDIT_BYTES_LEAST:
        problems.append(f"audit_bytes_max is {parsed.audit_bytes_max}; {AUDIT_BYTES_LEAST} at least")
    if not parsed.keys:
        problems.append("no [[keys]]: there is nothing to sign with")
    for number, key in enumerate(parsed.keys, start=1):
        unknown = sorted(set(key.clients) - parsed.clients.keys())
        problems += [f"keys[{number}]: client {name!r} is not in [clients]" for name in unknown]
        wrong = sorted(set(key.kinds) - KINDS)
        known = ", ".join(sorted(KINDS))
        problems += [f"keys[{number}]: kind {kind!r} is not known; there are {known}" for kind in wrong]
        needed = (
            ("keystore",) if key.backend == "keystore" else ("pkcs11_module", "pkcs11_token", "pkcs11_key")
        )
        problems += [
            f'keys[{number}]: {name} is missing; backend = "{key.backend}" needs it'
            for name in needed
            if getattr(key, name) is None
        ]
    return problems


def _certificates(parsed: _File) -> Iterator[tuple[str, str]]:
    """(name, fingerprint): a client may have two while its certificate is changed."""
    for name, texts in parsed.clients.items():
        for text in [texts] if isinstance(texts, str) else texts:
            yield name, text


def _fingerprint(text: str) -> bytes:
    """Empty when it is no hex."""
    try:
        return bytes.fromhex(text.replace(":", ""))
    except ValueError:
        return b""


def _key(key: _Key, folder: Path) -> KeySettings:
    def below(name: str | None) -> Path | None:
        return None if name is None else folder / name

    signing = SigningSettings(
        backend=key.backend,
        keystore=below(key.keystore),
        password_file=below(key.password_file),
        pkcs11_module=below(key.pkcs11_module),
        pkcs11_token=key.pkcs11_token,
        pkcs11_key=key.pkcs11_key,
        pin_file=below(key.pin_file),
        pin_fd=key.pin_fd,
        timeout_s=key.timeout_s,
    )
    return KeySettings(signing, key.chain_id, frozenset(key.clients), frozenset(key.kinds), key.disabled)
