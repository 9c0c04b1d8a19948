"""Mutual TLS 1.3 around connections to peers: who we are, who may vouch for others, in files that change."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import trio

from node.primitives.errors import ConfigError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for mutual TLS: who we are, and who may vouch for others."""

    certificate: Path
    """Our certificate, then the chain up to below the CA."""
    key: Path
    ca: Path


@dataclass(frozen=True, slots=True)
class TlsContexts:
    """Both directions' settings."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def load_tls(files: TlsFiles) -> TlsContexts:
    """Mutual TLS 1.3; ConfigError names the file that cannot be used.

    Host names are not checked: identity is the node key, which RLPx proves inside; TLS proves membership.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # Tickets would be written to a peer that may never read; sessions are not resumed here.
    server.num_tickets = 0
    for context in (server, client):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(files.ca)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError([f"TLS CA {files.ca}: {error}"]) from error
        try:
            context.load_cert_chain(files.certificate, files.key)
        except OSError as error:
            raise ConfigError([f"TLS certificate {files.certificate} or key {files.key}: {error}"]) from error
    return TlsContexts(server, client)


class FollowedTls:
    """Mutual TLS by files that may be replaced: new connections get what lies there now.

    Files that do not fit leave the former in place, and are complained of once.
    """

    def __init__(self, files: TlsFiles) -> None:
        """ConfigError names the file that cannot be used."""
        self._files = files
        self._stamps = self._look()
        self._contexts = load_tls(files)

    async def now(self) -> TlsContexts:
        """For one new connection."""
        stamps = self._look()
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._contexts = await trio.to_thread.run_sync(load_tls, self._files)
                log.info("the peers' TLS files were taken up")
            except ConfigError as error:
                log.error(
                    "new TLS files for peers do not fit, the old ones stay", extra={"reason": str(error)}
                )
        return self._contexts

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        """What tells one state of the files from another."""
        stamps = list[tuple[int, int, int] | None]()
        for path in (self._files.certificate, self._files.key, self._files.ca):
            try:
                status = path.stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(stamps)
