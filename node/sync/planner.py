"""What to ask next while catching up. Pure: knows no clock, no connection and no chain; times are arguments.

One catch-up follows one peer's chain (the source), because headers must link; bodies come from everybody.

1. `choose_target` picks whom to follow; `AncestorSearch` finds the last block that both sides have.
2. `Window` holds verified headers above it, at most WINDOW_HEADERS_MAX, hands out bodies to ask for within
   a budget of bytes, and gives back, in order, what can be imported. A catch-up keeps nothing else in memory.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from consensus.fork_choice import Candidate, worth_asking
from node.chain.validation import transactions_root
from node.primitives.block import EMPTY_OMMERS_HASH, Block, Body, Header, encode_ommers
from node.primitives.chain_spec import ForkChoice
from node.primitives.crypto import keccak256
from node.primitives.errors import ChainError
from node.primitives.ids import BlockNumber, Hash32
from node.sync.ports import PeerId

HEADERS_PER_REQUEST: Final = 192
BODIES_PER_REQUEST: Final = 128
WINDOW_HEADERS_MAX: Final = 8 * HEADERS_PER_REQUEST
WINDOW_BODY_BYTES_MAX: Final = 48 << 20
"""Estimated bytes of bodies that are here or asked for."""
REQUEST_BODY_BYTES_MAX: Final = 1 << 20
"""Estimated bytes of one request; servers cut their answers at about twice as much."""
RUN_BLOCKS_MAX: Final = 192
"""Blocks handed to the importer at once."""
RUN_BYTES_MAX: Final = 8 << 20
ASK_AGAIN_AFTER_S: Final = 3.0
"""A body that holds up everything behind it is asked of a second peer after so long."""
ASKERS_MAX: Final = 2
ANCESTOR_REACH: Final = 32
"""The first question of an ancestor search begins so far below the lower of the two heads."""
GAS_PER_BYTE: Final = 16
"""The price of a byte of call data: a block's gas tells how large its body can about be."""
BODY_BYTES_LEAST: Final = 64
EMPTY_ROOT: Final = transactions_root(())


class WrongBody(ChainError):
    """A body that belongs to none of the headers it was asked for."""


# --- whom to follow


@dataclass(frozen=True, slots=True)
class Offer:
    """What a peer says of its chain."""

    peer: PeerId
    head_hash: Hash32
    total_difficulty: int


def choose_target(
    offers: Iterable[Offer], is_known: Callable[[Hash32], bool], head: Candidate, rule: ForkChoice
) -> Offer | None:
    """The offer of greatest total difficulty that may be better than our head and that we lack."""
    worthy = [
        offer
        for offer in offers
        if worth_asking(offer.total_difficulty, head, rule) and not is_known(offer.head_hash)
    ]
    return max(worthy, key=lambda offer: offer.total_difficulty, default=None)


# --- where the chains part


class AncestorSearch:
    """Finds the highest number at which the source's chain is known to us: near the top first, then halving.

    Rests on: when we know a block we know its ancestors; both chains begin with the same genesis.
    """

    def __init__(self, our_head: BlockNumber, their_head: BlockNumber) -> None:
        self._known = 0
        self._unknown = min(our_head, their_head) + 1
        self._first_question = max(0, self._unknown - ANCESTOR_REACH)
        self._halving = False

    @property
    def found(self) -> BlockNumber | None:
        """The ancestor's number once it is certain."""
        return self._known if self._unknown == self._known + 1 else None

    def question(self) -> tuple[BlockNumber, int]:
        """Ask the source for `amount` headers of its chain from a number on: (number, amount)."""
        if self._halving:
            return (self._known + self._unknown) // 2, 1
        return self._first_question, self._unknown - self._first_question

    def answer(self, known: Sequence[bool]) -> None:
        """Whether each header of the last answer is known to us; an answer may be short, but not empty."""
        first = self.question()[0]
        self._halving = True
        if not known[0]:
            self._unknown = min(self._unknown, max(first, 1))
            return
        count = known.index(False) if False in known else len(known)
        self._known = max(self._known, first + count - 1)
        if False in known:
            self._unknown = min(self._unknown, first + count)


# --- bodies


def match_bodies(asked: Sequence[Header], bodies: Sequence[Body]) -> dict[Hash32, Body]:
    """Which body belongs to which header, by block hash; gaps are allowed, order is not free. WrongBody."""
    matched: dict[Hash32, Body] = {}
    waiting = iter(asked)
    for body in bodies:
        roots = transactions_root(body.transactions), keccak256(encode_ommers(body.ommers))
        for header in waiting:
            if roots == (header.transactions_root, header.ommers_hash):
                matched[header.hash] = body
                break
        else:
            raise WrongBody(
                f"a body of {len(body.transactions)} transactions that belongs to no block asked for"
            )
    return matched


def body_bytes(body: Body) -> int:
    """About how many bytes a body has on the wire."""
    return BODY_BYTES_LEAST + sum(len(tx.encoded) for tx in body.transactions)


def likely_body_bytes(header: Header) -> int:
    """About how many bytes the header's body can have, from the gas it used."""
    return BODY_BYTES_LEAST + header.gas_used // GAS_PER_BYTE


