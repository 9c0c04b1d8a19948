"""Payloads taken apart for all peers together: large ones on worker threads, one that comes again only once.

A new block comes from every neighbour, and from all in the same bytes: whoever is second to send them costs a
comparison, also while the first are still being taken apart.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import trio

from p2p.eth.messages import EthVersion, Message, decode_message

IN_PLACE_BYTES_MAX: Final = 32_768
"""Larger payloads go to a worker thread, so that timers and other peers are not kept waiting."""
THREADS_MAX: Final = 2
KEPT_MAX: Final = 2
"""Large announcements of late that are compared with; answers come from one peer alone."""


@dataclass(eq=False, slots=True)
class _Known:
    """A payload that is, or was, taken apart."""

    code: int
    payload: bytes
    ended: trio.Event = field(default_factory=trio.Event)
    message: Message | None = None
    """None while it is not there, and when there is none."""


class Decoder:
    """See the module."""

    def __init__(self) -> None:
        self._threads = trio.CapacityLimiter(THREADS_MAX)
        self._known: deque[_Known] = deque(maxlen=KEPT_MAX)

    async def message(self, code: int, payload: bytes, protocol: EthVersion) -> Message:
        """What a peer has sent; ChainError when it is no message."""
        if len(payload) <= IN_PLACE_BYTES_MAX:
            return decode_message(code, payload, protocol)
        if code not in protocol.same_from_all:
            return await self._in_thread(code, payload, protocol)
        for known in tuple(self._known):
            if known.code == code and known.payload == payload:
                await known.ended.wait()
                if known.message is not None:
                    return known.message
        known = _Known(code, payload)
        self._known.append(known)
        try:
            known.message = await self._in_thread(code, payload, protocol)
        finally:
            known.ended.set()
            if known.message is None and known in self._known:
                self._known.remove(known)
        return known.message

    async def _in_thread(self, code: int, payload: bytes, protocol: EthVersion) -> Message:
        return await trio.to_thread.run_sync(
            decode_message, code, payload, protocol, limiter=self._threads, abandon_on_cancel=True
        )
