"""What is known of a frame's memory while a function is being written: words at constant places.

A store to a constant place need not be written at once: what reads the word back gets the symbol, and the
hash of two words or the data of an event is made from the symbols. Most are overwritten, or the frame ends,
before anybody needs the bytes; where the function is left, they are written.
"""

from collections.abc import Iterable
from typing import Final, Generic, TypeVar

from node.execution.evm.opcodes import WORD_BYTES

Symbol = TypeVar("Symbol")

WORDS_READ_MAX: Final = 8
"""A longer range is read from memory itself."""


class KnownMemory(Generic[Symbol]):
    """Words by the offset where they begin. None overlaps another."""

    def __init__(self) -> None:
        self._words: dict[int, Symbol] = {}
        self.unwritten: dict[int, Symbol] = {}
        """Those of them that memory itself does not hold yet."""

    def word(self, offset: int) -> Symbol | None:
        """The word at an offset, if it is known."""
        return self._words.get(offset)

    def words(self, offset: int, size: int) -> list[Symbol] | None:
        """The words that make up a range, if all are known and the range ends with the last of them."""
        if size % WORD_BYTES or size > WORDS_READ_MAX * WORD_BYTES:
            return None
        found = []
        for at in range(offset, offset + size, WORD_BYTES):
            if at not in self._words:
                return None
            found.append(self._words[at])
        return found

    def cuts_unwritten(self, offset: int) -> bool:
        """Whether a word that is not written yet begins or ends inside the word at an offset."""
        return bool(_overlapping(self.unwritten, offset))

    def learn(self, offset: int, symbol: Symbol, *, written: bool) -> None:
        """From now on this is the word at an offset."""
        assert not self.cuts_unwritten(offset), "write it first"
        for at in _overlapping(self._words, offset):
            del self._words[at]
        self._words[offset] = symbol
        if not written:
            self.unwritten[offset] = symbol

    def forget(self) -> None:
        """Memory was changed at a place that is not known."""
        assert not self.unwritten, "write it first"
        self._words.clear()


def _overlapping(words: Iterable[int], offset: int) -> list[int]:
    """Where words begin that overlap the one at an offset and are not it."""
    return [at for at in words if -WORD_BYTES < at - offset < WORD_BYTES and at != offset]
