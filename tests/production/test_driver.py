"""The driver keeps an engine's caller's duties, whatever the engine is: here a scripted one."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from consensus.clique.extra_data import seal_hash, unsealed
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
from node.config.settings import ProductionSettings
from node.primitives.block import Block, Body
from node.primitives.errors import StorageError
from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH, Address
from node.primitives.transaction import Transaction
from node.production.builder import BlockBuilder
from node.production.driver import Driver
from node.production.recovery import standing_proposals
from node.signing.signer import SigningError, SigningRequest
from node.storage.memory import MemoryKV
from tests.chain.harness import ACCOUNTS, GENESIS_TIME, KEYS, ChainMaker, Offer, seal, transfer
from tests.production.world import during, unix_ms

pytestmark = pytest.mark.usefixtures("inline_threads")
T0 = GENESIS_TIME * 1000
STRANGER = Address(b"\x42" * 20)
Script = Callable[[Event], list[Effect]]


class ScriptedEngine:
    """Writes down what it hears, and when; answers by a script."""

    proposals = ((STRANGER, True),)
    status = "scripted"

    def __init__(self, script: Script) -> None:
        self.script = script
        self.heard: list[tuple[float, Event]] = []

    def handle(self, event: Event, now_ms: int) -> list[Effect]:
        self.heard.append(((now_ms - T0) / 1000, event))
        return self.script(event)

    def events(self, kind: type) -> list[Any]:
        return [event for _, event in self.heard if isinstance(event, kind)]

    def times(self, kind: type) -> list[float]:
        return [time for time, event in self.heard if isinstance(event, kind)]


class FakeSigner:
    """A key that a test can break, and that takes a second."""

    address = KEYS[0].address
    trouble: Exception | None = None

    def __init__(self) -> None:
        self.requests: list[SigningRequest] = []

    async def sign(self, request: SigningRequest) -> bytes:
        self.requests.append(request)
        await trio.sleep(1.0)
        if self.trouble is not None:
            raise self.trouble
        return KEYS[0].sign(request.digest)


class FakePool:
    """Offers what a test puts in."""

    def __init__(self) -> None:
        self.waiting: list[Transaction] = []
        self._subscribers: list[trio.MemorySendChannel[tuple[Transaction, ...]]] = []

    def select(self, base_fee: int | None, taken: Mapping[Address, int]) -> Offer:
        return Offer([tx for tx in self.waiting if tx.nonce >= taken.get(tx.sender, 0)])

    def subscribe(self) -> trio.MemoryReceiveChannel[tuple[Transaction, ...]]:
        send, receive = trio.open_memory_channel[tuple[Transaction, ...]](100)
        self._subscribers.append(send)
        return receive

    def put(self, tx: Transaction) -> None:
        self.waiting.append(tx)
        for subscriber in self._subscribers:
            subscriber.send_nowait((tx,))


class Stage:
    """A driver with a scripted engine on a real chain."""

    def __init__(self, script: Script = lambda event: [], **options: Any) -> None:
        self.maker = ChainMaker()
        self.engine = ScriptedEngine(script)
        self.kv = MemoryKV()
        self.signer = FakeSigner()
        self.pool = FakePool()
        self.announced: list[Block] = []
        reader = self.maker.reader
        self.driver = Driver(
            self.engine,
            reader=reader,
            importer=self.maker.chain.importer,
            builder=BlockBuilder(reader, self.maker.chain.state, self.maker.executor, ProductionSettings()),
            pool=self.pool,
            signer=self.signer,
            kv=self.kv,
            announce=self.announced.append,
            random=Random(1),
            unix_ms=options.pop("unix_ms", unix_ms),
            **options,
        )

    def request(self, **changes: Any) -> BuildBlock:
        parent = self.maker.head
        fields: dict[str, Any] = {
            "parent": parent,
            "timestamp": parent.timestamp + 2,
            "author": KEYS[0].address,
            "beneficiary": ZERO_ADDRESS,
            "nonce": bytes(8),
            "difficulty": 2,
            "extra_data": unsealed(b"test"),
            "mix_hash": ZERO_HASH,
            "allow_empty": True,
        }
        return BuildBlock(**(fields | changes))

    async def run_for(self, seconds: float) -> None:
        async def sleep() -> None:
            await trio.sleep(seconds)

        await during(self.driver.run, sleep)


def once(kind: type, effects: Callable[[], list[Effect]]) -> Script:
    """Answer the first event of a kind with some effects, everything else with none."""
    done: list[Event] = []

    def script(event: Event) -> list[Effect]:
        if isinstance(event, kind) and not done:
            done.append(event)
            return effects()
        return []

    return script


def sign_of(block: Block) -> Sign:
    return Sign(
        kind="clique-header",
        height=block.number,
        round_number=0,
        digest=seal_hash(block.header),
        header=block.header,
        block=block,
    )


# --- the start


async def test_the_durable_head_comes_first_and_then_what_was_signed_last(autojump_clock: MockClock) -> None:
    maker = ChainMaker()
    last = LastSigned(maker.unimported(maker.head), bytes(65))
    stage = Stage(last_signed=lambda: last)
    await stage.run_for(5.0)
    (head, after) = [event for _, event in stage.engine.heard]
    assert isinstance(head, NewHead)
    assert head.header == stage.maker.reader.genesis
    assert head.state == stage.maker.reader.engine_state(head.header.hash)
    assert after == last


async def test_each_new_head_is_told_once(autojump_clock: MockClock) -> None:
    stage = Stage()

    async def work() -> None:
        await trio.sleep(0.1)
        for _ in range(3):
            await stage.maker.chain.importer.import_block(stage.maker.unimported(stage.maker.head))
            await trio.sleep(0.1)

    await during(stage.driver.run, work)
    assert [event.header.number for event in stage.engine.events(NewHead)] == [0, 1, 2, 3]


# --- timers


async def test_timers_fire_once_by_name_and_can_be_replaced_and_cancelled(autojump_clock: MockClock) -> None:
    stage = Stage(
        once(
            NewHead,
            lambda: [
                SetTimer("a", T0 + 3000),
                SetTimer("b", T0 + 4000),
                SetTimer("a", T0 + 7000),
                CancelTimer("b"),
                CancelTimer("unknown"),
                SetTimer("past", T0 - 1000),
            ],
        )
    )
    await stage.run_for(100.0)
    assert [(time, event.name) for time, event in stage.engine.heard if isinstance(event, TimerFired)] == [
        (0.0, "past"),
        (7.0, "a"),
    ]


async def test_jitter_is_the_drivers_chance(autojump_clock: MockClock) -> None:
    stage = Stage(once(NewHead, lambda: [SetTimer(str(i), T0 + 1000, jitter_ms_max=500) for i in range(20)]))
    await stage.run_for(10.0)
    times = stage.engine.times(TimerFired)
    assert len(times) == 20
    assert all(1.0 <= time <= 1.51 for time in times)
    assert len(set(times)) > 10


async def test_a_clock_that_is_set_back_does_not_fire_timers_early(autojump_clock: MockClock) -> None:
    def jumping() -> int:
        return unix_ms() - (20_000 if trio.current_time() > 4 else 0)

    stage = Stage(once(NewHead, lambda: [SetTimer("slot", T0 + 10_000)]), unix_ms=jumping)
    await stage.run_for(60.0)
    (fired,) = stage.engine.times(TimerFired)
    assert fired >= 10.0


# --- building


async def test_a_built_block_is_answered_and_not_executed_again(autojump_clock: MockClock) -> None:
    stage = Stage()
    tx = transfer(ACCOUNTS[0], 0)
    stage.pool.waiting.append(tx)
    stage.engine.script = once(NewHead, lambda: [stage.request()])
    await stage.run_for(1.0)
    (built,) = stage.engine.events(BlockBuilt)
    assert built.block.transactions == (tx,)
    handed_over = stage.maker.chain.ledger._states.built
    assert handed_over is not None
    assert handed_over.block == built.block


async def test_a_block_takes_what_comes_until_its_deadline(autojump_clock: MockClock) -> None:
    stage = Stage()
    stage.engine.script = once(NewHead, lambda: [stage.request(deadline_ms=T0 + 2000)])

    async def work() -> None:
        for nonce in range(30):
            await trio.sleep(0.1)
            stage.pool.put(transfer(ACCOUNTS[0], nonce))

    await during(stage.driver.run, work)
    (built,) = stage.engine.events(BlockBuilt)
    assert 17 <= len(built.block.transactions) <= 19
    (time,) = stage.engine.times(BlockBuilt)
    assert 1.8 <= time <= 2.0


async def test_a_new_head_calls_the_build_off(autojump_clock: MockClock) -> None:
    stage = Stage()
    stage.engine.script = once(NewHead, lambda: [stage.request(deadline_ms=T0 + 5000)])

    async def work() -> None:
        await trio.sleep(1.0)
        await stage.maker.chain.importer.import_block(stage.maker.unimported(stage.maker.head))
        await trio.sleep(10.0)

    await during(stage.driver.run, work)
    assert stage.engine.events(BlockBuilt) == []
    assert len(stage.engine.events(NewHead)) == 2


async def test_a_block_that_is_coming_is_told_and_a_build_that_is_not_wanted_ends(
    autojump_clock: MockClock,
) -> None:
    stage = Stage()

    def script(event: Event) -> list[Effect]:
        if isinstance(event, BlockComing):
            return [StopBuilding()]
        return [stage.request(deadline_ms=T0 + 5000)] if isinstance(event, NewHead) else []

    stage.engine.script = script

    async def work() -> None:
        await trio.sleep(1.0)
        stage.driver.block_coming(stage.maker.head)
        await trio.sleep(10.0)

    await during(stage.driver.run, work)
    assert stage.engine.events(BlockComing) == [BlockComing(stage.maker.head)]
    assert stage.engine.events(BlockBuilt) == []


async def test_another_request_replaces_the_build(autojump_clock: MockClock) -> None:
    stage = Stage()
    stage.engine.script = once(
        NewHead,
        lambda: [
            stage.request(deadline_ms=T0 + 5000),
            stage.request(extra_data=unsealed(b"second"), deadline_ms=T0 + 3000),
        ],
    )
    await stage.run_for(10.0)
    (built,) = stage.engine.events(BlockBuilt)
    assert built.block.header.extra_data == unsealed(b"second")


async def test_nothing_to_build_and_then_something(autojump_clock: MockClock) -> None:
    stage = Stage()
    stage.engine.script = once(NewHead, lambda: [stage.request(allow_empty=False)])

    async def work() -> None:
        await trio.sleep(5.0)
        stage.pool.put(transfer(ACCOUNTS[0], 0))
        stage.pool.put(transfer(ACCOUNTS[0], 1))
        await trio.sleep(5.0)

    await during(stage.driver.run, work)
    assert stage.engine.events(NothingToBuild) == [NothingToBuild(stage.maker.head.hash)]
    assert stage.engine.times(TransactionsWaiting) == [5.0], "told once, and only while somebody waits for it"


async def test_a_transaction_that_comes_while_nothing_is_built_is_not_missed(
    autojump_clock: MockClock,
) -> None:
    stage = Stage()
    useless = transfer(ACCOUNTS[0], 7)  # a nonce too high: offered, and not taken
    stage.engine.script = once(NewHead, lambda: [stage.request(allow_empty=False, deadline_ms=T0 + 1000)])

    async def work() -> None:
        await trio.sleep(0.87)
        stage.pool.put(useless)
        await trio.sleep(5.0)

    await during(stage.driver.run, work)
    kinds = [type(event) for _, event in stage.engine.heard]
    assert kinds == [NewHead, NothingToBuild, TransactionsWaiting]


# --- signing and sealing


async def test_a_signature_is_asked_for_with_the_whole_block(autojump_clock: MockClock) -> None:
    stage = Stage()
    block = stage.maker.unimported(stage.maker.head)
    stage.engine.script = once(NewHead, lambda: [sign_of(block)])
    await stage.run_for(5.0)
    (request,) = stage.signer.requests
    assert (request.height, request.chain_id, request.digest) == (1, 1337, seal_hash(block.header))
    assert request.attachment != b""
    (signed,) = stage.engine.events(Signed)
    assert signed.signature == KEYS[0].sign(signed.digest)
    assert stage.driver.health.problem is None


async def test_a_key_that_will_not_sign_leaves_a_full_node_that_says_so(autojump_clock: MockClock) -> None:
    stage = Stage()
    block = stage.maker.unimported(stage.maker.head)
    stage.signer.trouble = SigningError("the token was pulled out")
    stage.engine.script = once(NewHead, lambda: [sign_of(block)])

    async def work() -> None:
        await trio.sleep(3.0)
        assert stage.driver.health.problem == "block 1 was not signed: the token was pulled out"
        await stage.maker.chain.importer.import_block(block)
        await trio.sleep(3.0)

    await during(stage.driver.run, work)
    assert stage.engine.events(SigningRefused) == [
        SigningRefused(seal_hash(block.header), "the token was pulled out")
    ]
    assert stage.engine.events(NewHead)[-1].header.number == 1, "and it follows the chain as before"


async def test_what_a_refusal_brought_to_light_is_finished(autojump_clock: MockClock) -> None:
    found: list[LastSigned] = []
    stage = Stage(last_signed=lambda: found[-1] if found else None)
    block = stage.maker.unimported(stage.maker.head)
    earlier = LastSigned(block, bytes(65))
    stage.signer.trouble = SigningError("already signed another")

    def sign() -> list[Effect]:
        found.append(earlier)  # the key was asked again, and told
        return [sign_of(block)]

    stage.engine.script = once(NewHead, sign)
    await stage.run_for(5.0)
    kinds = [type(event) for _, event in stage.engine.heard]
    assert kinds == [NewHead, SigningRefused, LastSigned]


async def test_a_broken_disk_behind_the_guard_stops_the_node(autojump_clock: MockClock) -> None:
    stage = Stage()
    block = stage.maker.unimported(stage.maker.head)
    stage.signer.trouble = StorageError("a guard row is damaged")
    stage.engine.script = once(NewHead, lambda: [sign_of(block)])
    with pytest.RaisesGroup(StorageError, flatten_subgroups=True):
        await stage.run_for(5.0)


async def test_a_sealed_block_is_durable_before_it_is_announced_and_before_the_next_event(
    autojump_clock: MockClock,
) -> None:
    stage = Stage()
    block = stage.maker.unimported(stage.maker.head)
    order: list[str] = []
    sealing = once(NewHead, lambda: [SealBlock(block), SetTimer("after", T0)])

    def script(event: Event) -> list[Effect]:
        if isinstance(event, TimerFired):
            order.append(f"the next event, at head {stage.maker.reader.head.number}")
        return sealing(event)

    stage.engine.script = script

    def announce(announced: Block) -> None:
        assert stage.maker.reader.header(announced.hash) is not None
        order.append("announced")

    stage.driver._announce = announce
    await stage.run_for(5.0)
    assert order == ["announced", "the next event, at head 1"]
    assert [event.header.number for event in stage.engine.events(NewHead)] == [0, 1]
    health = stage.driver.health
    assert (health.sealed_blocks, health.last_sealed) == (1, block.ref)


async def test_a_block_that_the_chain_refuses_is_announced_to_nobody(autojump_clock: MockClock) -> None:
    stage = Stage()
    good = stage.maker.unimported(stage.maker.head)
    bad = seal(Block(good.header, Body((transfer(ACCOUNTS[0], 0),))), KEYS[0])
    stage.engine.script = once(NewHead, lambda: [SealBlock(bad)])
    await stage.run_for(5.0)
    assert stage.announced == []
    assert "our own block #1" in str(stage.driver.health.problem)


# --- the operator


async def test_proposals_are_on_disk_when_the_operator_gets_an_answer(autojump_clock: MockClock) -> None:
    wanted = ((STRANGER, False),)
    stage = Stage(lambda event: [PersistProposals(wanted)] if isinstance(event, Proposed) else [])

    async def work() -> None:
        await stage.driver.propose(STRANGER, False)
        assert standing_proposals(stage.kv) == wanted

    await during(stage.driver.run, work)
    assert stage.engine.events(Proposed) == [Proposed(STRANGER, False)]
    assert stage.driver.proposals() == {STRANGER: True}


async def test_a_proposal_that_makes_no_sense_is_the_operators_error(autojump_clock: MockClock) -> None:
    def script(event: Event) -> list[Effect]:
        if isinstance(event, Proposed):
            raise ProposalRefused("already a validator")
        return []

    stage = Stage(script)

    async def work() -> None:
        with pytest.raises(ProposalRefused, match="already a validator"):
            await stage.driver.propose(STRANGER, True)
        await trio.sleep(1.0)

    await during(stage.driver.run, work)


async def test_health_tells_who_signs_and_whether_it_may(autojump_clock: MockClock) -> None:
    stage = Stage()
    health = stage.driver.health
    assert (health.signer, health.is_validator, health.status) == (KEYS[0].address, True, "scripted")
    stage.signer.address = STRANGER
    assert not stage.driver.health.is_validator
