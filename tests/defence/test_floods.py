"""Floods and malformed input against a live validator: the chain goes on, memory stays, clients are served.

Run with -s for the figures, one line an attack.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from devnet.client import RpcClient, RpcError, Unreachable
from devnet.keys import account_key
from devnet.layout import HOST, Layout
from node.permissioning.policy import Tier
from node.primitives import rlp
from node.primitives.ids import Address, hex_of
from p2p.devp2p.messages import PING_CODE
from p2p.errors import PeerError
from tests.defence.attacker import attacker_key, enter, flood, is_ended, meet, status_of
from tests.defence.watch import Watch
from tests.execution.builders import signed
from tests.faults.flood import LOOP
from tests.faults.live import Life, ask, end_all, make_network, start

pytestmark = pytest.mark.long(10)

MEMBERS = 12
"""Attackers who are members: their own organisation, or thieves of its keys."""
PEERS_MAX = 6
REPLY_S = 10.0
"""What an answer may take, in place of half a minute: the attacks on clients' ports end sooner."""
GROWTH_MIB_MAX = 256.0
BLOCKS_MIN = 2
SPAM = 3_000
CHATTY = bytes.fromhex("5b600a60006000a15a6127101060005700")
"""Init code: an event with one topic, again and again, while there is gas; then it stops."""
CHATTY_TOPIC = "0x" + "0a".rjust(64, "0")
CHATTY_BLOCKS = 4
ALL_BLOCKS = {"fromBlock": "0x0", "toBlock": "latest"}


Requests = list[tuple[str, str, tuple[Any, ...]]]
"""What it is called, method and parameters."""


