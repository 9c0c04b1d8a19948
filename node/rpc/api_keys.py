"""API keys for machines: a file of hashes, mode 0600, that the node takes up again when it changes.

A key reads `phx_<id>_<secret>`: the id finds the entry, and of the 256 random bits of the secret the file has
the SHA-256 only. A slow hash would add nothing: it protects what people can remember, and these nobody can
guess. Who steals the file can log in nowhere; who may write it can let himself in, so it is the operator's.
"""

import base64
import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from node.primitives.errors import ConfigError
from node.rpc.identity import ROLE_NAMES, Identity, Standing, roles_of

FILE_BYTES_MAX: Final = 4 << 20
KEYS_MAX: Final = 10_000
_KEY: Final = re.compile(r"phx_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ApiKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of the file."""

    id: str
    name: str
    roles: tuple[str, ...]
    hash: str
    """SHA-256 of the secret, hex."""
    created: int
    """Unix time."""
    expires: int | None = None
    quota_ms_per_s: float | None = None
    """Its own quota in place of auth.quota_ms_per_s."""
    revoked: int | None = None
    """Unix time; the entry stays, so that its id is never somebody else's."""


class _File(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[ApiKey]


class ApiKeys:
    """The keys of one file, ready to be asked."""

    def __init__(self, path: Path) -> None:
        """ConfigError when the file is not one."""
        self._path = path
        self._entries: dict[str, ApiKey] = {}
        self._identities: dict[str, Identity] = {}
        self.load()

    def load(self) -> list[str]:
        """Take the file up; what has changed, one line each. Who was let in by a key that is gone is out."""
        before, self._entries = self._entries, {entry.id: entry for entry in read_keys(self._path)}
        changes = [f"{self._entries[key].name}: {_change(before.get(key), self._entries[key])}"
                   for key in self._entries if before.get(key) != self._entries[key]]  # fmt: skip
        changes += [f"{before[key].name}: removed" for key in before.keys() - self._entries.keys()]
        for key, identity in tuple(self._identities.items()):
            if self._entries.get(key) != before.get(key):
                identity.standing.revoked = True
                del self._identities[key]
        return changes

    def in_force(self) -> list[str]:
        """Every key that is not revoked, with its roles."""
        return [
            f"{entry.name} ({entry.id}): {', '.join(entry.roles)}"
            for entry in self._entries.values()
            if entry.revoked is None
        ]

    def identify(self, text: str, now: float) -> Identity | None:
        """Whose key this is; None when it is nobody's, or no longer."""
        match = _KEY.fullmatch(text)
        entry = self._entries.get(match[1]) if match else None
        if match is None or entry is None:
            return None
        if not hmac.compare_digest(_hash(match[2]), entry.hash):
            return None
        if entry.revoked is not None or (entry.expires is not None and entry.expires <= now):
            return None
        identity = self._identities.get(entry.id)
        if identity is None:
            identity = self._identities[entry.id] = Identity(
                f"api-key:{entry.name}", roles_of(entry.roles), entry.quota_ms_per_s, Standing(entry.expires)
            )
        return identity


def looks_like_key(text: str) -> bool:
    """Whether it is meant as an API key rather than as a token."""
    return text.startswith("phx_")


def new_key(
    path: Path,
    name: str,
    roles: Sequence[str],
    now: int,
    expires: int | None = None,
    quota_ms_per_s: float | None = None,
) -> tuple[str, ApiKey]:
    """Add a key to the file, which is made if absent; the key itself is returned here and kept nowhere."""
    problems = [f"{role!r} is no role; there are {', '.join(ROLE_NAMES)}" for role in roles
                if role not in ROLE_NAMES]  # fmt: skip
    if not roles:
        problems.append("a key needs a role")
    if not _NAME.fullmatch(name):
        problems.append(f"{name[:80]!r} is no name: letters, digits, '.', '_' and '-', at most 64")
    if problems:
        raise ConfigError(problems)
    secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    entry = ApiKey(
        secrets.token_hex(6), name, tuple(roles), _hash(secret), now, expires, quota_ms_per_s, None
    )
    with _changing(path) as keys:
        if any(other.name == name and other.revoked is None for other in keys):
            raise ConfigError([f"there is a key {name!r} already; revoke it first, or take another name"])
        keys.append(entry)
    return f"phx_{entry.id}_{secret}", entry


def revoke_key(path: Path, name: str, now: int) -> ApiKey:
    """End a key, by name or id; ConfigError when there is none that is valid."""
    with _changing(path) as keys:
        for place, entry in enumerate(keys):
            if name in (entry.name, entry.id) and entry.revoked is None:
                keys[place] = msgspec.structs.replace(entry, revoked=now)
                return keys[place]
        raise ConfigError([f"{path} has no valid key {name!r}; `phoenix rpc-keys list` shows them"])


def read_keys(path: Path) -> list[ApiKey]:
    """All entries; ConfigError when the file is none, or open to others."""
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}; `phoenix rpc-keys new` makes it"]) from error
    if mode & 0o077:
        raise ConfigError([f"{path} may be read or written by others (mode {mode & 0o777:o}); chmod 600 it"])
    try:
        keys = msgspec.json.decode(content, type=_File).keys
    except msgspec.DecodeError as error:
        raise ConfigError([f"{path} is not a file of API keys: {error}"]) from error
    strange = {role for key in keys for role in key.roles if role not in ROLE_NAMES}
    if strange or len(keys) > KEYS_MAX or len({key.id for key in keys}) != len(keys):
        raise ConfigError([f"{path}: unknown roles {sorted(strange)}, ids that repeat, or too many keys"])
    return keys


@contextmanager
def _changing(path: Path) -> Iterator[list[ApiKey]]:
    """Read, change, write aside and put in place; one at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path.with_name(path.name + ".lock"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = read_keys(path) if path.exists() else []
        yield keys
        aside = path.with_name(path.name + ".new")
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(_File(keys)), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _change(before: ApiKey | None, now: ApiKey) -> str:
    if now.revoked is not None:
        return "revoked"
    return f"{'new' if before is None else 'changed'}, roles {', '.join(now.roles)}"
