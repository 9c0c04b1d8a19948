"""What is remembered is given again for exactly as long as it holds, and to nobody who may not ask."""

import random
from typing import Any

import msgspec
import pytest

from node.execution.executor import CallResult
from node.primitives.ids import hex_of
from node.rpc.api import RpcApi
from node.rpc.guard import Guard
from node.rpc.identity import Identity, Role
from node.rpc.remembered import ENTRY_BYTES, SHARE_MAX, Holds, Remembered
from tests.rpc.secured import MemoryTrail
from tests.rpc.world import TOKEN, MemoryChain, World, signed, transfer_log

CALL = {"to": hex_of(TOKEN), "data": "0x01"}


async def answer(api: RpcApi, method: str, *params: Any, identity: Identity | None = None) -> Any:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    who = () if identity is None else (None, identity)
    reply = await api.dispatcher.answer(api.dispatcher.parse(body), *who)
    assert reply is not None
    return msgspec.json.decode(reply)


def raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(text))


def test_an_answer_at_the_head_holds_until_the_head_moves_and_one_of_the_past_until_it_turns():
    chain = MemoryChain()
    chain.extend()
    memory = Remembered(chain, 1 << 20)
    memory.keep(memory.question("m", ["latest"]), Holds.AT_HEAD, raw("a"))
    memory.keep(memory.question("m", ["0x1"]), Holds.PAST, raw("b"))
    assert memory.answer(memory.question("m", ["latest"])) == raw("a")
    for _ in range(3):  # several blocks may pass between two looks
        chain.extend()
    assert memory.answer(memory.question("m", ["latest"])) is None
    assert memory.answer(memory.question("m", ["0x1"])) == raw("b")
    chain.adopt([chain.make(chain.genesis, timestamp=chain.genesis.timestamp + 9)], len(chain.canonical) - 1)
    assert memory.answer(memory.question("m", ["0x1"])) is None
    assert memory.hits == 2


def test_an_answer_that_was_made_while_the_head_moved_is_not_kept():
    chain = MemoryChain()
    memory = Remembered(chain, 1 << 20)
    question = memory.question("m", [])
    chain.extend()
    memory.keep(question, Holds.PAST, raw("of which block?"))
    assert memory.answer(memory.question("m", [])) is None


def test_nothing_is_remembered_of_what_is_not_there():
    memory = Remembered(MemoryChain(), 1 << 20)
    memory.keep(memory.question("m", []), Holds.PAST, msgspec.Raw(b"null"))
    assert memory.answer(memory.question("m", [])) is None


def test_what_was_asked_for_longest_ago_makes_room_and_one_answer_does_not_take_it_all():
    room = 2 * SHARE_MAX * (ENTRY_BYTES + 100)
    memory = Remembered(MemoryChain(), room)

    def keep(number: int, text: str) -> None:
        memory.keep(memory.question("m", [number]), Holds.PAST, raw(text))

    def knows(number: int) -> bool:
        return memory.answer(memory.question("m", [number])) is not None

    for number in range(10):
        keep(number, "x" * 50)
    for number in range(10, 40):
        keep(number, "x" * 50)
        assert knows(0)
    assert not knows(1)
    assert knows(39)
    keep(99, "x" * room)
    assert not knows(99)
    assert knows(39)


async def test_a_call_runs_once_for_each_head():
    world = World()
    api = world.api()
    for _ in range(3):
        for _ in range(4):
            assert (await answer(api, "eth_call", CALL, "latest"))["result"] == "0x2a"
        world.chain.extend()
    assert len(world.execution.calls) == 3
    for _ in range(2):
        await answer(api, "eth_call", CALL, "pending")
    assert len(world.execution.calls) == 5, "the block to come is another one every second"


async def test_an_error_is_found_anew():
    world = World()
    api = world.api()
    world.execution.result = CallResult(b"", 21_000, "execution reverted")
    assert "error" in await answer(api, "eth_call", CALL)
    world.execution.result = CallResult(b"\x2b", 21_000, None)
    assert (await answer(api, "eth_call", CALL))["result"] == "0x2b"


