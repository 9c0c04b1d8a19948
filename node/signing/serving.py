"""What a running signer serves: its TLS files, who may connect, its keys and their policies.

All of it is read again when it changes, and taken up as a whole or not at all: a renewed certificate, a key
that came or went, a client with a new certificate beside the old. What stays the same is not opened again: a
key is one object behind one guard for as long as it is held, and its PIN is asked for once.

A token that was opened before and is away now, or refuses its PIN, keeps no other key from being served: its
key is held, says what is wrong, and signs again when the token is back.
"""

import logging
import ssl
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from node.audit.log import LOCAL, AuditLog
from node.audit.records import Facts, Kind
from node.audit.trail import NoTrail
from node.config.revocation import NOTHING, Revocations, apply_revocations
from node.config.settings import SigningSettings
from node.config.stamps import Stamp, stamp_of
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, hex_of
from node.signing.exclusive import held_exclusively
from node.signing.guard import GuardedSigner
from node.signing.keystore import read_secret_file
from node.signing.lease import KeyLease
from node.signing.opening import open_own_key
from node.signing.service import HeldKey, SigningService
from node.signing.service_settings import KeySettings, ServiceSettings
from node.signing.signer import OwnKey
from node.storage.kv import KeyValue

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A key that this process holds, until it is let go."""

    held: HeldKey
    key: OwnKey
    holding: ExitStack


class Serving:
    """Open keys, and the settings in force. For one thread at a time."""

    def __init__(
        self, settings: ServiceSettings, kv: KeyValue, trail: AuditLog | NoTrail | None = None
    ) -> None:
        """Open every key behind the guard in `kv`; may ask for passwords. ConfigError, KeyStoreError. What is
        asked and given goes on record in `trail`."""
        self._kv = kv
        self.trail = trail or NoTrail()
        self._opened: dict[tuple[SigningSettings, int], _Opened] = {}
        self.settings = settings
        self.outcomes: Counter[str] = Counter()
        """Of requests for a signature, since the start."""
        self.problem: str | None = None
        """Why the settings that lie there now are not in force."""
        self.context, self.revocations, self.service = self._made(settings)
        self.expires_at = _end_of(settings)
        """Unix time at which our certificate ends."""

    def take_up(self, settings: ServiceSettings) -> None:
        """Serve by these settings from now on; ConfigError or KeyStoreError: those before stay in force."""
        if _fixed(settings) != _fixed(self.settings):
            raise ConfigError(["host, port, data_dir and where metrics are change at a restart only"])
        self.context, self.revocations, self.service = self._made(settings)
        self.expires_at = _end_of(settings)
        self.settings = settings
        self.trail.note(Kind.ADMIN_ACTION, LOCAL, {"command": "settings read again", **self._in_force()})

    def signers(self) -> list[GuardedSigner]:
        """Of the keys that are held."""
        return [each.held.signer for each in list(self._opened.values())]

    def problems(self) -> dict[Address, str]:
        """Keys that cannot sign for now, and why."""
        opened = [each.key for each in list(self._opened.values())]
        return {key.address: key.problem for key in opened if key.problem is not None}

    def look_again(self) -> None:
        """Whether tokens that were away are back; may wait for them."""
        for each in list(self._opened.values()):
            if each.key.problem is not None:
                each.key.look_again()
                if each.key.problem is None:
                    log.warning("a key can sign again", extra={"signer": hex_of(each.key.address)})

    def client_of(self, fingerprint: bytes) -> str | None:
        """Whose certificate this is; None for nobody's."""
        return self.settings.clients.get(fingerprint)

    def stamps(self, config: Path) -> tuple[Stamp, ...]:
        """What tells one state of the settings file and the TLS files from another."""
        settings = self.settings
        crl = () if settings.tls_crl is None else (settings.tls_crl,)
        files = (config, settings.tls_certificate, settings.tls_key, settings.tls_ca, *crl)
        return tuple(stamp_of(path) for path in files)

    def _in_force(self) -> Facts:
        keys = [hex_of(signer.address) for signer in self.signers()]
        return {"keys": keys, "clients": sorted(set(self.settings.clients.values()))}

    def close(self) -> None:
        """Let every key go."""
        self._let_go(list(self._opened))

    def _made(self, settings: ServiceSettings) -> tuple[ssl.SSLContext, Revocations, SigningService]:
        context, revocations = tls_of(settings)
        before = set(self._opened)
        policies = [policy for policy in settings.keys if not policy.disabled]
        try:
            held = [self._held(policy, settings) for policy in policies]
            _refuse_twice(held)
        except BaseException:
            self._let_go([place for place in self._opened if place not in before])
            raise
        wanted = {(policy.signing, policy.chain_id) for policy in policies}
        self._let_go([place for place in self._opened if place not in wanted])
        return context, revocations, SigningService(held, self.outcomes, self.trail)

    def _held(self, policy: KeySettings, settings: ServiceSettings) -> HeldKey:
        place = (policy.signing, policy.chain_id)
        if place not in self._opened:
            self._opened[place] = self._open(policy, settings)
        held = self._opened[place].held
        held.lease.length_s = settings.lease_s
        return replace(held, clients=policy.clients, kinds=policy.kinds)

    def _open(self, policy: KeySettings, settings: ServiceSettings) -> _Opened:
        with ExitStack() as opening:
            opening.enter_context(held_exclusively(policy.signing))
            key = open_own_key(policy.signing, _known_token(settings.data_dir, policy.signing))
            opening.callback(key.close)
            signer = GuardedSigner(key, self._kv, policy.chain_id)
            lease = KeyLease(self._kv, key.address, policy.chain_id, settings.lease_s)
            held = HeldKey(signer, key.public_key, policy.chain_id, policy.clients, policy.kinds, lease)
            return _Opened(held, key, opening.pop_all())

    def _let_go(self, places: list[tuple[SigningSettings, int]]) -> None:
        for place in places:
            self._opened.pop(place).holding.close()


