"""Answers that are given again while they hold: JSON by method and parameters. Event loop only.

Many services ask a replica the same thing within one block, and what was said of past blocks stays true until
the chain turns. An answer is kept as of the head at which it was found: until there is another head, or, when
it names nothing but blocks that are there, for as long as the chain only grows. Errors and null are not kept:
what is not there may come.
"""

from collections import OrderedDict
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from node.primitives.block import Header
from node.primitives.ids import BlockNumber, Hash32

ENTRY_BYTES: Final = 256
"""What an answer takes up beside its text."""
SHARE_MAX: Final = 16
"""An answer larger than this part of the room would drive out too many others."""

NULL: Final = msgspec.Raw(b"null")

_encode = msgspec.json.Encoder().encode


class Holds(Enum):
    """How long an answer is true."""

    AT_HEAD = "at head"
    """Until the head moves."""
    PAST = "past"
    """While the chain grows on what is there now."""


class Blocks(Protocol):
    """What is looked at of the chain."""

    @property
    def head(self) -> Header:
        """The newest block."""
        ...

    def canonical_hash(self, number: BlockNumber) -> Hash32 | None:
        """The block at a height."""
        ...


class Question(NamedTuple):
    """What was asked, and the head at that moment."""

    key: tuple[str, bytes]
    head: Header


class Remembered:
    """Answers within a bound of bytes; those that were asked for longest ago make room."""

    def __init__(self, chain: Blocks, bytes_max: int) -> None:
        """One half of the room is for each kind."""
        self._chain = chain
        self._head = chain.head
        self._shelves = {holds: _Shelf(bytes_max // 2) for holds in Holds}
        self.hits = 0
        """Answers given again."""

    def question(self, method: str, params: list[Any]) -> Question:
        """To be asked for before anything is looked up."""
        head = self._chain.head
        if head is not self._head:
            self._turn_to(head)
        return Question((method, _encode(params)), head)

    def answer(self, question: Question) -> msgspec.Raw | None:
        """What was kept, if it still holds."""
        for shelf in self._shelves.values():
            found = shelf.get(question.key)
            if found is not None:
                self.hits += 1
                return found
        return None

    def keep(self, question: Question, holds: Holds, answer: msgspec.Raw) -> None:
        """Keep an answer; not if the head has moved while it was made, for then it may be of either."""
        if answer != NULL and self._chain.head is question.head is self._head:
            self._shelves[holds].put(question.key, answer)

    def _turn_to(self, head: Header) -> None:
        before, self._head = self._head, head
        self._shelves[Holds.AT_HEAD].clear()
        if head.parent_hash != before.hash and self._chain.canonical_hash(before.number) != before.hash:
            self._shelves[Holds.PAST].clear()


class _Shelf:
    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._answers: OrderedDict[tuple[str, bytes], msgspec.Raw] = OrderedDict()

    def get(self, key: tuple[str, bytes]) -> msgspec.Raw | None:
        found = self._answers.get(key)
        if found is not None:
            self._answers.move_to_end(key)
        return found

    def put(self, key: tuple[str, bytes], answer: msgspec.Raw) -> None:
        size = _size(key, answer)
        if size > self._bytes_max // SHARE_MAX:
            return
        before = self._answers.pop(key, None)
        if before is not None:
            self._bytes -= _size(key, before)
        self._answers[key] = answer
        self._bytes += size
        while self._bytes > self._bytes_max:
            self._bytes -= _size(*self._answers.popitem(last=False))

    def clear(self) -> None:
        self._answers.clear()
        self._bytes = 0


def _size(key: tuple[str, bytes], answer: msgspec.Raw) -> int:
    return ENTRY_BYTES + len(key[1]) + len(answer)
