"""What is unsafe about a node's keys: who can read them, what guards them, how old they are.

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
from node.config.settings import Settings
from node.signing.keystore import KEYSTORE_BYTES_MAX

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
    """Everything that is found; nothing means that nothing was."""
    found: list[Finding] = []
    for path in _secret_files(settings):
        found += _permissions(path)
    if settings.role == "validator":
        found += _guard(settings)
    if settings.signing.backend == "keystore" and settings.signing.keystore is not None:
        found += _keystore(settings.signing.keystore, settings.signing.password_file, unix_time)
    if settings.signing.backend == "pkcs11" and settings.signing.pkcs11_module is not None:
        found += _module(settings.signing.pkcs11_module)
    for certificate in (settings.signing.remote_certificate, settings.signing.remote_ca):
        if settings.signing.backend == "remote" and certificate is not None:
            found += _certificate(certificate, unix_time)
    url = settings.signing.remote_url
    if settings.signing.backend == "remote" and url is not None and url.startswith("http:"):
        found.append(
            Finding(url, "the signer is reached without TLS: every process of this machine may ask it")
        )
    return found


def exposed(settings: Settings) -> list[Finding]:
    """Secrets that others can read or change: with these a node does not start."""
    return [finding for path in _secret_files(settings) for finding in _mode(path)]


def _secret_files(settings: Settings) -> Iterator[Path]:
    signing = settings.signing
    node_key = settings.node_key or node_key_path(settings.data_dir)
    for path in (
        signing.keystore,
        signing.password_file,
        signing.pin_file,
        signing.remote_key,
        settings.p2p.tls_key,
        node_key,
    ):
        if path is not None and path.is_file():
            yield path


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


def _certificate(path: Path, unix_time: float) -> Iterator[Finding]:
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
        yield Finding(
            str(path), f"ran out {-days:.0f} days ago; the signer is not reached until it is renewed"
        )
    elif days < CERTIFICATE_DAYS_LEAST:
        yield Finding(str(path), f"runs out in {days:.0f} days; renew it, no restart is needed")


def _guard(settings: Settings) -> Iterator[Finding]:
    path = guard_path(settings.data_dir)
    if not path.is_dir():
        yield Finding(
            str(path),
            "there is no guard: right for a key that never signed; otherwise restore it before the node "
            "starts (`phoenix signer guard import`)",
        )
    elif stat.S_IMODE(path.stat().st_mode) & 0o022:
        yield Finding(str(path), "others can change what the guard remembers; chmod go-w it")
    if settings.signing.guard_rule == "weight":
        yield Finding(
            "signing.guard_rule",
            'is "weight": meant for recovery; set "height" again once the network goes on',
        )


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
