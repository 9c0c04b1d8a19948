"""Nodes in memory: real headers, seals and wire bytes; chain, pool and links that tests can bend."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Any

import trio

from consensus.clique.extra_data import unsealed
from consensus.clique.rules import IN_TURN, OUT_OF_TURN, CliqueRules
from consensus.clique.snapshot import CliqueSnapshot
from consensus.fork_choice import Candidate, better
from node.chain.errors import InvalidBlock, UnknownParent
from node.chain.validation import transactions_root, verify_body
from node.config.settings import PoolSettings
from node.primitives.block import Block, Body, Header
from node.primitives.chain_spec import ChainSpec, CliqueSpec, Fork, ForkChoice, GenesisHeader
from node.primitives.errors import ChainError
from node.primitives.ids import Hash32
from node.primitives.receipt import Receipt
from node.primitives.transaction import Transaction, TransactionType, recover_senders
from node.sync.sync import Sync
from node.txpool.pool import TransactionPool
from p2p.errors import PENALTY_BAN, PeerGone, PeerTimeout
from p2p.eth.messages import (
    BlockBodies,
    BlockHeaders,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    Message,
    PooledTransactions,
    Receipts,
    decode_message,
    encode_message,
)
from p2p.eth.status import ForkId, Status
from tests.consensus.chains import address, genesis, name_of, seal
from tests.txpool.world import CHAIN_ID, Ledger, signed

SIGNERS = "ABC"
CLIQUE = CliqueSpec(period_s=2, fork_choice=ForkChoice.TOTAL_ORDER)
RULES = CliqueRules(CLIQUE)
GENESIS = genesis(SIGNERS)
SPEC = ChainSpec(
    chain_id=CHAIN_ID,
    forks=((0, Fork.LONDON),),
    engine=CLIQUE,
    genesis=GenesisHeader(extra_data=GENESIS.extra_data, difficulty=1, gas_limit=GENESIS.gas_limit),
    alloc={},
)
REQUEST_TIMEOUT_S = 10.0
NOW_S = 2_000_000_000.0
"""Unix time in these tests: later than every block."""


# --- chains


@dataclass
class Branch:
    """Blocks on top of each other, from genesis on, and the engine's state after each."""

    blocks: list[Block] = field(default_factory=lambda: [Block(GENESIS, Body())])
    states: list[CliqueSnapshot] = field(default_factory=lambda: [RULES.initial(GENESIS)])

    def fork(self, number: int) -> "Branch":
        """A copy up to and with a block."""
        return Branch(self.blocks[: number + 1], self.states[: number + 1])

    def grow(
        self,
        count: int,
        transactions: Callable[[int], Sequence[Transaction]] = lambda _: (),
        *,
        out_of_turn: bool = False,
    ) -> "Branch":
        """Add blocks, sealed in turn, or by whoever else may; returns itself."""
        for _ in range(count):
            self.blocks.append(self.next_block(transactions(len(self.blocks)), out_of_turn=out_of_turn))
            parent, header = self.blocks[-2].header, self.blocks[-1].header
            self.states.append(RULES.advance(self.states[-1], parent, header))
        return self

    def next_block(
        self,
        transactions: Sequence[Transaction] = (),
        *,
        out_of_turn: bool = False,
        salt: bytes = b"",
        **fields: Any,
    ) -> Block:
        """A block for the top, not added yet; `fields` replace header fields before it is sealed."""
        parent, state = self.blocks[-1].header, self.states[-1]
        number = parent.number + 1
        turns = {name: state.distance(number, address(name)) for name in SIGNERS}
        names = [name for name in sorted(turns, key=turns.__getitem__) if _may_sign(self, name)]
        author = next(name for name in names if turns[name] or not out_of_turn)
        header = replace(
            parent,
            parent_hash=parent.hash,
            number=number,
            timestamp=parent.timestamp + 2,
            difficulty=OUT_OF_TURN if turns[author] else IN_TURN,
            transactions_root=transactions_root(transactions),
            gas_used=21_000 * len(transactions),
            extra_data=unsealed(salt),
            **fields,
        )
        return Block(seal(header, author), Body(tuple(transactions)))

    @property
    def head(self) -> Block:
        """The top."""
        return self.blocks[-1]

    @property
    def total_difficulty(self) -> int:
        """Of the top."""
        return sum(block.header.difficulty for block in self.blocks)


