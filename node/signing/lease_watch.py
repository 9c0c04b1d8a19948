"""Keeps the lease of a key that a signer holds for several nodes, and says when another has it.

The signer leases a key to whoever it hears of; a validator of a slow chain signs seldom, so it says a word in
between. At the end the lease is given back: whoever stands by need not wait for it to run out. A signer that
knows no leases (Web3Signer, clef) is left alone.
"""

import json
import logging
from http import HTTPStatus
from typing import Final

import trio

from node.config.settings import SigningSettings
from node.primitives.ids import hex_of
from node.signing.guard import GuardedSigner
from node.signing.remote import HOLDER_HEADER
from node.signing.remote_http import SignerConnection, Unreachable, open_connection

ASK_AGAIN_S: Final = 2.0
"""After a refusal, or when the signer was not reached."""
PARTS_OF_LEASE: Final = 4
"""So often a lease is prolonged within its length."""
FAREWELL_S: Final = 2.0

log = logging.getLogger(__name__)


class LeaseWatch:
    """One key's lease, seen from the node."""

    def __init__(self, connection: SignerConnection, signer: GuardedSigner) -> None:
        """`connection` is this task's own."""
        self.problem: str | None = None
        """What keeps us from signing: another has the lease."""
        self._connection = connection
        self._signer = signer
        self._path = f"/api/v1/phoenix/lease/{hex_of(signer.address)}"

    async def run(self) -> None:
        """Until cancelled, or until the signer turns out to know no leases."""
        try:
            wait_s = self._read(*await self._ask("POST"))
            while wait_s is not None:
                await trio.sleep(wait_s)
                wait_s = self._read(*await self._ask("POST"))
        finally:
            with trio.move_on_after(FAREWELL_S, shield=True):
                if self.problem is None:
                    await self._ask("DELETE")
            self._connection.close()

    def _read(self, status: int, body: str) -> float | None:
        """What the answer means; how long to wait before the next question, None for ever."""
        if status == HTTPStatus.LOCKED:
            if self.problem is None:
                log.warning("standing by: %s", body[:500])
            self.problem = f"standing by: {body[:500]}"
            return ASK_AGAIN_S
        if self.problem is not None and status == HTTPStatus.OK:
            log.warning("the lease of the key is ours now", extra={"signer": hex_of(self._signer.address)})
        self.problem = None
        length_s = _length_in(body) if status == HTTPStatus.OK else None
        if length_s:
            return length_s / PARTS_OF_LEASE
        # Unreachable, or failing: the next signature says so louder. Others know nothing of leases.
        return ASK_AGAIN_S if not status or status >= HTTPStatus.INTERNAL_SERVER_ERROR else None

    async def _ask(self, method: str) -> tuple[int, str]:
        return await trio.to_thread.run_sync(self._ask_now, method, abandon_on_cancel=method == "DELETE")

    def _ask_now(self, method: str) -> tuple[int, str]:
        headers = {HOLDER_HEADER: self._signer.identity().hex()}
        try:
            return self._connection.ask(method, self._path, None, headers)
        except Unreachable as error:
            return 0, str(error)


def _length_in(body: str) -> float | None:
    """None where the answer is not about a lease: Web3Signer passes on what it does not know, to whatever
    stands behind it."""
    try:
        return float(json.loads(body)["seconds"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def lease_watch(settings: SigningSettings, signer: GuardedSigner) -> LeaseWatch | None:
    """For a key of a remote signer; None for others. ConfigError when the TLS files do not fit."""
    if settings.backend != "remote":
        return None
    return LeaseWatch(open_connection(settings), signer)
