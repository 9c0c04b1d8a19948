"""Keys of a token issuer, fetched from its JWKS URL: bounded, cached, and asked again when a key is new.

One fetch at a time, in a thread. Old keys stay in use while the issuer does not answer, for as long as
`KEEP_S`: an issuer that is down must not lock everybody out at once, and a key that it has withdrawn must
not stay for ever. A token with an unknown key id makes us ask again, but not more often than `ASK_AGAIN_S`.
"""

import logging
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import trio

from node.primitives.errors import ConfigError
from node.rpc.tokens import VerifyingKey, read_key_set

BYTES_MAX: Final = 256 * 1024
TIMEOUT_S: Final = 5.0
ASK_AGAIN_S: Final = 10.0
KEEP_S: Final = 24 * 3600.0

log = logging.getLogger(__name__)


class KeySource:
    """The keys of one JWKS URL."""

    def __init__(self, url: str, ca: Path | None, refresh_s: float, clock: Callable[[], float]) -> None:
        """`clock` counts seconds and never goes back. ConfigError when `ca` is no certificate."""
        self._url = url
        self._refresh_s = refresh_s
        self._clock = clock
        self._tls: ssl.SSLContext | None = None
        if url.startswith("https:"):
            try:
                self._tls = ssl.create_default_context(cafile=None if ca is None else str(ca))
            except OSError as error:
                raise ConfigError([f"auth.jwks_ca {ca} cannot be used: {error}"]) from error
        self._keys: tuple[VerifyingKey, ...] = ()
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._one_at_a_time = trio.Lock()
        self.problem: str | None = None
        """Why the last fetch failed."""

    async def keys(self, *, fresh: bool = False) -> Sequence[VerifyingKey]:
        """The keys; `fresh` when one is looked for that was not among them."""
        if self._is_due(fresh=fresh):
            async with self._one_at_a_time:
                if self._is_due(fresh=fresh):
                    await self._fetch()
        if self._fetched_at is not None and self._clock() - self._fetched_at > KEEP_S:
            self._keys = ()
        return self._keys

    def _is_due(self, *, fresh: bool) -> bool:
        now = self._clock()
        if self._asked_at is not None and now - self._asked_at < ASK_AGAIN_S:
            return False
        return fresh or self._fetched_at is None or now - self._fetched_at > self._refresh_s

    async def _fetch(self) -> None:
        self._asked_at = self._clock()
        try:
            # The timeout of a socket is per read: who sends a byte now and then could keep us for ever.
            with trio.fail_after(2 * TIMEOUT_S):
                content = await trio.to_thread.run_sync(self._get, abandon_on_cancel=True)
            keys = read_key_set(content)
            if not keys:
                raise ConfigError(["it has no key that is used here"])
        except (OSError, ValueError, ConfigError, trio.TooSlowError) as error:
            self.problem = f"the keys at {self._url} cannot be fetched: {error}"
            log.warning("token keys cannot be fetched", extra={"url": self._url, "reason": str(error)})
            return
        if self.problem is not None or self._fetched_at is None:
            log.info("token keys were fetched", extra={"url": self._url, "keys": len(keys)})
        self._keys, self._fetched_at, self.problem = tuple(keys), self._clock(), None

    def _get(self) -> bytes:
        """The document. Worker thread."""
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            _NoRedirects(),
            *([urllib.request.HTTPSHandler(context=self._tls)] if self._tls is not None else []),
        )
        request = urllib.request.Request(self._url, headers={"Accept": "application/json"})
        try:
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                content = answer.read(BYTES_MAX + 1)
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            raise
        if len(content) > BYTES_MAX:
            raise ConfigError([f"more than {BYTES_MAX} bytes"])
        assert isinstance(content, bytes)
        return content


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The operator named the place; nobody else sends us elsewhere."""

    def redirect_request(self, *_: object) -> None:
        """Let the redirection be the answer, which is an error."""
