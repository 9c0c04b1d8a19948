"""What the chain tells the rest of the house, after it is durable.

Callers: `publish` never waits. A subscriber that falls behind loses its channel (EndOfChannel) instead of
holding the chain up; it then reads what it missed from the ChainReader and subscribes again.
"""

from dataclasses import dataclass

import trio

from node.primitives.block import Block
from node.primitives.receipt import Receipt


@dataclass(frozen=True, slots=True)
class ExecutedBlock:
    """A block with what it caused."""

    block: Block
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True)
class HeadChanged:
    """The canonical chain has a new head: by extension (nothing removed) or by reorganisation."""

    removed: tuple[ExecutedBlock, ...]
    """Blocks that are no longer canonical, newest first."""
    added: tuple[ExecutedBlock, ...]
    """Blocks that are canonical now, oldest first; the last one is the head."""

    @property
    def head(self) -> Block:
        """The new head."""
        return self.added[-1].block


class ChainEvents:
    """Fan-out of HeadChanged to bounded subscribers."""

    def __init__(self) -> None:
        self._subscribers: list[trio.MemorySendChannel[HeadChanged]] = []

    def subscribe(self, capacity: int = 64) -> trio.MemoryReceiveChannel[HeadChanged]:
        """A channel of all changes from now on; close it to leave."""
        send, receive = trio.open_memory_channel[HeadChanged](capacity)
        self._subscribers.append(send)
        return receive

    def publish(self, event: HeadChanged) -> None:
        """Tell every subscriber; cut those that are full or gone."""
        kept = []
        for subscriber in self._subscribers:
            try:
                subscriber.send_nowait(event)
            except (trio.WouldBlock, trio.BrokenResourceError):
                subscriber.close()
            else:
                kept.append(subscriber)
        self._subscribers = kept