def _may_sign(branch: Branch, name: str) -> bool:
    recent = {name_of(RULES.author(block.header)) for block in branch.blocks[-1:] if block.number}
    return name not in recent


@cache
def long_chain(count: int) -> Branch:
    """A chain of so many blocks, the same in every test; every fifth has transactions."""

    def some(number: int) -> Sequence[Transaction]:
        return [cached_transaction(number * 2 + place) for place in range(number % 5 == 0 and 1 + number % 3)]

    return Branch().grow(count, some)


@cache
def cached_transaction(nonce: int) -> Transaction:
    """One of many transactions of one sender; some have data."""
    from tests.txpool.world import key_of

    return signed(key_of(0), nonce, data=bytes(nonce % 7 * 20), gas=100_000, kind=TransactionType(nonce % 3))


class FakeChain:
    """Chain, Door and HeaderRules over dictionaries: verifies headers and bodies, executes nothing."""

    def __init__(self, branch: Branch | None = None, import_s: float = 0.0) -> None:
        """With all blocks of `branch`; an import takes `import_s` per block."""
        self.spec = SPEC
        self.head = GENESIS
        self.headers = {GENESIS.hash: GENESIS}
        self.bodies = {GENESIS.hash: Body()}
        self.difficulties = {GENESIS.hash: GENESIS.difficulty}
        self.states: dict[Hash32, CliqueSnapshot] = {GENESIS.hash: RULES.initial(GENESIS)}
        self.canonical = [GENESIS.hash]
        self.import_s = import_s
        self.invalid: set[Hash32] = set()
        """Blocks whose execution gives another result than their header says."""
        self.runs: list[int] = []
        """Sizes of the runs imported."""
        self.watch: Callable[[], None] = lambda: None
        """Called at every import."""
        for block, state in zip(branch.blocks, branch.states, strict=True) if branch else ():
            self._keep(block, state)

    # Chain

    def header(self, block_hash: Hash32) -> Header | None:
        return self.headers.get(block_hash)

    def canonical_hash(self, number: int) -> Hash32 | None:
        return self.canonical[number] if number < len(self.canonical) else None

    def body(self, block_hash: Hash32) -> Body | None:
        return self.bodies.get(block_hash)

    def receipts(self, block_hash: Hash32) -> tuple[Receipt, ...] | None:
        return () if block_hash in self.headers else None

    def total_difficulty(self, block_hash: Hash32) -> int | None:
        return self.difficulties.get(block_hash)

    # HeaderRules

    def state_after(self, header: Header) -> CliqueSnapshot:
        return self.states[header.hash]

    def advance(self, state: CliqueSnapshot, parent: Header, header: Header) -> CliqueSnapshot:
        return RULES.advance(state, parent, header)

    # Door

    async def recover_senders(self, transactions: Iterable[Transaction]) -> None:
        recover_senders(transactions)

    async def import_block(self, block: Block) -> None:
        await self.import_run((block,))

    async def import_run(self, blocks: Sequence[Block]) -> None:
        self.watch()
        for block in blocks:
            await trio.sleep(self.import_s)
            header = block.header
            if header.hash in self.headers:
                continue
            parent = self.headers.get(header.parent_hash)
            if parent is None:
                raise UnknownParent(header.ref, header.parent_hash)
            try:
                state = RULES.advance(self.states[parent.hash], parent, header)
            except ChainError as error:
                raise InvalidBlock(str(error)) from error
            verify_body(header, block.body)
            if header.hash in self.invalid:
                raise InvalidBlock(f"block {header.ref}: wrong state root")
            self._keep(block, state)
        self.runs.append(len(blocks))

    def _keep(self, block: Block, state: CliqueSnapshot) -> None:
        header = block.header
        self.headers[header.hash], self.bodies[header.hash] = header, block.body
        self.states[header.hash] = state
        if header.number:
            self.difficulties[header.hash] = self.difficulties[header.parent_hash] + header.difficulty
        if better(self._candidate(header), self._candidate(self.head), CLIQUE.fork_choice):
            self._move(header)

    def _candidate(self, header: Header) -> Candidate:
        distance = RULES.turn_distance(self.states[header.hash]) if header.number else 0
        return Candidate(
            ref=header.ref, total_difficulty=self.difficulties[header.hash], turn_distance=distance
        )

    def _move(self, header: Header) -> None:
        self.head = header
        branch = []
        while header.number >= len(self.canonical) or self.canonical[header.number] != header.hash:
            branch.append(header.hash)
            header = self.headers[header.parent_hash]
        del self.canonical[header.number + 1 :]
        self.canonical += reversed(branch)


