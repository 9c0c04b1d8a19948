"""Client certificates -> identities: a TOML file that the operator writes.

    [edge-7]                                  the identity's name
    subject = "CN=edge-7,O=Region 12"         as `openssl x509 -noout -subject -nameopt RFC2253` prints it
    roles = ["reader", "submitter"]
    quota_ms_per_s = 100                      optional

    [backup]
    fingerprint = "9f3c…"                     SHA-256 of the certificate, 64 hex digits, in place of a subject
    roles = ["reader"]

A certificate that `rpc.client_ca` vouches for and that is not listed here proves who somebody is and gives no
role.
"""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node.primitives.errors import ConfigError
from node.rpc.identity import ROLE_NAMES, Identity, Standing, roles_of

if TYPE_CHECKING:
    from cryptography import x509

FILE_BYTES_MAX: Final = 4 << 20
_FIELDS: Final = {"subject", "fingerprint", "roles", "quota_ms_per_s"}


class Clients:
    """Who the holders of certificates are."""

    def __init__(self, path: Path | None) -> None:
        """ConfigError when the file does not say so."""
        self._path = path
        self._entries: dict[str, Mapping[str, Any]] = {}
        self._identities: dict[str, Identity] = {}
        self.load()

    def load(self) -> list[str]:
        """Take the file up; the names of those that have changed. They are out until they connect again."""
        before, self._entries = self._entries, {} if self._path is None else _read(self._path)
        changed = [
            name for name in before.keys() | self._entries if before.get(name) != self._entries.get(name)
        ]
        for key, identity in tuple(self._identities.items()):
            if key.rpartition(" ")[0] in changed:
                identity.standing.revoked = True
                del self._identities[key]
        return sorted(changed)

    def in_force(self) -> list[str]:
        """Every entry, with its roles."""
        return [f"certificate:{name}: {', '.join(entry['roles'])}" for name, entry in self._entries.items()]

    def identify(
        self, certificate: "x509.Certificate", is_withdrawn: Callable[[], bool] | None = None
    ) -> Identity:
        """Whose certificate this is; somebody without a role when it is not listed."""
        from cryptography.hazmat.primitives import hashes

        subject = certificate.subject.rfc4514_string()
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        ends_at = certificate.not_valid_after_utc.timestamp()
        for name, entry in self._entries.items():
            if entry.get("subject") == subject or entry.get("fingerprint") == fingerprint:
                quota = entry.get("quota_ms_per_s")
                known = self._identities.get(f"{name} {fingerprint}")
                if known is None:
                    roles = roles_of(entry["roles"])
                    standing = Standing(ends_at, is_withdrawn=is_withdrawn)
                    known = Identity(f"certificate:{name}", roles, quota, standing)
                    self._identities[f"{name} {fingerprint}"] = known
                return known
        standing = Standing(ends_at, is_withdrawn=is_withdrawn)
        return Identity(f"certificate:{subject[:128]}", roles_of(()), standing=standing)


def _read(path: Path) -> dict[str, Mapping[str, Any]]:
    try:
        with path.open("rb") as file:
            entries = tomllib.loads(file.read(FILE_BYTES_MAX).decode())
    except (OSError, ValueError) as error:
        raise ConfigError([f"auth.clients {path} cannot be read: {error}"]) from error
    problems = [f"{path}: [{name}] {text}" for name, entry in entries.items() if (text := _fault(entry))]
    if problems:
        raise ConfigError(problems)
    return entries


def _fault(entry: Any) -> str | None:
    """What is wrong with one entry."""
    if not isinstance(entry, dict) or not entry.keys() <= _FIELDS:
        return f"has other members than {', '.join(sorted(_FIELDS))}"
    if ("subject" in entry) == ("fingerprint" in entry):
        return "needs either a subject or a fingerprint"
    roles = entry.get("roles")
    if not isinstance(roles, list) or not all(role in ROLE_NAMES for role in roles):
        return f"needs roles, a list from {', '.join(ROLE_NAMES)}"
    quota = entry.get("quota_ms_per_s", 1)
    if isinstance(quota, bool) or not isinstance(quota, int | float) or quota <= 0:
        return "quota_ms_per_s is a number above 0"
    return None
