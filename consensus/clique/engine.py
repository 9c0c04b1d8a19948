"""Making Clique blocks: in turn at the slot, out of turn after a while, never twice in a window.

A slot is the parent's time plus the period. For each new head the engine plans once:

    no signer, or signed recently ──> rests until another head
    in turn ──> [wait] ──> BuildBlock at slot - lead ──> [wait] ──> Sign at the slot ──> SealBlock
    out of turn ──> the same, later by a head start and a drawn delay; mostly another head comes before

Choices beyond EIP-225 and geth:
- Building starts `build_lead_ms` before the time to sign, not when the parent arrives: transactions of the
  whole period get in, and signers out of turn, whose block is rarely needed, mostly build nothing. The
  deadline tells the builder how long it may go on collecting.
- Out of turn it starts later, for mostly a block is on its way; delays begin anew, once on each head, when
  a sealed block is here and being executed: that may take longer than the head start.
- Signing happens when the block is due, not before: a signature given in vain may forbid a later one.
- Out of turn, a head start is added to geth's random delay (up to half a second for each of floor(N / 2) + 1
  signers), so that a signer in turn who is there wins without a race. In the simulation (150 ms delays, 2 s
  period) that ends the 3 to 8 of 100 blocks that were sealed in vain with all signers up; with a quarter of
  the signers lost, a block takes 0.1 to 0.2 s longer on average.
- A block that was signed is published whatever came between, and after a restart again unless it is the head:
  the guard goes by weight, and a heavy block that nobody has would keep its author from signing lighter ones.
- After a refusal the same block, and no other, is offered for signing again: a key store that was out of
  reach may be back, and a guard that refuses goes on refusing. A new head ends that.
- Where empty blocks are switched off, one is made all the same if it carries a vote not cast before.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from consensus.clique.extra_data import seal_hash, sealed, unsealed
from consensus.clique.rules import IN_TURN, NONCE_AUTHORISE, NONCE_DROP, OUT_OF_TURN, CliqueRules
from consensus.clique.snapshot import CliqueSnapshot
from consensus.effects import (
    BuildBlock,
    CancelTimer,
    Effect,
    PersistProposals,
    SealBlock,
    SetTimer,
    Sign,
    StopBuilding,
)
from consensus.events import (
    BlockBuilt,
    BlockComing,
    Event,
    LastSigned,
    NewHead,
    NothingToBuild,
    Proposed,
    Signed,
    SigningRefused,
    TimerFired,
    TransactionsWaiting,
)
from consensus.proposals import StandingProposals, cast_at
from node.primitives.block import Block, Header
from node.primitives.chain_spec import CliqueSpec
from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH, Address, Hash32, hex_of

SIGN_KIND: Final = "clique-header"
DELAY_PER_SIGNER_MS: Final = 500
"""geth's wiggle time: out of turn, up to this for each of floor(N / 2) + 1 signers."""
HEAD_START_PERIODS: Final = 0.25
HEAD_START_MS_MIN: Final = 200
HEAD_START_MS_MAX: Final = 500
"""The head start of the signer in turn: a part of the period, long enough for its block to arrive."""
SIGN_RETRY_MS: Final = 5_000
UNANSWERED_MAX: Final = 16
"""Blocks kept for a signer that does not answer; the oldest is given up."""
BUILD_LEAD_MS: Final = 1_000
OUT_OF_TURN_LEAD_MS: Final = 250
"""As long as executing what waits takes mostly; a block that takes longer is signed later."""


@dataclass(frozen=True, slots=True)
class _Resting:
    """This node makes no block on this head, or has made it."""

    why: str


@dataclass(frozen=True, slots=True)
class _Waiting:
    """For the time to build."""

    timer: str
    in_turn: bool


@dataclass(frozen=True, slots=True)
class _Building:
    """For the builder's answer."""

    request: BuildBlock


@dataclass(frozen=True, slots=True)
class _Starved:
    """For a transaction."""