@dataclass
class Victim:
    """A network of three validators; the first one is attacked."""

    layout: Layout
    lives: list[Life]

    @property
    def life(self) -> Life:
        return self.lives[0]

    @property
    def node(self) -> Any:
        return self.life.node

    def wait(self, done: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        while not done():
            assert time.monotonic() < deadline, what
            time.sleep(0.1)

    def head(self) -> int:
        return int(ask(self.node, "eth_blockNumber"), 16)

    def fellows(self) -> int:
        """Of the other validators, how many are connected to it."""
        others = [life.node.enode.split("@")[0].removeprefix("enode://") for life in self.lives[1:]]
        return sum(any(key in peer["enode"] for key in others) for peer in self.peers())

    def peers(self) -> list[dict[str, Any]]:
        client = RpcClient(self.node.admin_url, 60.0)
        try:
            found = client.call("admin_peers")
        finally:
            client.close()
        assert isinstance(found, list)
        return found


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    home: Path = tmp_path_factory.mktemp("defence")
    layout = make_network(
        home,
        validators=3,
        period_s=1,
        zero_base_fee=True,
        p2p={"peers_max": PEERS_MAX},
        rpc={"reply_timeout_s": REPLY_S},
    )
    enter(layout, [attacker_key(number) for number in range(MEMBERS)], Tier.REGIONAL)
    found = Victim(layout, [start(node) for node in layout.nodes])
    try:
        for life in found.lives:
            life.wait_answering()
        found.wait(lambda: found.fellows() == 2 and found.head() > 1, "the network does not start")
        yield found
    finally:
        end_all()


def endure(victim: Victim, name: str, attack: Callable[[], Any]) -> Any:
    """Attack, and hold the node to what it owes."""
    with Watch(victim.life) as watch:
        outcome = attack()
        # However slow the machine is: the chain goes on while the attack's traces are still there.
        victim.wait(lambda: victim.head() >= watch.first_head + BLOCKS_MIN, f"{name}: the chain stands still")
    print(f"\n{name:12} {watch.figures()}  {outcome}")
    assert victim.life.is_alive
    assert watch.failed == 0, "an honest client was not served"
    assert watch.growth_mib < GROWTH_MIB_MAX
    victim.wait(lambda: victim.fellows() == 2, f"{name}: the validators lost one another")
    return outcome


def test_replayed_reordered_and_changed_frames(victim: Victim) -> None:
    """A frame counts once, in its order, as it was: anything else breaks the MAC and ends the connection."""
    status = status_of(victim.layout)

    def change(data: bytes) -> bytes:
        return data[:-1] + bytes([data[-1] ^ 1])

    async def attack() -> dict[str, bool]:
        ended = {}
        for number, name in enumerate(("replayed", "reordered", "changed"), start=8):
            connection = await meet(victim.node, attacker_key(number), status)
            first, second = connection.encode(PING_CODE, b"\xc0"), connection.encode(PING_CODE, b"\xc0")
            sent = {"replayed": first + first, "reordered": second + first, "changed": change(first)}[name]
            await connection.stream.send_all(sent)
            ended[name] = await is_ended(connection)
            await connection.stream.aclose()
        return ended

    outcome = endure(victim, "frames", lambda: trio.run(attack))
    assert all(outcome.values()), outcome


def test_malformed_and_oversized_messages_of_a_member(victim: Victim) -> None:
    """Each ends the connection, and the member is shut out for a while."""
    status = status_of(victim.layout)
    deep = b""
    for _ in range(2_000):
        deep = rlp.encode([deep]) if len(deep) < 50_000 else deep
    letters = {
        "no protocol": (0x7F, b"\xc0"),
        "no rlp": (16 + 0x01, b"\xff" * 40),
        "empty list": (16 + 0x03, b"\xc0"),
        "nested": (16 + 0x02, deep),
        "many hashes": (16 + 0x01, rlp.encode([[b"\x01" * 32, 1]] * 60_000)),
        "large": (16 + 0x02, rlp.encode([bytes(9 << 20)])),
    }

    async def attack() -> dict[str, bool]:
        ended = {}
        for number, (name, (code, payload)) in enumerate(letters.items()):
            connection = await meet(victim.node, attacker_key(number), status)
            with suppress(PeerError):
                await connection.write(code, payload)
            ended[name] = await is_ended(connection)
            await connection.stream.aclose()
        return ended

    outcome = endure(victim, "malformed", lambda: trio.run(attack))
    assert all(outcome.values()), outcome

    async def again() -> None:
        connection = await meet(victim.node, attacker_key(0), status)
        await connection.stream.aclose()

    with pytest.raises(PeerError):
        trio.run(again)


def test_spam_at_price_zero_does_not_delay_others(victim: Victim) -> None:
    seed, chain_id = victim.layout.network.seed, victim.layout.network.chain_id

    def free(account: int, nonce: int) -> str:
        tx = signed(
            account_key(seed, account), nonce, to=Address(b"\x99" * 20), gas=21_000, chain_id=chain_id
        )
        return "0x" + tx.encoded.hex()

    accounts = range(8)  # one spammer, or eight: each can have 256 nonces waiting
    spam = [free(account, nonce) for nonce in range(SPAM // len(accounts)) for account in accounts]

    def attack() -> dict[str, int]:
        client = RpcClient(victim.node.rpc_url, 60.0)
        refused = 0
        for place in range(0, len(spam), 200):
            answers = client.batch([("eth_sendRawTransaction", (raw,)) for raw in spam[place : place + 200]])
            refused += sum(isinstance(answer, RpcError) for answer in answers)
        before = victim.head()
        honest = client.call("eth_sendRawTransaction", free(9, 0))
        victim.wait(lambda: client.call("eth_getTransactionReceipt", honest) is not None, "never included")
        waited = int(client.call("eth_getTransactionReceipt", honest)["blockNumber"], 16) - before
        client.close()
        return {"spam": len(spam), "refused": refused, "blocks until the honest one": waited}

    outcome = endure(victim, "spam", attack)
    # The block that is being made may be full already; the one after it has a turn for everybody.
    assert outcome["blocks until the honest one"] <= 4


def ask_on(victim: Victim, clients: list[Requests], seconds: float) -> list[tuple[str, bool]]:
    """Each client asks one of its requests after the other: their names, and whether there was a result."""
    until = time.monotonic() + seconds
    done: list[tuple[str, bool]] = []

    def ask_all(wanted: Requests) -> None:
        client = RpcClient(victim.node.rpc_url, 60.0)
        while time.monotonic() < until:
            for name, method, params in wanted:
                with suppress(Unreachable):
                    [answer] = client.batch([(method, params)])
                    done.append((name, not isinstance(answer, RpcError)))
        client.close()

    threads = [threading.Thread(target=ask_all, args=(wanted,)) for wanted in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


def count(wanted: Requests, done: list[tuple[str, bool]]) -> dict[str, int]:
    return {name: sum(each == name for each, _ in done) for name, _, _ in wanted}


def test_expensive_requests(victim: Victim) -> None:
    loop = {"data": LOOP, "gas": hex(10**12)}
    wanted: Requests = [
        ("calls", "eth_call", (loop, "latest")),
        ("estimates", "eth_estimateGas", (loop,)),
        ("traces", "debug_traceCall", (loop, "latest", {})),
        ("logs", "eth_getLogs", (ALL_BLOCKS,)),
        ("fees", "eth_feeHistory", (hex(1024), "latest", [float(percent) for percent in range(1, 101)])),
    ]

    def attack() -> dict[str, int]:
        return count(wanted, ask_on(victim, [[each] for each in wanted for _ in range(2)], 6.0))

    endure(victim, "requests", attack)


def test_wide_ranges_over_blocks_full_of_events(victim: Victim) -> None:
    """Blocks of nothing but events; then clients ask for all, and for some that only the blooms promise."""
    network, client = victim.layout.network, RpcClient(victim.node.rpc_url, 60.0)
    key, limit = account_key(network.seed, 8), network.gas_limit * 9 // 10
    chatty = [
        signed(key, nonce, to=None, gas=limit, data=CHATTY, chain_id=network.chain_id)
        for nonce in range(CHATTY_BLOCKS)
    ]
    wanted: Requests = [
        ("all", "eth_getLogs", (ALL_BLOCKS,)),
        # One topic is all that each event has, so that every one is looked at for nothing.
        ("none", "eth_getLogs", (ALL_BLOCKS | {"topics": [None, CHATTY_TOPIC]},)),
    ]

    def attack() -> dict[str, int]:
        for tx in chatty:
            client.call("eth_sendRawTransaction", "0x" + tx.encoded.hex())
        last = hex_of(chatty[-1].hash)
        victim.wait(lambda: client.call("eth_getTransactionReceipt", last) is not None, "never included")
        block = client.call("eth_getTransactionReceipt", last)["blockNumber"]
        wanted.append(("one block", "eth_getLogs", ({"fromBlock": block, "toBlock": block},)))
        done = ask_on(victim, [wanted] * 3, 3.0)
        assert {name for name, answered in done if answered} <= {"none"}, "more than 20,000 are no answer"
        events = CHATTY_BLOCKS * len(client.call("eth_getTransactionReceipt", last)["logs"])
        return {"events": events} | count(wanted, done)

    outcome = endure(victim, "events", attack)
    client.close()
    assert outcome["events"] > 100_000


def test_members_of_another_tier_cannot_crowd_out_the_validators(victim: Victim) -> None:
    """Eclipse: more members than there are places connect at once, again and again; a validator restarts."""
    status = status_of(victim.layout)
    stop = threading.Event()
    held = [0]

    async def hold(number: int) -> None:
        while not stop.is_set():
            with trio.move_on_after(3.0):
                try:
                    connection = await meet(victim.node, attacker_key(number), status)
                except PeerError:
                    await trio.sleep(0.2)
                    continue
                held[0] += 1
                try:
                    with suppress(PeerError):
                        while True:
                            await connection.read()
                finally:
                    await connection.stream.aclose()

    async def all_hold() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(MEMBERS):
                nursery.start_soon(hold, number)

    def attack() -> dict[str, int]:
        crowd = threading.Thread(target=partial(trio.run, all_hold))
        crowd.start()
        try:
            time.sleep(1.0)
            victim.lives[1].kill()
            victim.lives[1] = start(victim.lives[1].node)
            victim.lives[1].wait_answering()
            victim.wait(lambda: victim.fellows() == 2, "the restarted validator found no place")
            crowded = len(victim.peers())
        finally:
            stop.set()
            crowd.join()
        return {"places taken by attackers": held[0], "peers at the end": crowded}

    outcome = endure(victim, "eclipse", attack)
    assert outcome["peers at the end"] <= PEERS_MAX


def test_connections_that_say_nothing(victim: Victim) -> None:
    outcome = endure(victim, "connections", lambda: trio.run(flood, victim.node, b"", 600))
    assert outcome["opened"] > 0


def test_handshakes_of_garbage_and_of_strangers(victim: Victim) -> None:
    status = status_of(victim.layout)

    async def strangers() -> int:
        refused = 0
        for number in range(40):
            with trio.move_on_after(30.0):
                try:
                    await meet(victim.node, attacker_key(1_000 + number), status)
                except PeerError:
                    refused += 1
        return refused

    def attack() -> dict[str, Any]:
        garbage = trio.run(flood, victim.node, os.urandom(400), 200)
        return garbage | {"strangers refused": trio.run(strangers)}

    assert endure(victim, "handshakes", attack)["strangers refused"] == 40


def test_slow_connections_to_peers_and_clients(victim: Victim) -> None:
    async def trickle(port: int, letter: bytes) -> None:
        with suppress(OSError, trio.BrokenResourceError), trio.move_on_after(6.0):
            async with await trio.open_tcp_stream(HOST, port) as stream:
                for _ in range(60):
                    await stream.send_all(letter)
                    await trio.sleep(0.1)

    async def attack() -> dict[str, int]:
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(trickle, victim.node.p2p_port, b"\x01")
                nursery.start_soon(trickle, victim.node.rpc_port, b"G")
        return {"slow connections": 200}

    endure(victim, "slow", lambda: trio.run(attack))
