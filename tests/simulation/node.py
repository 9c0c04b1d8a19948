"""One node: a real engine and real rules over a toy store, doing the driver's duties in simulated time.

Headers only; nothing is executed. What a process loses when it stops is lost here too; what it has on disk
(headers, head, the guard's record, proposals) is kept.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Protocol

from consensus.clique.engine import CliqueEngine
from consensus.clique.extra_data import SEAL_BYTES, seal_hash
from consensus.clique.rules import CliqueRules
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
from consensus.errors import ProposalRefused
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
from consensus.fork_choice import Candidate, better, worth_asking
from node.primitives.block import Block, Body, Header
from node.primitives.chain_spec import CliqueSpec
from node.primitives.ids import Address, Hash32
from tests.consensus import chains
from tests.simulation.checkers import Broken
from tests.simulation.network import Ask, Branch, Message, Network, NewBlock, Status
from tests.simulation.options import GuardRule, Options
from tests.simulation.timeline import Timeline

BRANCH_HEADERS_MAX = 1_000
TRANSACTION_WAIT_MS_MAX = 3_000


class Watcher(Protocol):
    """Sees what nodes do, and fails the history when it is wrong."""

    def signed(self, node: str, header: Header, digest: Hash32, weight: int) -> None:
        """A signature left the guard."""
        ...

    def stored(self, node: str, header: Header, state: CliqueSnapshot) -> None:
        """A header was verified."""
        ...

    def tell(self, node: str, text: str) -> None:
        """A line of the history."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """What all nodes share."""

    timeline: Timeline
    network: Network
    random: Random
    options: Options
    spec: CliqueSpec
    rules: CliqueRules
    genesis: Header
    watcher: Watcher


@dataclass(frozen=True, slots=True)
class Record:
    """What the guard keeps of the last signature."""

    weight: int
    digest: Hash32
    signature: bytes
    block: Block


@dataclass(slots=True)
class Disk:
    """What survives."""

    headers: dict[Hash32, Header]
    states: dict[Hash32, CliqueSnapshot]
    weights: dict[Hash32, int]
    """Total difficulty by block hash."""
    head: Header
    record: Record | None = None
    proposals: tuple[tuple[Address, bool], ...] = ()


@dataclass(slots=True)
class Process:
    """What does not survive; deeds planned for an older process find that they are not of this one."""

    engine: CliqueEngine
    events: deque[Event] = field(default_factory=deque)
    busy: bool = False
    timers: dict[str, int] = field(default_factory=dict)
    timers_set: int = 0


class Node:
    """A member of the network; a signer as soon as the chain says so."""

    def __init__(self, name: str, world: World) -> None:
        self.name = name
        self.address = chains.address(name)
        self.running = False
        self.sealing = True
        """Switched off to let a network come to rest."""
        self._world = world
        self._skew_ms = world.random.uniform(-world.options.skew_ms_max, world.options.skew_ms_max)
        genesis = world.genesis
        self.disk = Disk(
            headers={genesis.hash: genesis},
            states={genesis.hash: world.rules.initial(genesis)},
            weights={genesis.hash: genesis.difficulty},
            head=genesis,
        )
        self._process: Process | None = None

    # --- life

    def start(self) -> None:
        """Start from what the disk has."""
        options = self._world.options
        engine = CliqueEngine(
            self._world.spec,
            self.address,
            vanity=self.name.encode(),
            empty_blocks=options.empty_blocks,
            proposals=self.disk.proposals,
            build_lead_ms=options.lead_ms,
            out_of_turn_lead_ms=options.out_of_turn_lead_ms,
        )
        self._process = Process(engine)
        self.running = True
        self._tell(f"starts at {self.disk.head.ref}")
        self._feed(NewHead(self.disk.head, self.disk.states[self.disk.head.hash]))
        if self.disk.record is not None:
            self._feed(LastSigned(self.disk.record.block, self.disk.record.signature))
        if self.running:
            self._world.network.join(self)

    def stop(self) -> None:
        """As a power cut does it."""
        self._tell("stops")
        self._process = None
        self.running = False

    def propose(self, target: str, authorise: bool) -> None:
        """As the operator does it, who takes a refusal for an answer."""
        try:
            self._feed(Proposed(chains.address(target), authorise))
            self._tell(f"proposes to {'admit' if authorise else 'drop'} {target}")
        except ProposalRefused as refusal:
            self._tell(f"refuses the proposal about {target}: {refusal}")

    def preload(self, headers: list[Header]) -> None:
        """Put a branch on the disk before the start, and into the guard what this node has signed of it."""
        for header in headers:
            if header.hash in self.disk.headers:
                continue
            self._store(header)
            if self._world.rules.author(header) == self.address:
                signature = header.extra_data[-SEAL_BYTES:]
                weight = self.disk.weights[header.hash]
                self.disk.record = Record(weight, seal_hash(header), signature, Block(header, Body()))

    @property
    def proposals(self) -> tuple[tuple[Address, bool], ...]:
        """Of the running engine."""
        assert self._process is not None
        return self._process.engine.proposals

    @property
    def status(self) -> str:
        """Of the running engine, in words."""
        return "down" if self._process is None else self._process.engine.status

    # --- network

    def meet(self, peer: str) -> None:
        """A new connection: each side tells where it stands."""
        head = self.disk.head.hash
        self._world.network.send(self.name, peer, Status(head, self.disk.weights[head]))

    def receive(self, sender: str, message: Message) -> None:
        """A message arrives."""
        match message:
            case Status(head, total_difficulty):
                rule = self._world.options.fork_choice
                if head not in self.disk.headers and worth_asking(
                    total_difficulty, self._candidate(self.disk.head), rule
                ):
                    self._world.network.send(self.name, sender, Ask(head))
            case NewBlock(header):
                if header.parent_hash in self.disk.headers:
                    if self._world.options.gives_way:
                        self._feed(BlockComing(header))
                    self._later(self._world.random.uniform(1, 30), lambda: self._take(header))
                elif header.hash not in self.disk.headers:
                    self._world.network.send(self.name, sender, Ask(header.hash))
            case Ask(head):
                self._world.network.send(self.name, sender, Branch(self._branch(head)))
            case Branch(headers):
                for header in headers:
                    self._take(header)

    def _branch(self, head: Hash32) -> tuple[Header, ...]:
        branch: list[Header] = []
        while head in self.disk.headers and len(branch) < BRANCH_HEADERS_MAX:
            branch.append(self.disk.headers[head])
            head = branch[-1].parent_hash
        return tuple(reversed(branch))

    # --- the one door in

    def _take(self, header: Header) -> None:
        if not self.running or header.hash in self.disk.headers:
            return
        early_ms = header.timestamp * 1000 - self._clock_ms()
        if early_ms > 0:
            # Before the look for the parent, which may be waiting for its time as well.
            self._later(early_ms + 1, lambda: self._take(header))
            return
        if header.parent_hash in self.disk.headers and self._store(header):
            self._tell(f"head {self._describe(header)}")
            self._world.network.broadcast(self.name, NewBlock(header))
            self._feed(NewHead(header, self.disk.states[header.hash]))

    def _store(self, header: Header) -> bool:
        """Verify and keep a header; whether it is the head now."""
        disk = self.disk
        parent = disk.headers[header.parent_hash]
        state = self._world.rules.advance(disk.states[parent.hash], parent, header)
        self._world.watcher.stored(self.name, header, state)
        disk.headers[header.hash] = header
        disk.states[header.hash] = state
        disk.weights[header.hash] = disk.weights[parent.hash] + header.difficulty
        rule = self._world.options.fork_choice
        if better(self._candidate(header), self._candidate(disk.head), rule):
            disk.head = header
            return True
        return False

    def _candidate(self, header: Header) -> Candidate:
        return Candidate(
            ref=header.ref,
            total_difficulty=self.disk.weights[header.hash],
            turn_distance=self._world.rules.turn_distance(self.disk.states[header.hash]),
        )

    # --- the driver's duties

    def _feed(self, event: Event) -> None:
        """One event after the other, all effects of one before the next."""
        process = self._process
        if process is None:
            return
        process.events.append(event)
        if process.busy:
            return
        process.busy = True
        try:
            while process.events and process is self._process:
                for effect in process.engine.handle(process.events.popleft(), int(self._clock_ms())):
                    if process is self._process:
                        self._perform(process, effect)
        finally:
            process.busy = False

    def _perform(self, process: Process, effect: Effect) -> None:
        match effect:
            case SetTimer(name, at_ms, jitter_ms_max):
                self._set_timer(process, name, at_ms, jitter_ms_max)
            case CancelTimer(name):
                process.timers.pop(name, None)
            case BuildBlock():
                self._later(
                    self._world.random.uniform(1, self._world.options.build_ms_max),
                    lambda: self._build(effect),
                )
            case StopBuilding():
                pass  # the answer comes all the same: a driver may be done already
            case Sign():
                self._later(
                    self._world.random.uniform(0, self._world.options.sign_ms_max), lambda: self._sign(effect)
                )
            case SealBlock(block):
                self._tell(f"seals {self._describe(block.header)}")
                self._take(block.header)
            case PersistProposals(proposals):
                self.disk.proposals = proposals

    def _set_timer(self, process: Process, name: str, at_ms: int, jitter_ms_max: int) -> None:
        process.timers_set += 1
        mark = process.timers[name] = process.timers_set

        def fire() -> None:
            if process.timers.get(name) == mark:
                del process.timers[name]
                self._feed(TimerFired(name))

        jitter_ms = self._world.random.uniform(0, jitter_ms_max)
        self._later(at_ms + jitter_ms - self._clock_ms(), fire)

    def _build(self, request: BuildBlock) -> None:
        if not self.sealing:
            return
        if (
            not request.allow_empty
            and self._world.random.random() < self._world.options.no_transaction_chance
        ):
            self._feed(NothingToBuild(request.parent.hash))
            self._later(
                self._world.random.uniform(0, TRANSACTION_WAIT_MS_MAX),
                lambda: self._feed(TransactionsWaiting()),
            )
            return
        header = replace(
            request.parent,
            parent_hash=request.parent.hash,
            number=request.parent.number + 1,
            timestamp=request.timestamp,
            beneficiary=request.beneficiary,
            nonce=request.nonce,
            difficulty=request.difficulty,
            extra_data=request.extra_data,
        )
        self._feed(BlockBuilt(Block(header, Body())))

    def _sign(self, request: Sign) -> None:
        """The guarded signer: remember first, then sign."""
        random, options = self._world.random, self._world.options
        assert request.block is not None
        if not self._world.network.calm and random.random() < options.refusal_chance:
            self._feed(SigningRefused(request.digest, "the key store is out of reach"))
            return
        weight = self.disk.weights[request.header.parent_hash] + request.header.difficulty
        record = self.disk.record
        if record is None or record.digest != request.digest:
            if record is not None and self._forbids(record, request, weight):
                self._tell(f"may not sign #{request.height}")
                self._feed(SigningRefused(request.digest, "the guard forbids it"))
                return
            signature = chains.key(self.name).sign(request.digest)
            record = self.disk.record = Record(weight, request.digest, signature, request.block)
            self._world.watcher.signed(self.name, request.header, request.digest, weight)
        if not self._world.network.calm and random.random() < options.crash_when_signing_chance:
            self._tell(f"has signed #{request.height}, and")
            self.stop()
            return
        self._feed(Signed(request.digest, record.signature))

    def _forbids(self, record: Record, request: Sign, weight: int) -> bool:
        match self._world.options.guard:
            case GuardRule.HEIGHT:
                return request.height <= record.block.number
            case GuardRule.WEIGHT:
                forbids = weight <= record.weight
                if forbids and request.header.parent_hash == self.disk.head.hash:
                    # A request from before a change of head may be late; on its head a node asks for more.
                    raise Broken(f"{self.name} asks for weight {weight} after {record.weight}")
                return forbids

    def _later(self, delay_ms: float, deed: Callable[[], None]) -> None:
        """Plan a deed of this process; one that stopped in the meantime does it no more."""
        process = self._process

        def of_this_process() -> None:
            if self._process is process:
                deed()

        self._world.timeline.after(delay_ms, of_this_process)

    def _clock_ms(self) -> float:
        return self._world.timeline.now_ms + self._skew_ms

    def _describe(self, header: Header) -> str:
        author = chains.name_of(self._world.rules.author(header))
        turn = "in turn" if header.difficulty == 2 else "out of turn"
        return f"{header.ref} by {author} {turn}"

    def _tell(self, text: str) -> None:
        self._world.watcher.tell(self.name, text)