def tls_of(settings: ServiceSettings) -> tuple[ssl.SSLContext, Revocations]:
    """Mutual TLS 1.3 with the files of the settings, and whom the CA has taken back; ConfigError when they do
    not fit, or others can read the key."""
    read_secret_file(settings.tls_key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(settings.tls_ca)
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except OSError as error:
        raise ConfigError([f"the TLS files of the signer do not fit: {error}"]) from error
    if settings.tls_crl is None:
        return context, NOTHING
    return context, apply_revocations(context, settings.tls_crl, settings.tls_ca)


def _known_token(data_dir: Path, signing: SigningSettings) -> Path | None:
    """Where the public half of this key is remembered, when it is in a token."""
    if signing.backend != "pkcs11":
        return None
    name = f"{signing.pkcs11_module}\n{signing.pkcs11_token}\n{signing.pkcs11_key}"
    return data_dir / "token-keys" / f"{sha256(name.encode()).hexdigest()[:16]}.json"


def _fixed(settings: ServiceSettings) -> tuple[object, ...]:
    return settings.host, settings.port, settings.data_dir, settings.metrics_host, settings.metrics_port


def _end_of(settings: ServiceSettings) -> float:
    from cryptography.x509 import load_pem_x509_certificates

    leaf = load_pem_x509_certificates(settings.tls_certificate.read_bytes())[0]
    return leaf.not_valid_after_utc.timestamp()


def _refuse_twice(held: list[HeldKey]) -> None:
    """A client names a key by its address, so that one is for one chain; and one row of the guard is for one
    guard in memory."""
    counts = Counter(key.signer.address for key in held)
    twice = [hex_of(address) for address, count in counts.items() if count > 1]
    if twice:
        raise ConfigError([f"[[keys]] name one key twice: {', '.join(twice)}"])
