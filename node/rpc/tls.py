"""TLS of the JSON-RPC listeners: certificates that may be replaced while the node runs.

1.3 where the client can, 1.2 otherwise, and there only ciphers with forward secrecy. Files are looked at
every few seconds and on SIGHUP; new connections get what lies there, and files that do not fit leave the old
ones in place, with the reason in log and health. A client's certificate, when one is asked for, must come
from `rpc.client_ca` and not stand in `rpc.client_crl`; who its subject is, and may do what, `auth` decides.
"""

import logging
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import trio

from node.config.revocation import NOTHING, apply_revocations
from node.config.settings import RpcSettings
from node.config.stamps import Stamp, stamp_of
from node.primitives.errors import ConfigError

if TYPE_CHECKING:
    from cryptography import x509

RELOAD_S: Final = 5.0
WARN_DAYS: Final = 30
WARN_AGAIN_S: Final = 24 * 3600.0
CIPHERS_1_2: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
DAY_S: Final = 24 * 3600

log = logging.getLogger(__name__)


class RpcTls:
    """The TLS side of listeners; `wrap` is what `serve_rpc` takes."""

    def __init__(self, settings: RpcSettings, unix_time: Callable[[], float]) -> None:
        """ConfigError when the files do not fit."""
        self._settings = settings
        self._unix_time = unix_time
        self._stamps = self._look()
        self._failure: str | None = None
        self._warn_at = 0.0
        self._revocations = NOTHING
        self._context, self.expires_at = self._load()
        """`expires_at`: Unix time at which our certificate ends."""
        self._warn()

    async def wrap(self, stream: trio.SocketStream) -> trio.SSLStream[trio.SocketStream]:
        """Shake hands; whatever is wrong with the client comes out as an exception."""
        wrapped = trio.SSLStream(stream, self._context, server_side=True, https_compatible=True)
        await wrapped.do_handshake()
        return wrapped

    async def follow_files(self, hangup: Callable[[], Awaitable[None]]) -> None:
        """Take up files that change, when `hangup` returns at once, until cancelled."""
        while True:
            with trio.move_on_after(RELOAD_S) as waiting:
                await hangup()
            await trio.to_thread.run_sync(self.reload, not waiting.cancelled_caught)

    def reload(self, force: bool = False) -> bool:
        """Look at the files again; whether new ones were taken up. Worker thread."""
        self._warn()
        stamps = self._look()
        if stamps == self._stamps and not force:
            return False
        self._stamps = stamps
        try:
            self._context, self.expires_at = self._load()
        except ConfigError as error:
            self._failure = str(error)
            log.error("new TLS files do not fit, the old ones stay", extra={"reason": self._failure})
            return False
        self._failure = None
        self._warn_at = 0.0
        log.info("TLS files were taken up", extra={"expires": _date(self.expires_at)})
        self._warn()
        return True

    @property
    def problem(self) -> str | None:
        """What the operator must know, in one line."""
        if self._failure is not None:
            return self._failure
        if self.expires_at <= self._unix_time():
            return f"the RPC's certificate expired on {_date(self.expires_at)}; replace {self._files[0]}"
        overdue = self._revocations.problem(self._unix_time())
        return None if overdue is None else f"{overdue}: replace {self._settings.client_crl}"

    def is_withdrawn(self, certificate: "x509.Certificate") -> bool:
        """Whether its authority has taken back a client's certificate since the handshake."""
        return self._revocations.has(certificate)

    @property
    def _files(self) -> tuple[Path, ...]:
        settings = self._settings
        assert settings.tls_certificate is not None
        assert settings.tls_key is not None
        wanted = settings.client_certificates != "none"
        asked = (settings.client_ca, settings.client_crl) if wanted else ()
        return settings.tls_certificate, settings.tls_key, *(path for path in asked if path is not None)

    def _look(self) -> tuple[Stamp, ...]:
        return tuple(stamp_of(path) for path in self._files)

    def _load(self) -> tuple[ssl.SSLContext, float]:
        from cryptography import x509

        certificate, key, *asked = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers(CIPHERS_1_2)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(certificate, key)
            if asked:
                required = self._settings.client_certificates == "required"
                context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
                context.load_verify_locations(asked[0])
            leaf = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigError([f"the RPC's TLS files do not fit ({certificate}, {key}): {error}"]) from error
        self._revocations = apply_revocations(context, asked[1], asked[0]) if len(asked) > 1 else NOTHING
        return context, leaf.not_valid_after_utc.timestamp()

    def _warn(self) -> None:
        """Once a day, while the certificate's end is near."""
        now = self._unix_time()
        left_days = (self.expires_at - now) / DAY_S
        if left_days < WARN_DAYS and now >= self._warn_at:
            self._warn_at = now + WARN_AGAIN_S
            log.warning(
                "the RPC's certificate ends soon",
                extra={"expires": _date(self.expires_at), "days": round(left_days, 1)},
            )


def peer_certificate(stream: trio.abc.Stream) -> "x509.Certificate | None":
    """The certificate that a client has shown and the handshake has verified."""
    if not isinstance(stream, trio.SSLStream):
        return None
    from cryptography import x509

    encoded = cast("bytes | None", stream.getpeercert(binary_form=True))
    return x509.load_der_x509_certificate(encoded) if encoded else None


def _date(unix_time: float) -> str:
    return datetime.fromtimestamp(unix_time, UTC).isoformat(timespec="minutes")