# --- links

Answer = Callable[[Any], "Message | None"]


def status_of(chain: FakeChain, **fields: Any) -> Status:
    """What a node with this chain says of itself."""
    head = chain.head
    status = Status(
        68, CHAIN_ID, chain.difficulties[head.hash], head.hash, GENESIS.hash, ForkId(b"\0\0\0\0", 0)
    )
    return replace(status, **fields)


class End:
    """One side's Connection to the other side; messages travel as wire bytes and take `latency_s`."""

    def __init__(self, name: str, status: Status, latency_s: float) -> None:
        self.id = name.encode().ljust(64, b".")
        self.name = name
        self.status = status
        self.latency_s = latency_s
        self.other: End
        self.points = 0.0
        self.reasons: list[str] = []
        self.sent: list[Message] = []
        """All that was sent over this end, answers and requests too."""
        self.gone = trio.Event()
        self._inbox_in, self._inbox = trio.open_memory_channel[Message](10_000)
        self._wire_in, self._wire = trio.open_memory_channel[tuple[float, Message]](10_000)
        trio.lowlevel.spawn_system_task(self._deliver)
        self._waiting: dict[int, tuple[trio.Event, list[Message]]] = {}
        self._last_id = 0

    def __repr__(self) -> str:
        return f"<{self.name}>"

    async def request(self, message: Any) -> Any:
        """See Connection."""
        if self.gone.is_set():
            raise PeerGone("gone")
        self._last_id += 1
        arrived, box = trio.Event(), []
        self._waiting[self._last_id] = arrived, box
        self.send(replace(message, request_id=self._last_id))
        with trio.move_on_after(REQUEST_TIMEOUT_S):
            await arrived.wait()
        if self.gone.is_set():
            raise PeerGone("gone")
        if not box:
            del self._waiting[self._last_id]
            self.penalise(10, "no answer")
            raise PeerTimeout("no answer")
        return box[0]

    def send(self, message: Message) -> bool:
        """See Connection."""
        return self.send_encoded(*encode_message(message))

    def send_encoded(self, code: int, payload: bytes) -> bool:
        """See Connection."""
        message = decode_message(code, payload)
        self.sent.append(message)
        if self.gone.is_set():
            return False
        self._wire_in.send_nowait((trio.current_time() + self.latency_s, message))
        return True

    async def wait_writable(self) -> None:
        """See Connection."""
        await trio.lowlevel.checkpoint()

    async def _deliver(self) -> None:
        """Bring what was sent to the other side, in order, each after its time."""
        async for due_s, message in self._wire:
            await trio.sleep_until(due_s)
            self.other.arrive(message)

    def arrive(self, message: Message) -> None:
        """A message from the other side."""
        if isinstance(message, BlockHeaders | BlockBodies | PooledTransactions | Receipts):
            waiting = self._waiting.pop(message.request_id, None)
            if waiting is not None:
                waiting[1].append(message)
                waiting[0].set()
        elif not self.gone.is_set():
            self._inbox_in.send_nowait(message)

    async def receive(self) -> Message:
        """See Connection."""
        async with trio.open_nursery() as nursery:
            received: list[Message] = []

            async def take() -> None:
                received.append(await self._inbox.receive())
                nursery.cancel_scope.cancel()

            nursery.start_soon(take)
            await self.gone.wait()
            nursery.cancel_scope.cancel()
        if received:
            return received[0]
        raise PeerGone("gone")

    def penalise(self, points: float, reason: str) -> None:
        """See Connection."""
        self.points += points
        self.reasons.append(reason)
        if self.points >= PENALTY_BAN:
            self.close()

    def close(self) -> None:
        """Both sides are gone."""
        for end in (self, self.other):
            end.gone.set()
            for arrived, _ in end._waiting.values():
                arrived.set()