@dataclass(slots=True)
class _Slot:
    header: Header
    body: Body | None
    bytes: int
    """Of the body; an estimate until it is here."""
    asked: dict[PeerId, float] = field(default_factory=dict)
    """Who was asked for the body, and when."""
    lacking: set[PeerId] = field(default_factory=set)
    """Who was asked and does not have it."""


class Window:
    """Verified headers on top of a known block, their bodies as they come, and what can be imported."""

    def __init__(self, ancestor: Header) -> None:
        self._slots: list[_Slot] = []
        self._by_hash: dict[Hash32, _Slot] = {}
        self._tip = ancestor
        self._bytes = 0
        self.bodies_taken = 0
        """Bodies delivered so far: beside the tip's number, a sign of progress."""

    @property
    def tip(self) -> Header:
        """The last verified header."""
        return self._tip

    @property
    def room(self) -> int:
        """How many more headers may be added."""
        return WINDOW_HEADERS_MAX - len(self._slots)

    def __len__(self) -> int:
        """Headers whose blocks are not imported yet."""
        return len(self._slots)

    @property
    def bytes(self) -> int:
        """Bytes of bodies that are here or asked for; estimated while they are asked for."""
        return self._bytes

    def extend(self, headers: Sequence[Header]) -> None:
        """Add verified headers, the first on top of the tip. Blocks known to be empty need no body."""
        for header in headers:
            assert header.parent_hash == self._tip.hash
            is_empty = header.transactions_root == EMPTY_ROOT and header.ommers_hash == EMPTY_OMMERS_HASH
            slot = _Slot(header, Body(), 0) if is_empty else _Slot(header, None, likely_body_bytes(header))
            self._slots.append(slot)
            self._by_hash[header.hash] = slot
            self._tip = header

    def take(self, peer: PeerId, now: float) -> tuple[Header, ...]:
        """Bodies to ask of a peer now, lowest first; none when there is nothing for it, or no room."""
        chosen: list[_Slot] = []
        size = 0
        holds_up = True
        for slot in self._slots:
            if slot.body is not None:
                continue
            if not _may_ask(slot, peer, now, again=holds_up):
                holds_up = False
                continue
            # The lowest missing body is always asked for: without it nothing moves, however full we are.
            is_bound = not holds_up or bool(chosen)
            if is_bound and self._bytes + size + slot.bytes > WINDOW_BODY_BYTES_MAX:
                break
            if chosen and size + slot.bytes > REQUEST_BODY_BYTES_MAX:
                break
            chosen.append(slot)
            size += 0 if slot.asked else slot.bytes
            if len(chosen) == BODIES_PER_REQUEST:
                break
        self._bytes += size
        for slot in chosen:
            slot.asked[peer] = now
        return tuple(slot.header for slot in chosen)

    def deliver(self, peer: PeerId, asked: Sequence[Header], bodies: Mapping[Hash32, Body]) -> None:
        """Take the matched answer to `take`. What it leaves out before its last body, or whole, is lacking;
        what it leaves out behind may have been cut off and is asked for again."""
        last = max((place for place, header in enumerate(asked) if header.hash in bodies), default=len(asked))
        self.give_back(peer, asked)
        for place, header in enumerate(asked):
            slot = self._by_hash.get(header.hash)
            if slot is None or slot.body is not None:
                continue  # another peer was faster
            body = bodies.get(header.hash)
            if body is not None:
                self._bytes += body_bytes(body) - (slot.bytes if slot.asked else 0)
                slot.body, slot.bytes = body, body_bytes(body)
                self.bodies_taken += 1
            elif place < last:
                slot.lacking.add(peer)

    def give_back(self, peer: PeerId, asked: Sequence[Header]) -> None:
        """Forget that the peer was asked: it did not answer, or is gone."""
        for header in asked:
            slot = self._by_hash.get(header.hash)
            if slot is None or slot.asked.pop(peer, None) is None:
                continue
            if slot.body is None and not slot.asked:
                self._bytes -= slot.bytes

    def is_lacking(self, peer: PeerId) -> bool:
        """Whether the peer does not have a body that is still missing."""
        return any(slot.body is None and peer in slot.lacking for slot in self._slots)

    def importable(self) -> tuple[Block, ...]:
        """The blocks at the bottom that are complete, up to a run."""
        run: list[Block] = []
        size = 0
        for slot in self._slots[:RUN_BLOCKS_MAX]:
            if slot.body is None or (run and size + slot.bytes > RUN_BYTES_MAX):
                break
            run.append(Block(slot.header, slot.body))
            size += slot.bytes
        return tuple(run)

    def imported(self, count: int) -> None:
        """Let go of the lowest blocks."""
        for slot in self._slots[:count]:
            del self._by_hash[slot.header.hash]
            self._bytes -= slot.bytes
        del self._slots[:count]


def _may_ask(slot: _Slot, peer: PeerId, now: float, *, again: bool) -> bool:
    if peer in slot.asked or peer in slot.lacking:
        return False
    if not slot.asked:
        return True
    return again and len(slot.asked) < ASKERS_MAX and now - max(slot.asked.values()) >= ASK_AGAIN_AFTER_S