async def test_what_one_may_know_is_not_given_to_who_may_not_ask():
    world = World()
    api = world.api()
    guard = Guard(MemoryTrail(), lambda: 0)
    api.dispatcher._guard = guard
    reader = Identity("reader", frozenset({Role.ANONYMOUS, Role.READER}), 1000.0)
    nobody = Identity("nobody", frozenset({Role.ANONYMOUS}), 1000.0)
    operator = Identity("operator", frozenset({Role.ANONYMOUS, Role.READER, Role.OPERATOR}), 1000.0)
    assert "result" in await answer(api, "eth_call", CALL, identity=reader)
    assert "needs the role" in (await answer(api, "eth_call", CALL, identity=nobody))["error"]["message"]
    # What needs more than the method itself is looked at each time.
    override = (CALL, "latest", {hex_of(TOKEN): {"balance": "0x1"}})
    assert "result" in await answer(api, "eth_call", *override, identity=operator)
    refused = await answer(api, "eth_call", *override, identity=reader)
    assert "state overrides" in refused["error"]["message"]


async def test_an_answer_at_hand_is_paid_for():
    world = World()
    api = world.api()
    now = 0.0
    api.dispatcher._guard = Guard(MemoryTrail(), lambda: 0, clock=lambda: now)
    poor = Identity("poor", frozenset({Role.READER}), 0.1)
    replies = [await answer(api, "eth_call", CALL, identity=poor) for _ in range(60)]
    assert "result" in replies[1]
    assert "quota exceeded" in replies[-1]["error"]["message"]


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_the_chain_does_answers_are_those_of_a_node_that_remembers_nothing(seed):
    chance, world = random.Random(seed), World()
    remembers, forgets = world.api(), world.api(answers_bytes_max=0)
    assert forgets.remembered is None
    sent = [signed(nonce) for nonce in range(6)]
    waiting = list(sent)

    def turn() -> None:
        depth = chance.choice((0, 0, 0, 1, 2)) if len(world.chain.canonical) > 3 else 0
        fork = world.chain.blocks[world.chain.canonical[-1 - depth]].block.header
        added = []
        for _ in range(depth + 1):
            chosen = [waiting.pop()] if waiting and chance.random() < 0.5 else []
            logs = [transfer_log(chance.randrange(9))] if chosen else []
            made = world.chain.make(fork, chosen, logs, timestamp=fork.timestamp + chance.randrange(1, 99))
            added.append(made)
            fork = made.block.header
        for gone in world.chain.canonical[len(world.chain.canonical) - depth :]:
            waiting.extend(world.chain.blocks[gone].block.transactions)
        world.chain.adopt(added, depth)

    def questions() -> list[tuple[str, list[Any]]]:
        numbers = [*map(hex, range(8)), "latest", "safe", "finalized", "earliest"]
        hashes = [hex_of(each) for each in world.chain.blocks][:6]
        transactions = [hex_of(tx.hash) for tx in sent]
        found: list[tuple[str, list[Any]]] = [("eth_getBlockByNumber", [each, False]) for each in numbers]
        found += [("eth_getBlockByHash", [each, True]) for each in hashes]
        found += [
            ("eth_getBlockReceipts", [{"blockHash": each, "requireCanonical": True}]) for each in hashes
        ]
        found += [(name, [each]) for each in transactions for name in BY_TRANSACTION]
        for first in numbers:
            found.append(("eth_getLogs", [{"fromBlock": first, "toBlock": chance.choice(numbers)}]))
        found += [("eth_getLogs", [{"blockHash": each}]) for each in hashes]
        return found

    for _ in range(12):
        turn()
        for method, params in chance.choices(questions(), k=60):
            assert await answer(remembers, method, *params) == await answer(forgets, method, *params)
    assert remembers.remembered is not None
    assert remembers.remembered.hits > 100


BY_TRANSACTION = ("eth_getTransactionByHash", "eth_getTransactionReceipt", "eth_getRawTransactionByHash")