def linked(
    name: str, status: Status, other_name: str, other_status: Status, latency_s: float = 0.001
) -> tuple[End, End]:
    """Two ends: what the first node holds (named for the second), and the other way round."""
    ours, theirs = End(other_name, other_status, latency_s), End(name, status, latency_s)
    ours.other, theirs.other = theirs, ours
    return ours, theirs


# --- nodes


class Node:
    """A Sync over a FakeChain and a real pool."""

    def __init__(self, name: str, nursery: trio.Nursery, branch: Branch | None = None, **chain: Any) -> None:
        self.name = name
        self.nursery = nursery
        self.chain = FakeChain(branch, **chain)
        self.ledger = Ledger()
        self.pool = TransactionPool(
            PoolSettings(), SPEC, self.chain.head, self.ledger, clock=trio.current_time
        )
        self.sync = Sync(
            self.chain, self.chain, self.pool, self.chain, random=Random(name), unix_time=lambda: NOW_S
        )
        self.ends: dict[str, End] = {}
        self.failures: list[BaseException] = []

    async def start(self) -> "Node":
        """Begin to run."""
        await self.nursery.start(self.sync.run)
        return self

    def connect(self, other: "Node", latency_s: float = 0.001) -> End:
        """Link with another node; our end."""
        ours, theirs = linked(self.name, status_of(self.chain), other.name, status_of(other.chain), latency_s)
        self.serve(ours)
        other.serve(theirs)
        return ours

    def meet(self, name: str, status: Status, answer: Answer, latency_s: float = 0.001) -> End:
        """Link with a scripted peer: our end. `answer` maps requests to answers, None stays silent."""
        ours, theirs = linked(self.name, status_of(self.chain), name, status, latency_s)
        self.serve(ours)
        self.nursery.start_soon(play, theirs, answer)
        return ours

    def serve(self, end: End) -> None:
        """Serve a peer as the pool of peers would: its faults end the connection and nothing else."""
        self.ends[end.name] = end
        self.nursery.start_soon(self._serve, end)

    async def _serve(self, end: End) -> None:
        try:
            await self.sync.serve_peer(end)
        except* PeerGone:
            pass
        except* ChainError as group:
            self.failures += group.exceptions
            end.points += 50
            end.reasons += [str(error) for error in group.exceptions]
        finally:
            end.close()


async def play(end: End, answer: Answer) -> None:
    """Answer requests by a script until the link is gone."""
    while True:
        try:
            message = await end.receive()
        except PeerGone:
            return
        if isinstance(message, GetBlockHeaders | GetBlockBodies | GetReceipts | GetPooledTransactions):
            given = answer(message)
            if given is not None:
                end.send(replace(given, request_id=message.request_id))


async def until(condition: Callable[[], object], within_s: float = 600.0) -> None:
    """Wait in virtual time until a condition holds; AssertionError after `within_s`."""
    with trio.move_on_after(within_s):
        while not condition():  # noqa: ASYNC110 - conditions span many objects
            await trio.sleep(0.01)
        return
    raise AssertionError("the condition did not come true")


async def inline(work: Callable[..., Any], *arguments: Any, limiter: Any = None, **_: Any) -> Any:
    """Stands in for trio.to_thread.run_sync: virtual time must not run on while a thread works."""
    async with limiter or trio.CapacityLimiter(1):
        return work(*arguments)


Run = Callable[[trio.Nursery], Awaitable[None]]