@dataclass(frozen=True, slots=True)
class _Holding:
    """A built block, for the time to sign it."""

    timer: str
    block: Block


@dataclass(frozen=True, slots=True)
class _Signing:
    """For the signer's answer."""

    digest: Hash32


@dataclass(frozen=True, slots=True)
class _Refused:
    """For the time to offer the same block for signing again."""

    timer: str
    block: Block
    reason: str


_Stage: TypeAlias = _Resting | _Waiting | _Building | _Starved | _Holding | _Signing | _Refused


class CliqueEngine:
    """One signer's side of Clique: events in, ordered effects out. Driver's duties: package `consensus`."""

    def __init__(
        self,
        spec: CliqueSpec,
        signer: Address,
        vanity: bytes = b"",
        empty_blocks: bool = True,
        proposals: Iterable[tuple[Address, bool]] = (),
        build_lead_ms: int = BUILD_LEAD_MS,
        out_of_turn_lead_ms: int | None = None,
    ) -> None:
        """`vanity` opens the extra data of each block (32 bytes); `proposals` are those persisted last.

        `build_lead_ms`: how long before signing a block is built, at most a period: the builder's budget and
        a margin for the state root. `out_of_turn_lead_ms`: the same out of turn; None for as long.
        """
        self._spec = spec
        self._signer = signer
        self._vanity = vanity
        self._empty_blocks = empty_blocks and spec.period_s > 0
        self._lead_ms = min(build_lead_ms, spec.period_s * 1000)
        late_ms = self._lead_ms if out_of_turn_lead_ms is None else out_of_turn_lead_ms
        self._out_of_turn_lead_ms = min(self._lead_ms, late_ms)
        self._proposals = StandingProposals(proposals)
        self._is_checkpoint = CliqueRules(spec).is_checkpoint
        self._head: Header | None = None
        self._state: CliqueSnapshot | None = None
        self._stage: _Stage = _Resting("no head is known yet")
        self._gave_way_on: Hash32 | None = None
        self._asked: dict[Hash32, Block] = {}
        """Blocks by the digest that the signer was asked to sign and has not answered."""

    @property
    def proposals(self) -> tuple[tuple[Address, bool], ...]:
        """The operator's standing proposals: (validator, admit or drop), ascending."""
        return self._proposals.items()

    @property
    def status(self) -> str:
        """What the engine does or waits for, in words."""
        match self._stage:
            case _Resting(why):
                return why
            case _Waiting(_, in_turn):
                return "waits for its slot" if in_turn else "waits whether the signer in turn seals"
            case _Building():
                return "builds a block"
            case _Starved():
                return "waits for a transaction; empty blocks are switched off"
            case _Holding(_, block):
                return f"has built block {block.number} and waits for its slot"
            case _Signing():
                return "waits for the signature of its block"
            case _Refused(_, block, reason):
                return f"was refused a signature for block {block.number}: {reason}"

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        """React to one event at a Unix time in milliseconds; ProposalRefused has changed nothing."""
        match event:
            case NewHead(header, state):
                assert isinstance(state, CliqueSnapshot)
                return self._new_head(header, state, now_ms)
            case BlockComing(header):
                return self._coming(header, now_ms)
            case TimerFired(name):
                return self._timer_fired(name, now_ms)
            case BlockBuilt(block):
                return self._built(block, now_ms)
            case NothingToBuild(parent_hash):
                if isinstance(self._stage, _Building) and self._stage.request.parent.hash == parent_hash:
                    self._stage = _Starved()
                return []
            case TransactionsWaiting():
                return self._plan(now_ms) if isinstance(self._stage, _Starved) else []
            case Signed(digest, signature):
                return self._signed(digest, signature)
            case SigningRefused(digest, reason):
                return self._refused(digest, reason, now_ms)
            case LastSigned(block, signature):
                return self._finish(block, signature)
            case Proposed(validator, authorise):
                return self._propose(validator, authorise, now_ms)

    # --- planning

    def _new_head(self, header: Header, state: CliqueSnapshot, now_ms: int) -> list[Effect]:
        effects = self._drop_work()
        self._head, self._state = header, state
        if self._proposals.observe(header, state.signers):
            effects.append(PersistProposals(self._proposals.items()))
        return effects + self._plan(now_ms)

    def _drop_work(self) -> list[Effect]:
        timer = self._stage.timer if isinstance(self._stage, _Waiting | _Holding | _Refused) else None
        self._stage = _Resting("dropped its work for a new head")
        return [] if timer is None else [CancelTimer(timer)]

    def _coming(self, header: Header, now_ms: int) -> list[Effect]:
        """Wait anew for a block that is being executed, once: who signs bad ones must not stop the others."""
        head_hash = None if self._head is None else self._head.hash
        if header.parent_hash != head_hash or self._gave_way_on == head_hash:
            return []
        effects: list[Effect] = []
        match self._stage:
            case _Building(request) if request.difficulty == OUT_OF_TURN:
                effects = [StopBuilding()]
            case _Waiting(_, in_turn=False):
                pass
            case _Holding(_, block) if block.header.difficulty == OUT_OF_TURN:
                pass
            case _:
                return []
        self._gave_way_on = head_hash
        return [*effects, *self._drop_work(), *self._plan(now_ms)]

    def _plan(self, now_ms: int) -> list[Effect]:
        """What to do on the present head, from nothing done yet."""
        assert self._head is not None
        assert self._state is not None
        distance = self._state.distance(self._head.number + 1, self._signer)
        if distance is None:
            self._stage = _Resting(f"{hex_of(self._signer)} is no signer")
            return []
        last = self._state.last_signed(self._signer)
        if last is not None:
            self._stage = _Resting(
                f"signed block {last}; one of any {self._state.limit} in a row is the limit"
            )
            return []
        # A slot long past is no reason for everybody to seal at once: delays count from now on.
        due_ms = max(self._slot_s() * 1000, now_ms)
        if distance == 0 and due_ms - self._lead_ms <= now_ms:
            return self._build(due_ms, now_ms)
        self._stage = _Waiting(f"build on {self._head.ref}", in_turn=distance == 0)
        if distance == 0:
            return [SetTimer(self._stage.timer, due_ms - self._lead_ms)]
        at_ms = due_ms + self._head_start_ms() - self._out_of_turn_lead_ms
        return [SetTimer(self._stage.timer, at_ms, jitter_ms_max=self._state.limit * DELAY_PER_SIGNER_MS)]

    def _slot_s(self) -> int:
        assert self._head is not None
        return self._head.timestamp + self._spec.period_s

    def _head_start_ms(self) -> int:
        share_ms = int(self._spec.period_s * 1000 * HEAD_START_PERIODS)
        return max(HEAD_START_MS_MIN, min(share_ms, HEAD_START_MS_MAX))

    def _timer_fired(self, name: str, now_ms: int) -> list[Effect]:
        """A timer that no stage waits for was overtaken by a new head."""
        match self._stage:
            case _Waiting(timer, in_turn) if timer == name:
                slot_ms = self._slot_s() * 1000
                sign_at_ms = now_ms if in_turn else now_ms + self._out_of_turn_lead_ms
                return self._build(max(slot_ms, sign_at_ms), now_ms)
            case _Holding(timer, block) | _Refused(timer, block, _) if timer == name:
                return self._sign(block)
            case _:
                return []

    # --- building and signing

    def _build(self, due_ms: int, now_ms: int) -> list[Effect]:
        assert self._head is not None
        assert self._state is not None
        number = self._head.number + 1
        checkpoint = self._is_checkpoint(number)
        vote = None
        if not checkpoint:
            vote = self._proposals.next_vote(self._signer, self._state.signers, self._state.votes)
        target, authorise = vote or (ZERO_ADDRESS, False)
        fresh_vote = vote is not None and cast_at(self._state.votes, self._signer, target) is None
        in_turn = self._state.distance(number, self._signer) == 0
        request = BuildBlock(
            parent=self._head,
            timestamp=max(self._slot_s(), now_ms // 1000),
            author=self._signer,
            beneficiary=target,
            nonce=NONCE_AUTHORISE if authorise else NONCE_DROP,
            difficulty=IN_TURN if in_turn else OUT_OF_TURN,
            extra_data=unsealed(self._vanity, self._state.signers if checkpoint else ()),
            mix_hash=ZERO_HASH,
            allow_empty=self._empty_blocks or fresh_vote,
            deadline_ms=due_ms,
        )
        self._stage = _Building(request)
        return [request]

    def _built(self, block: Block, now_ms: int) -> list[Effect]:
        match self._stage:
            case _Building(request) if _answers(block.header, request):
                if request.deadline_ms <= now_ms:
                    return self._sign(block)
                self._stage = _Holding(f"sign on {request.parent.ref}", block)
                return [SetTimer(self._stage.timer, request.deadline_ms)]
            case _:
                return []

    def _sign(self, block: Block) -> list[Effect]:
        digest = seal_hash(block.header)
        self._asked[digest] = block
        while len(self._asked) > UNANSWERED_MAX:
            self._asked.pop(next(iter(self._asked)))
        self._stage = _Signing(digest)
        return [
            Sign(
                kind=SIGN_KIND,
                height=block.number,
                round_number=0,
                digest=digest,
                header=block.header,
                block=block,
            )
        ]

    def _signed(self, digest: Hash32, signature: bytes) -> list[Effect]:
        block = self._asked.pop(digest, None)
        if block is None:
            return []
        if self._stage == _Signing(digest):
            self._stage = _Resting(f"sealed block {block.number}")
        return [SealBlock(Block(sealed(block.header, signature), block.body))]

    def _refused(self, digest: Hash32, reason: str, now_ms: int) -> list[Effect]:
        block = self._asked.pop(digest, None)
        if block is None or self._stage != _Signing(digest):
            return []
        self._stage = _Refused(f"sign again on #{block.number - 1}", block, reason)
        return [SetTimer(self._stage.timer, now_ms + SIGN_RETRY_MS)]

    def _finish(self, block: Block, signature: bytes) -> list[Effect]:
        """Publish what was signed before the restart: it may never have left this process.

        Mostly the chain has it, and the importer knows. A block far above the head was signed when this
        database was further on than it is now; its parent is missing, so it has to come from the others.
        """
        head = self._head
        if head is None or block.number > head.number + 1 or seal_hash(block.header) == seal_hash(head):
            return []
        effects: list[Effect] = []
        if block.header.parent_hash == head.hash:
            effects = self._drop_work()
            self._stage = _Resting(f"signed block {block.number} before it was started again")
        return [*effects, SealBlock(Block(sealed(block.header, signature), block.body))]

    # --- proposals

    def _propose(self, target: Address, authorise: bool | None, now_ms: int) -> list[Effect]:
        if authorise is None:
            changed = self._proposals.withdraw(target)
        else:
            self._proposals.propose(target, authorise, self._state.signers if self._state else None)
            changed = True
        effects: list[Effect] = [PersistProposals(self._proposals.items())] if changed else []
        # A vote is worth a block of its own where empty blocks are switched off.
        return effects + self._plan(now_ms) if isinstance(self._stage, _Starved) else effects


def _answers(header: Header, request: BuildBlock) -> bool:
    """Whether the block is the one asked for; a late answer to an earlier request is not."""
    return (
        header.parent_hash == request.parent.hash
        and header.timestamp == request.timestamp
        and header.beneficiary == request.beneficiary
        and header.nonce == request.nonce
        and header.difficulty == request.difficulty
        and header.extra_data == request.extra_data
    )
