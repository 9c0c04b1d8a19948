"""HTTP/1.1 to a remote signer, over mutual TLS: one connection that is kept, made anew when it broke.

The TLS files are read at every new connection: a certificate that was renewed is used without a restart.
"""

import http.client
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from node.config.settings import SigningSettings
from node.primitives.errors import ConfigError

ANSWER_BYTES_MAX: Final = 64 * 1024
ATTEMPTS: Final = 2
"""A connection that idled too long is found broken only when it is used."""
TURNED_AWAY: Final = (ssl.SSLError, http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
"""What a client meets that the signer does not want: it need not be told why."""


class Unreachable(Exception):
    """No answer from the signer; the text says why, as far as it is known."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What we show, and whom we believe."""

    certificate: Path
    key: Path
    ca: Path

    def load(self) -> ssl.SSLContext:
        """OSError or SSLError when the files do not fit."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.certificate, self.key)
        context.load_verify_locations(self.ca)
        return context

    def ended(self, unix_time: float) -> str | None:
        """The day on which our certificate ran out; None while it is valid, or cannot be read."""
        from cryptography.x509 import load_pem_x509_certificates

        try:
            leaf = load_pem_x509_certificates(self.certificate.read_bytes())[0]
        except (OSError, ValueError):
            return None
        end = leaf.not_valid_after_utc
        return f"{end:%Y-%m-%d %H:%M} UTC" if end.timestamp() <= unix_time else None


class SignerConnection:
    """For one thread at a time."""

    def __init__(self, url: str, tls: TlsFiles | None, timeout_s: float) -> None:
        """Does not connect. `tls` is None for plain HTTP."""
        self.url = url
        self._tls = tls
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def ask(
        self, method: str, path: str, document: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Status and body; Unreachable when there is no answer in time."""
        body = None if document is None else json.dumps(document)
        sent = dict(headers or {}) | ({} if body is None else {"content-type": "application/json"})
        reason = ""
        for _ in range(ATTEMPTS):
            try:
                connection = self._connection or self._connect()
                self._connection = connection
                connection.request(method, path, body, sent)
                answer = connection.getresponse()
                return answer.status, answer.read(ANSWER_BYTES_MAX).decode(errors="replace")
            except (OSError, http.client.HTTPException) as error:
                self.close()
                reason = _reason(error, self._tls)
                if isinstance(error, TimeoutError):
                    break  # it was given its time
        raise Unreachable(reason)

    def close(self) -> None:
        """Hang up; the next question connects again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if self._tls is None:
            return http.client.HTTPConnection(host, parts.port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(
            host, parts.port, timeout=self._timeout_s, context=self._tls.load()
        )


def open_connection(settings: SigningSettings) -> SignerConnection:
    """To the signer that the settings name; ConfigError when the TLS files do not fit."""
    assert settings.remote_url is not None, "the settings were checked"
    tls = None
    if settings.remote_url.startswith("https:"):
        assert settings.remote_certificate is not None
        assert settings.remote_key is not None
        assert settings.remote_ca is not None
        tls = TlsFiles(settings.remote_certificate, settings.remote_key, settings.remote_ca)
        try:
            tls.load()
        except OSError as error:
            raise ConfigError([f"the TLS files for the remote signer do not fit: {error}"]) from error
    return SignerConnection(settings.remote_url, tls, settings.timeout_s)


def _reason(error: Exception, tls: TlsFiles | None) -> str:
    """What happened, and what to look at."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not accepted ({error.verify_message}); renew it, or mend signing.remote_ca"
        )
    if isinstance(error, TimeoutError):
        return "no answer in time; does it hang, or its token?"
    words = error.reason if isinstance(error, ssl.SSLError) else str(error) or type(error).__name__
    if tls is not None and isinstance(error, TURNED_AWAY):
        ended = tls.ended(time.time())
        if ended is not None:
            return f"our certificate {tls.certificate} ran out on {ended}; renew it, no restart is needed"
        return f"it ended the connection ({words}); is our certificate {tls.certificate} among its [clients]?"
    return f"{words}; is it running?"
