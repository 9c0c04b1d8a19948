"""Credentials -> Identity: client certificates, API keys, tokens, or nothing but where somebody comes from.

What is shown counts: a request with credentials that let nobody in is refused, never served as if they were
not there. Files are taken up again when they change; whom a key let in that is gone is out at the next call.
"""

import hashlib
import ipaddress
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio

from node.audit.log import LOCAL
from node.audit.records import Kind
from node.audit.trail import AuditTrail
from node.config.settings import AuthSettings
from node.config.stamps import Stamp, stamp_of
from node.primitives.errors import ConfigError
from node.rpc.api_keys import ApiKeys, looks_like_key
from node.rpc.clients import Clients
from node.rpc.identity import Identity, LoginRefused, roles_of

if TYPE_CHECKING:
    from cryptography import x509

    from node.rpc.jwks import KeySource
    from node.rpc.tokens import VerifyingKey

LOOK_S: Final = 2.0
TOKENS_REMEMBERED_MAX: Final = 4096
KEY_FILE_BYTES_MAX: Final = 1 << 20

log = logging.getLogger(__name__)


class Authenticator:
    """Who is who at all listeners of one node."""

    def __init__(
        self, settings: AuthSettings, trail: AuditTrail, unix_time: Callable[[], float] = time.time
    ) -> None:
        """Read every file; ConfigError lists what is wrong with them."""
        self._settings = settings
        self._trail = trail
        self._unix_time = unix_time
        self._api_keys = None if settings.api_keys is None else ApiKeys(settings.api_keys)
        self._clients = Clients(settings.clients)
        self._static_keys = _static_keys(settings)
        self._source = _source(settings)
        self._stamps = self._look()
        self._file_problem: str | None = None
        self._tokens: OrderedDict[bytes, Identity] = OrderedDict()
        """Verified tokens by their hash: a signature costs more than most calls."""
        self._local = roles_of(settings.local_roles)
        self._admin_local = roles_of(settings.admin_local_roles)
        self._stranger = roles_of(settings.stranger_roles)
        self._note_in_force()
        self.refusals = 0
        """Logins that failed since the start of the process, for a metric."""

    @property
    def problem(self) -> str | None:
        """What the operator must know, in one line."""
        return self._file_problem or (None if self._source is None else self._source.problem)

    def _note_in_force(self) -> None:
        """What may have been changed while the node was down is on record from its start."""
        if self._settings.api_keys is None and self._settings.clients is None:
            return
        keys = [] if self._api_keys is None else self._api_keys.in_force()
        facts = {"in_force": [*(f"api-key:{each}" for each in keys), *self._clients.in_force()]}
        self._trail.note(Kind.ROLE_CHANGED, LOCAL, facts)

    def nobody(self, address: str, *, listener_is_local: bool, is_admin_listener: bool) -> Identity:
        """Who connects without a word: what it may do follows from where it comes from."""
        settings = self._settings
        if listener_is_local and _is_loopback(address):
            roles = self._admin_local if is_admin_listener else self._local
            return Identity(f"local@{address}", roles, settings.local_quota_ms_per_s or None)
        return Identity(f"anonymous@{address}", self._stranger, settings.stranger_quota_ms_per_s)

    def holder(
        self, certificate: "x509.Certificate", is_withdrawn: Callable[[], bool] | None = None
    ) -> Identity:
        """Whose client certificate this is, until `is_withdrawn` says that it was taken back."""
        return self._bounded(self._clients.identify(certificate, is_withdrawn))

    async def bearer(self, credentials: str, address: str) -> Identity:
        """Who shows these: an API key or a token. LoginRefused."""
        try:
            identity = await self._bearer(credentials)
        except LoginRefused as error:
            self.refusals += 1
            self._trail.note(Kind.LOGIN_REFUSED, f"anonymous@{address}", {"reason": str(error)})
            raise
        return self._bounded(identity)

    async def follow_files(self) -> None:
        """Take up files that change, until cancelled."""
        while True:
            await trio.sleep(LOOK_S)
            self.reload()

    def reload(self) -> None:
        """Look at the files again; what was changed in them is recorded."""
        stamps = self._look()
        if stamps == self._stamps:
            return
        self._stamps = stamps
        changes: list[str] = []
        try:
            if self._api_keys is not None:
                changes += [f"api-key:{change}" for change in self._api_keys.load()]
            changes += [f"certificate:{name}" for name in self._clients.load()]
            self._static_keys = _static_keys(self._settings)
        except ConfigError as error:
            self._file_problem = f"the files of [auth] were changed and cannot be taken up: {error}"
            log.error("the files of [auth] cannot be taken up", extra={"reason": str(error)})
            return
        self._file_problem = None
        self._tokens.clear()
        log.warning("the files of [auth] were taken up", extra={"changes": "; ".join(changes) or "none"})
        self._trail.note(Kind.ROLE_CHANGED, LOCAL, {"changes": changes})

    async def _bearer(self, credentials: str) -> Identity:
        now = self._unix_time()
        if looks_like_key(credentials):
            identity = None if self._api_keys is None else self._api_keys.identify(credentials, now)
            if identity is None:
                raise LoginRefused("no such API key, or it has ended")
            return identity
        digest = hashlib.sha256(credentials.encode()).digest()
        remembered = self._tokens.get(digest)
        if remembered is not None and remembered.ended(now) is None:
            return remembered
        identity = await self._verify(credentials, now)
        self._tokens[digest] = identity
        if len(self._tokens) > TOKENS_REMEMBERED_MAX:
            self._tokens.popitem(last=False)
        return identity

    async def _verify(self, token: str, now: float) -> Identity:
        if self._source is None and not self._static_keys:
            raise LoginRefused("this node takes no tokens (settings auth.jwt_keys, auth.jwks_url)")
        from node.rpc.tokens import UnknownKey, verify

        try:
            return verify(token, await self._keys(fresh=False), self._settings, now)
        except UnknownKey:
            # The issuer may have begun to sign with a new key.
            return verify(token, await self._keys(fresh=True), self._settings, now)

    async def _keys(self, *, fresh: bool) -> "list[VerifyingKey]":
        fetched = [] if self._source is None else await self._source.keys(fresh=fresh)
        return [*self._static_keys, *fetched]

    def _bounded(self, identity: Identity) -> Identity:
        """With the common quota where it has none of its own."""
        if identity.quota_per_s is not None:
            return identity
        return Identity(
            identity.name, identity.roles, self._settings.quota_ms_per_s or None, identity.standing
        )

    def _look(self) -> tuple[Stamp, ...]:
        settings = self._settings
        files = (settings.api_keys, settings.clients, settings.jwt_keys)
        return tuple(None if path is None else stamp_of(path) for path in files)


def _source(settings: AuthSettings) -> "KeySource | None":
    if settings.jwks_url is None:
        return None
    # Whoever takes no tokens does without the libraries for them: a quarter of a light client's memory.
    from node.rpc.jwks import KeySource

    return KeySource(settings.jwks_url, settings.jwks_ca, settings.jwks_refresh_s, time.monotonic)


def _static_keys(settings: AuthSettings) -> "list[VerifyingKey]":
    if settings.jwt_keys is None:
        return []
    from node.rpc.tokens import read_key_file

    try:
        with settings.jwt_keys.open("rb") as file:
            keys = read_key_file(file.read(KEY_FILE_BYTES_MAX))
    except OSError as error:
        raise ConfigError([f"auth.jwt_keys: {error}"]) from error
    if not keys:
        raise ConfigError([f"auth.jwt_keys: {settings.jwt_keys} holds no key that is used here"])
    return keys


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False
