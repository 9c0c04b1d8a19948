"""What is unsafe about the keys of a node, or of a signer: who can read them, what guards them, how old they
are.

Looks only: nothing is opened with a password, no token is logged into, no guard is touched.
"""

import json
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.config.data_dir import guard_path, node_key_path
from node.config.revocation import read_revocations
from node.config.settings import Settings, SigningSettings
from node.primitives.errors import ConfigError
from node.signing.keystore import KEYSTORE_BYTES_MAX
from node.signing.service_settings import ServiceSettings

KEY_AGE_DAYS_MAX: Final = 365
WORK_LEAST: Final = {"scrypt": 1 << 17, "pbkdf2": 262_144}
"""N and iterations below which a password is quickly guessed: half of what geth and eth-account write."""
CERTIFICATE_DAYS_LEAST: Final = 30
DAY_S: Final = 86_400.0
BARE_KEY: Final = re.compile(rb"\s*(0x)?[0-9a-fA-F]{64}\s*")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something an operator should mend."""

    place: str
    text: str


def examine(settings: Settings, unix_time: float) -> list[Finding]:
    """Everything that is found of a node; nothing means that nothing was."""
    found = [finding for path in _secret_files(settings) for finding in _permissions(path)]
    if settings.role == "validator":
        found += _guard(settings.data_dir)
    if settings.role == "validator" and settings.signing.guard_rule == "weight":
        text = 'is "weight": meant for recovery; set "height" again once the network goes on'
        found.append(Finding("signing.guard_rule", text))
    return [*found, *_key(settings.signing, unix_time)]


def examine_signer(config: Path, settings: ServiceSettings, unix_time: float) -> list[Finding]:
    """The same of a signer, whose settings lie in `config`."""
    keys = [key.signing for key in settings.keys]
    secrets = {settings.tls_key, *(path for signing in keys for path in _files_of(signing))}
    found = [finding for path in sorted(secrets) if path.is_file() for finding in _permissions(path)]
    found += [
        Finding(str(path), "others can change who may sign here; chmod go-w it")
        for path in (config, settings.tls_ca)
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o022
    ]
    found += _guard(settings.data_dir)
    for certificate in (settings.tls_certificate, settings.tls_ca):
        found += _certificate(certificate, unix_time, "no node reaches the signer")
    found += _revocations(settings, unix_time)
    if settings.lease_s == 0:
        text = "is 0: of two nodes that share a key, only the guard keeps one from sealing for both"
        found.append(Finding("lease_s", text))
    for number, key in enumerate(settings.keys, start=1):
        if len(key.kinds) > 1:
            text = (
                "one key seals and spends: whoever has a client's certificate may do both; give each its own"
            )
            found.append(Finding(f"keys[{number}]", text))
        found += _key(key.signing, unix_time)
    return found


def _key(signing: SigningSettings, unix_time: float) -> list[Finding]:
    """Where a key lies, and what it is reached by."""
    found: list[Finding] = []
    if signing.backend == "keystore" and signing.keystore is not None:
        found += _keystore(signing.keystore, signing.password_file, unix_time)
    if signing.backend == "pkcs11" and signing.pkcs11_module is not None:
        found += _module(signing.pkcs11_module)
    for certificate in (signing.remote_certificate, signing.remote_ca):
        if signing.backend == "remote" and certificate is not None:
            found += _certificate(certificate, unix_time, "the signer is not reached")
    url = signing.remote_url
    if signing.backend == "remote" and url is not None and url.startswith("http:"):
        text = "the signer is reached without TLS: every process of this machine may ask it"
        found.append(Finding(url, text))
    return found


def exposed(settings: Settings) -> list[Finding]:
    """Secrets that others can read or change: with these a node does not start."""
    return [finding for path in _secret_files(settings) for finding in _mode(path)]


def _secret_files(settings: Settings) -> Iterator[Path]:
    node_key = settings.node_key or node_key_path(settings.data_dir)
    for path in (*_files_of(settings.signing), settings.p2p.tls_key, settings.rpc.tls_key, node_key):
        if path is not None and path.is_file():
            yield path


def _files_of(signing: SigningSettings) -> list[Path]:
    """With secrets in them, as far as there are any."""
    files = (signing.keystore, signing.password_file, signing.pin_file, signing.remote_key)
    return [path for path in files if path is not None]


def _mode(path: Path) -> Iterator[Finding]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield Finding(str(path), f"mode is {mode:04o}: others can read or change it; chmod 0600 it")


def _permissions(path: Path) -> Iterator[Finding]:
    yield from _mode(path)
    folder = stat.S_IMODE(path.parent.stat().st_mode)
    if folder & 0o022 and not folder & stat.S_ISVTX:
        yield Finding(
            str(path.parent), f"mode is {folder:04o}: others can replace what is in it; chmod go-w it"
        )


def _module(path: Path) -> Iterator[Finding]:
    """The token's driver is given the PIN and runs inside the node."""
    for place in (path.resolve(), path.resolve().parent):
        mode = stat.S_IMODE(place.stat().st_mode)
        if mode & 0o022 and not mode & stat.S_ISVTX:
            text = f"mode is {mode:04o}: others can change the driver that is given the PIN; chmod go-w it"
            yield Finding(str(place), text)


