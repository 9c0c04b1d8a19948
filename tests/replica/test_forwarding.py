"""Transactions of a replica's clients reach a block although upstreams die, lie and forget."""

import json
from dataclasses import dataclass, field
from functools import partial

import pytest
import trio

from node.backends.pool import NodePool
from node.backends.replica import RefusingPool
from node.chain.senders import SenderRecovery
from node.primitives.errors import RequestError
from node.primitives.transaction import Transaction, decode_transaction
from node.replica.forwarding import BATCH_TRANSACTIONS, Forwarder, read_answers
from tests.chain.harness import ACCOUNTS, transfer
from tests.rpc.node import make_node, running_node

RESEND_S = 10.0


@dataclass
class Validators:
    """Upstreams by URL; what they have taken, in order."""

    taken: dict[str, list[Transaction]] = field(default_factory=lambda: {"a": [], "b": []})
    broken: set[str] = field(default_factory=set)
    refusing: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def post(self, url: str, body: bytes) -> bytes:
        self.asked.append(url)
        await trio.lowlevel.checkpoint()
        if url in self.broken:
            raise ConnectionRefusedError("nobody there")
        answers = []
        for each in json.loads(body):
            tx = decode_transaction(bytes.fromhex(each["params"][0][2:]))
            error = self.refusing.get(url)
            if error is None and tx in self.taken[url]:
                error = "already known"
            if error is None:
                self.taken[url].append(tx)
            shown = {"error": {"code": -32000, "message": error}} if error else {"result": "0x"}
            answers.append({"jsonrpc": "2.0", "id": each["id"]} | shown)
        return json.dumps(answers).encode()


@dataclass
class Outbox:
    """A pool that nothing but the test empties."""

    transactions: list[Transaction] = field(default_factory=list)
    tell: list[trio.MemorySendChannel] = field(default_factory=list)

    def local_transactions(self) -> list[Transaction]:
        return list(self.transactions)

    def subscribe(self) -> trio.MemoryReceiveChannel:
        send, receive = trio.open_memory_channel(8)
        self.tell.append(send)
        return receive

    def add(self, *transactions: Transaction) -> None:
        self.transactions += transactions
        for channel in self.tell:
            try:
                channel.send_nowait(transactions)
            except (trio.BrokenResourceError, trio.WouldBlock):
                channel.close()


@pytest.fixture
async def world(nursery):
    outbox, validators = Outbox(), Validators()
    forwarder = Forwarder(outbox, ["a", "b"], RESEND_S, validators.post)
    await nursery.start(forwarder.run)
    return outbox, validators, forwarder


async def test_a_senders_transactions_arrive_in_order_at_the_preferred_upstream(autojump_clock, world):
    outbox, validators, _ = world
    sent = [transfer(ACCOUNTS[0], nonce) for nonce in (2, 0, 1)]
    outbox.add(*sent)
    await trio.sleep(1)
    assert [tx.nonce for tx in validators.taken["a"]] == [0, 1, 2]
    assert validators.taken["b"] == []


async def test_what_one_upstream_cannot_take_the_next_one_gets_at_once(autojump_clock, world):
    outbox, validators, forwarder = world
    validators.broken.add("a")
    outbox.add(transfer(ACCOUNTS[0], 0))
    await trio.sleep(0.01)
    assert [tx.nonce for tx in validators.taken["b"]] == [0]
    assert forwarder.plan.upstreams[0].failures == 1


async def test_an_upstream_that_is_well_again_is_given_what_it_missed_before_what_is_new(
    autojump_clock, world
):
    outbox, validators, _ = world
    validators.broken.add("a")
    outbox.add(transfer(ACCOUNTS[0], 0))
    await trio.sleep(2)
    validators.broken.clear()
    outbox.add(transfer(ACCOUNTS[0], 1))
    await trio.sleep(1)
    assert [tx.nonce for tx in validators.taken["a"]] == [0, 1]


async def test_what_turns_up_in_no_block_is_sent_to_the_next_upstream_until_it_does(autojump_clock, world):
    outbox, validators, _ = world
    outbox.add(transfer(ACCOUNTS[0], 0))
    await trio.sleep(RESEND_S + 1)
    assert [tx.nonce for tx in validators.taken["b"]] == [0]
    outbox.transactions.clear()
    validators.asked.clear()
    await trio.sleep(5 * RESEND_S)
    assert validators.asked == []


async def test_a_refusal_is_no_end(autojump_clock, world):
    outbox, validators, _ = world
    validators.refusing["a"] = "txpool is full"
    outbox.add(transfer(ACCOUNTS[0], 0))
    await trio.sleep(RESEND_S + 1)
    assert [tx.nonce for tx in validators.taken["b"]] == [0]


async def test_when_all_upstreams_are_gone_it_waits_for_the_first_that_comes_back(autojump_clock, world):
    outbox, validators, _ = world
    validators.broken |= {"a", "b"}
    outbox.add(transfer(ACCOUNTS[0], 0))
    await trio.sleep(100)
    assert len(validators.asked) < 30  # and does not hammer
    validators.broken.discard("b")
    await trio.sleep(31)
    assert [tx.nonce for tx in validators.taken["b"]] == [0]


async def test_many_transactions_go_in_batches(autojump_clock, world):
    outbox, validators, _ = world
    outbox.add(*(transfer(ACCOUNTS[0], nonce) for nonce in range(BATCH_TRANSACTIONS + 5)))
    await trio.sleep(1)
    assert [tx.nonce for tx in validators.taken["a"]] == list(range(BATCH_TRANSACTIONS + 5))
    assert len(validators.asked) == 2


@pytest.mark.parametrize("body", [b"{}", b"no", b'[{"id": 7}]', b'[{"id": "0"}]', b"[1]"])
def test_what_is_no_answer_to_the_batch_counts_as_none(body):
    with pytest.raises(ValueError, match=r"answer|Expecting"):
        read_answers(body, 1)


def test_what_is_left_unanswered_was_not_taken():
    assert read_answers(b'[{"id": 1, "result": "0x"}]', 2) == ["not answered", None]


# --- against a real node


async def test_a_real_validator_takes_what_is_passed_on(nursery):
    async with running_node() as validator:
        replica = make_node()
        dispatcher = make_dispatcher(validator)

        async def post(url: str, body: bytes) -> bytes:
            answer = await dispatcher(body)
            assert answer is not None
            return answer

        sent = [transfer(ACCOUNTS[0], nonce) for nonce in range(3)]
        for tx in sent:
            replica.pool.add(tx, local=True)
        await nursery.start(Forwarder(replica.pool, ["http://validator"], RESEND_S, post).run)
        with trio.fail_after(60):
            arrivals = validator.pool.subscribe()
            while len(validator.pool) < 3:
                await arrivals.receive()
        assert all(validator.pool.has(tx.hash) for tx in sent)
        nursery.cancel_scope.cancel()


def make_dispatcher(node):
    """The node's own JSON-RPC, without the wire."""
    from node.rpc.api import RpcApi

    api = RpcApi(node.backend(), node.settings.rpc)
    return partial(_dispatch, api)


async def _dispatch(api, body: bytes) -> bytes | None:
    return await api.dispatcher.answer(api.dispatcher.parse(body))


async def test_a_refusing_replica_says_so_and_still_shows_its_pool():
    node = make_node()
    pool = RefusingPool(NodePool(node.pool, SenderRecovery(), 0))
    with pytest.raises(RequestError, match="takes no transactions"):
        await pool.submit(transfer(ACCOUNTS[0], 0))
    node.pool.add(transfer(ACCOUNTS[0], 0), local=False)
    assert pool.counts() == (1, 0)