def _certificate(path: Path, unix_time: float, then: str) -> Iterator[Finding]:
    from cryptography.x509 import load_pem_x509_certificates

    if not path.is_file():
        return
    try:
        ends = min(each.not_valid_after_utc for each in load_pem_x509_certificates(path.read_bytes()))
    except ValueError as error:
        yield Finding(str(path), f"holds no certificate: {error}")
        return
    days = (ends.timestamp() - unix_time) / DAY_S
    if days < 0:
        yield Finding(str(path), f"ran out {-days:.0f} days ago; {then} until it is renewed")
    elif days < CERTIFICATE_DAYS_LEAST:
        yield Finding(str(path), f"runs out in {days:.0f} days; renew it, no restart is needed")


def _revocations(settings: ServiceSettings, unix_time: float) -> Iterator[Finding]:
    if settings.tls_crl is None:
        return
    try:
        problem = read_revocations(settings.tls_crl, settings.tls_ca).problem(unix_time)
    except ConfigError as error:
        problem = str(error)
    if problem is not None:
        yield Finding(str(settings.tls_crl), problem)


def _guard(data_dir: Path) -> Iterator[Finding]:
    path = guard_path(data_dir)
    if not path.is_dir():
        yield Finding(
            str(path),
            "there is no guard: right for a key that never signed; otherwise restore it before the start "
            "(`phoenix signer guard import`)",
        )
    elif stat.S_IMODE(path.stat().st_mode) & 0o022:
        yield Finding(str(path), "others can change what the guard remembers; chmod go-w it")


def _keystore(path: Path, password_file: Path | None, unix_time: float) -> Iterator[Finding]:
    if not path.is_file():
        return
    yield from _encryption(path)
    age_days = (unix_time - path.stat().st_mtime) / DAY_S
    if age_days > KEY_AGE_DAYS_MAX:
        yield Finding(str(path), f"the key is {age_days:.0f} days old; change it once a year")
    if password_file is not None and password_file.parent == path.parent:
        yield Finding(str(password_file), "lies beside the key it opens: one copied folder gives away both")
    for other in sorted(path.parent.iterdir()):
        if other.is_file() and other.stat().st_size < 200 and BARE_KEY.fullmatch(other.read_bytes()):
            yield Finding(
                str(other), "looks like a key that is not encrypted; import it (`phoenix keys import`)"
            )


def _encryption(path: Path) -> Iterator[Finding]:
    with path.open("rb") as file:
        content = file.read(KEYSTORE_BYTES_MAX)
    if BARE_KEY.fullmatch(content):
        return  # found beside the others
    try:
        document: Any = json.loads(content)
        crypto = document.get("crypto") or document.get("Crypto")
        name, parameters = crypto["kdf"], crypto["kdfparams"]
        work = parameters["n"] if name == "scrypt" else parameters["c"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        yield Finding(str(path), "is no key store of version 3")
        return
    least = WORK_LEAST.get(name)
    if least is None or not isinstance(work, int) or work < least:
        yield Finding(str(path), f"its password is quickly guessed ({name}, {work}): made for test networks")
