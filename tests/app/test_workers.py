"""Worker processes of a real replica: every answer right, whatever is killed while they are asked."""

import contextlib
import http.client
import json
import os
import re
import signal
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import trio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from devnet.client import RpcClient, RpcError, Unreachable
from devnet.generate import encode_toml, generate, settings_of
from devnet.layout import HOST, Layout, NodeFiles
from devnet.manifest import Accounts, Network, NodePlan, Ports
from devnet.wallet import Wallet, read_fees
from node.rpc.api_keys import new_key
from tests.faults.live import Life, ask, end_all, log_of, start
from tests.ports import free_ports
from tests.rpc.client import WebSocketClient
from tests.rpc.issuer import AUDIENCE, ISSUER, claims, new_private_key
from tests.signing.authority import Authority

if TYPE_CHECKING:
    from tests.replica.postgres_server import PostgresServer

pytestmark = pytest.mark.long(10)

WORKERS = 2
PATIENCE_S = 90.0
CORE, EDGE, SAFE = range(3)
SLOW_QUOTA = 2.0
"""Milliseconds a second: what is saved up is gone after one call that takes long."""


@dataclass
class Region:
    """A validator and two replicas with workers; one is behind TLS and, where there is PostgreSQL, has its
    index there."""

    layout: Layout
    authority: Authority
    keys: dict[str, str]
    token_key: Any
    postgres: "PostgresServer | None"
    lives: list[Life] = field(default_factory=list)

    def node(self, place: int) -> NodeFiles:
        return self.layout.nodes[place]

    def wallet(self, number: int) -> Wallet:
        return Wallet(self.layout.accounts[number]["private_key"], self.layout.network.chain_id)

    def workers(self, place: int) -> list[int]:
        """Pids of the node's worker processes."""
        return children(self.lives[place].pid)

    def metrics(self, place: int) -> dict[str, float]:
        url = f"http://{HOST}:{self.node(place).metrics_port}/metrics"
        lines = urllib.request.urlopen(url, timeout=30).read().decode().splitlines()
        return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if x[:1] != "#")}


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = re.search(r"\) \S (\d+) ", (entry / "stat").read_text())
                words = (entry / "cmdline").read_bytes()
                if parent and int(parent[1]) == pid and b"node.app.worker" in words:
                    found.append(int(entry.name))
    return sorted(found)


def until(holds: Any, what: str) -> Any:
    until_s = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        assert time.monotonic() < until_s, f"not in time: {what}"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def postgres() -> "Iterator[PostgresServer | None]":
    """None where it is not installed."""
    try:
        from tests.replica.postgres_server import PostgresServer, find_binaries
    except ImportError:  # no psycopg
        yield None
        return
    binaries = find_binaries()
    server = None if binaries is None else PostgresServer(binaries)
    yield server
    if server is not None:
        server.stop()


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory, postgres: "PostgresServer | None") -> Iterator[Region]:
    home = tmp_path_factory.mktemp("workers")
    first = free_ports(12)
    network = Network(
        name="workers",
        chain_id=325_011,
        seed="workers of a replica: these keys are public",
        period_s=1,
        contract_suite=False,
        ports=Ports(p2p=first, rpc=first + 3, metrics=first + 6, admin=first + 9),
        accounts=Accounts(count=6),
        nodes=(NodePlan(name="core"), *(NodePlan(name=name, role="replica") for name in ("edge", "safe"))),
    )
    layout = generate(network, home / "net")
    authority = Authority(home)
    member = authority.member("safe")
    keys_file = home / "rpc-keys.json"
    keys = {
        name: new_key(keys_file, name, ["submitter"], 1, quota_ms_per_s=quota)[0]
        for name, quota in (("fast", None), ("slow", SLOW_QUOTA))
    }
    token_key = new_private_key("EdDSA")
    (home / "issuer.pem").write_bytes(
        token_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    more: dict[int, dict[str, dict[str, Any]]] = {
        EDGE: {"replica": {"workers": WORKERS}},
        SAFE: {
            "replica": {"workers": WORKERS, "database": postgres.url() if postgres else "sqlite"},
            "rpc": {"tls_certificate": str(member.certificate), "tls_key": str(member.key)},
            "auth": {
                "api_keys": str(keys_file),
                "jwt_keys": str(home / "issuer.pem"),
                "jwt_issuer": ISSUER,
                "jwt_audience": AUDIENCE,
                "local_roles": [],
            },
        },
    }
    for place, sections in more.items():
        settings = settings_of(layout, layout.nodes[place])
        for section, values in sections.items():
            settings[section] = settings.get(section, {}) | values
        layout.nodes[place].config.write_text(encode_toml(settings))
    region = Region(layout, authority, keys, token_key, postgres)
    try:
        region.lives = [start(node) for node in layout.nodes]
        region.lives[CORE].wait_answering(PATIENCE_S)
        region.lives[EDGE].wait_answering(PATIENCE_S)
        until(lambda: is_ready(region, SAFE), "the second replica is ready")
        yield region
    finally:
        end_all()


def is_ready(region: Region, place: int) -> bool:
    url = f"http://{HOST}:{region.node(place).metrics_port}/health/ready"
    with contextlib.suppress(OSError):
        return bool(urllib.request.urlopen(url, timeout=10).status == 200)
    return False


def fund_and_grow(region: Region, count: int, wallet: int = 0) -> list[str]:
    """So many transfers, sent to the core; their hashes."""
    core = RpcClient(region.node(CORE).rpc_url, PATIENCE_S)
    sender, fees = region.wallet(wallet), read_fees(core)
    sender.read_nonce(core)
    sent = [sender.fee_market(fees, 21_000, "0x" + "99" * 20, 1) for _ in range(count)]
    for signed in sent:
        assert core.call("eth_sendRawTransaction", signed.raw) == signed.hash
    core.close()
    return [signed.hash for signed in sent]


class Reader(threading.Thread):
    """Reads over a connection of its own, holds every answer against itself, and notes what contradicts."""

    def __init__(self, url: str, account: str) -> None:
        super().__init__()
        self._url, self._account = url, account
        self._halt = threading.Event()
        self.seen: dict[int, tuple[str, int, int]] = {}
        """By block: hash, balance and nonce of the account."""
        self.wrong: list[str] = []
        self.reads = 0
        self.breaks = 0

    def run(self) -> None:
        client = RpcClient(self._url, 20.0)
        newest = 0
        while not self._halt.is_set():
            try:
                number = self._read(client)
            except (Unreachable, RpcError) as error:
                if isinstance(error, RpcError) and "stopping" not in error.message:
                    self.wrong.append(str(error))
                self.breaks += 1
                client.close()
                client, newest = RpcClient(self._url, 20.0), 0
                time.sleep(0.02)
            else:
                if number < newest:
                    self.wrong.append(f"one connection went back from {newest} to {number}")
                newest = number
                self.reads += 1
        client.close()

    def _read(self, client: RpcClient) -> int:
        block = client.call("eth_getBlockByNumber", "latest", False)
        number = int(block["number"], 16)
        balance = int(client.call("eth_getBalance", self._account, hex(number)), 16)
        nonce = int(client.call("eth_getTransactionCount", self._account, {"blockHash": block["hash"]}), 16)
        for tx_hash in block["transactions"][:2]:
            receipt = client.call("eth_getTransactionReceipt", tx_hash)
            if receipt is None or receipt["blockHash"] != block["hash"]:
                self.wrong.append(f"block {number} without the receipt of {tx_hash}: {receipt}")
        if client.call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"}) != []:
            self.wrong.append("events where there are none")
        found = (block["hash"], balance, nonce)
        if self.seen.setdefault(number, found) != found:
            self.wrong.append(f"block {number} was {self.seen[number]}, then {found}")
        return number

    def stop(self) -> None:
        self._halt.set()
        self.join()


@contextlib.contextmanager
def reading(region: Region, count: int = 4) -> Iterator[list[Reader]]:
    account = region.layout.accounts[0]["address"]
    readers = [Reader(region.node(EDGE).rpc_url, account) for _ in range(count)]
    for reader in readers:
        reader.start()
    try:
        yield readers
    finally:
        for reader in readers:
            reader.stop()


def wait_more(readers: list[Reader], reads: int) -> None:
    wanted = [reader.reads + reads for reader in readers]
    until(lambda: all(r.reads >= w for r, w in zip(readers, wanted, strict=True)), "more reads")


def check_against_core(region: Region, readers: list[Reader]) -> None:
    core = RpcClient(region.node(CORE).rpc_url, PATIENCE_S)
    account = region.layout.accounts[0]["address"]
    assert [reader.wrong for reader in readers] == [[] for _ in readers]
    seen = {number: found for reader in readers for number, found in reader.seen.items()}
    assert len(seen) > 3
    for number, found in seen.items():
        block = core.call("eth_getBlockByNumber", hex(number), False)
        balance = int(core.call("eth_getBalance", account, hex(number)), 16)
        nonce = int(core.call("eth_getTransactionCount", account, hex(number)), 16)
        assert found == (block["hash"], balance, nonce), f"block {number}"
    core.close()


def test_no_answer_is_wrong_while_workers_and_then_the_node_are_killed(region: Region) -> None:
    with reading(region) as readers:
        wait_more(readers, 5)
        for round_ in range(2):
            fund_and_grow(region, 10)
            victims = until(lambda: len(pids := region.workers(EDGE)) == WORKERS and pids, "all workers")
            for pid in victims[: 1 + round_ % 2]:
                os.kill(pid, signal.SIGKILL)
            until(
                lambda gone=victims: len(new := region.workers(EDGE)) == WORKERS and not set(new) & {gone[0]},
                "another worker in its place",
            )
            wait_more(readers, 5)
        workers = region.workers(EDGE)
        region.lives[EDGE].kill()
        until(
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "workers end with their node"
        )
        fund_and_grow(region, 5)
        region.lives[EDGE] = start(region.node(EDGE))
        region.lives[EDGE].wait_answering(PATIENCE_S)
        fund_and_grow(region, 5)
        wait_more(readers, 20)
        until(lambda: level(region), "the replica is level")
    assert sum(reader.breaks for reader in readers), "nobody noticed"
    check_against_core(region, readers)
    until(lambda: all_ready(region), "all workers are counted")


def all_ready(region: Region) -> bool:
    """Whether the replica counts all of its workers; they answer before it has a page of metrics."""
    with contextlib.suppress(urllib.error.URLError):
        return region.metrics(EDGE)["phoenix_workers_ready"] == WORKERS
    return False


def level(region: Region) -> bool:
    """Whether the replica is at most a block behind, within one look at both."""
    numbers = [int(ask(region.node(place), "eth_blockNumber"), 16) for place in (CORE, EDGE)]
    return numbers[1] >= numbers[0]


def test_what_exists_once_is_the_same_over_every_connection(region: Region) -> None:
    """Each `ask` is a connection of its own, which either worker may take."""
    edge = region.node(EDGE)
    sender = region.wallet(1)
    core = RpcClient(region.node(CORE).rpc_url, PATIENCE_S)
    fees = read_fees(core)
    filter_id = ask(edge, "eth_newBlockFilter")
    hashes = []
    for expected in range(12):
        assert int(ask(edge, "eth_getTransactionCount", sender.address, "pending"), 16) == expected
        signed = sender.fee_market(fees, 21_000, "0x" + "98" * 20, 1)
        assert ask(edge, "eth_sendRawTransaction", signed.raw) == signed.hash
        assert ask(edge, "eth_getTransactionByHash", signed.hash)["hash"] == signed.hash
        hashes.append(signed.hash)
    batch = [sender.fee_market(fees, 21_000, "0x" + "98" * 20, 1) for _ in range(8)]
    client = RpcClient(edge.rpc_url, PATIENCE_S)
    assert client.batch([("eth_sendRawTransaction", [each.raw]) for each in batch]) == [x.hash for x in batch]
    client.close()
    hashes += [each.hash for each in batch]
    receipts = [until(lambda h=h: ask(edge, "eth_getTransactionReceipt", h), "a receipt") for h in hashes]
    assert {receipt["status"] for receipt in receipts} == {"0x1"}
    told = []
    until(lambda: told.extend(ask(edge, "eth_getFilterChanges", filter_id)) or len(told) > 2, "blocks")
    assert len(set(told)) == len(told)
    assert receipts[0]["blockHash"] in told
    assert ask(edge, "eth_uninstallFilter", filter_id) is True
    with pytest.raises(RpcError, match="filter not found"):
        ask(edge, "eth_getFilterChanges", filter_id)
    with pytest.raises(RpcError, match="nonce too low"):
        ask(edge, "eth_sendRawTransaction", region.wallet(1).fee_market(fees, 21_000, "0x" + "9" * 40, 1).raw)
    core.close()


async def test_subscriptions_of_every_worker_hear_of_blocks_and_of_transactions(region: Region) -> None:
    edge = region.node(EDGE)
    clients = []
    for _ in range(6):
        client = WebSocketClient(await trio.open_tcp_stream(HOST, edge.rpc_port))
        await client.shake_hands()
        for kind in ("newHeads", "newPendingTransactions"):
            assert "result" in await client.call("eth_subscribe", kind)
        clients.append(client)
    wallet = region.wallet(2)
    raw = await trio.to_thread.run_sync(
        lambda: wallet.fee_market(fees_of(region), 21_000, "0x" + "97" * 20, 1)
    )
    assert await trio.to_thread.run_sync(lambda: ask(edge, "eth_sendRawTransaction", raw.raw)) == raw.hash
    with trio.fail_after(PATIENCE_S):
        for client in clients:
            told: list[Any] = []
            while raw.hash not in told or sum(isinstance(each, dict) for each in told) < 3:
                told.append((await client.receive())["params"]["result"])
            heads = [int(each["number"], 16) for each in told if isinstance(each, dict)]
            assert heads == list(range(heads[0], heads[0] + len(heads)))
            await trio.aclose_forcefully(client.stream)


def fees_of(region: Region) -> Any:
    core = RpcClient(region.node(CORE).rpc_url, PATIENCE_S)
    try:
        return read_fees(core)
    finally:
        core.close()


class Secure:
    """HTTPS connections to the second replica."""

    def __init__(self, region: Region) -> None:
        self._port = region.node(SAFE).rpc_port
        self._tls = ssl.create_default_context(cafile=str(region.authority.path))

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(HOST, self._port, timeout=30, context=self._tls)

    def get(self, credentials: str, target: str) -> tuple[int, Any]:
        connection = self.connect()
        connection.request("GET", target, headers={"authorization": f"Bearer {credentials}"})
        answer = connection.getresponse()
        status, read = answer.status, json.loads(answer.read())
        connection.close()
        return status, read

    def ask(self, credentials: str | None, method: str, *params: Any, over: Any = None) -> tuple[int, Any]:
        connection = over or self.connect()
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"content-type": "application/json"}
        if credentials is not None:
            headers["authorization"] = f"Bearer {credentials}"
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        read = answer.read()
        if over is None:
            connection.close()
        return answer.status, json.loads(read) if read[:1] in b"{[" else read


def test_tls_keys_and_tokens_hold_at_every_worker_and_at_what_is_passed_on(region: Region) -> None:
    safe = Secure(region)
    account = region.layout.accounts[0]["address"]
    token = jwt.encode(claims("alice"), region.token_key, algorithm="EdDSA")
    for _ in range(6):
        for credentials in (region.keys["fast"], token):
            status, answer = safe.ask(credentials, "eth_getBalance", account, "latest")
            assert (status, "result" in answer) == (200, True)
            status, answer = safe.ask(credentials, "eth_newBlockFilter")
            assert "result" in answer, answer
        status, answer = safe.ask(None, "eth_getBalance", account, "latest")
        assert answer["error"]["code"] == -40100
        # Roles are judged by the node for what is passed on: a reader sends nothing, nobody sees the pool.
        assert safe.ask(token, "eth_sendRawTransaction", "0x00")[1]["error"]["code"] == -40100
        assert safe.ask(region.keys["fast"], "txpool_content")[1]["error"]["code"] == -40100
        assert safe.ask("nonsense", "eth_chainId")[0] == 401
    until(lambda: region.metrics(SAFE)["phoenix_rpc_logins_refused"] >= 6, "logins are counted")
    until(lambda: region.metrics(SAFE)["phoenix_rpc_forbidden"] >= 18, "refusals are counted")


def test_a_quota_that_is_spent_at_one_worker_is_spent_at_all(region: Region) -> None:
    safe = Secure(region)
    key, first = region.keys["slow"], safe.connect()
    # Some hundred thousand jumps until the gas is gone: paid for with a minute of silence.
    endless = {"data": "0x5b600056", "gas": hex(10_000_000)}
    status, calls = 200, 0
    while status == 200:
        status, _ = safe.ask(key, "eth_call", endless, "latest", over=first)
        calls += 1
        assert calls < 100
    first.close()

    def everywhere() -> bool:
        return all(safe.ask(key, "eth_blockNumber")[0] == 429 for _ in range(8))

    # Within one exchange, and long before the quota has filled up again.
    assert until(everywhere, "refused by every worker")
    assert safe.ask(region.keys["fast"], "eth_blockNumber")[0] == 200


def test_workers_read_an_index_in_postgresql_and_outlive_it(region: Region) -> None:
    if region.postgres is None:
        pytest.skip("no PostgreSQL (apt install postgresql, pip install -e '.[postgres]')")
    safe, key = Secure(region), region.keys["fast"]
    sender = region.wallet(3)
    (last,) = fund_and_grow(region, 1, wallet=3)
    sent = until(lambda: safe.ask(key, "eth_getTransactionReceipt", last)[1]["result"], "the last transfer")
    block = int(sent["blockNumber"], 16)

    def transactions() -> Any:
        return safe.get(key, f"/v1/accounts/{sender.address}/transactions")

    def shown() -> bool:
        status, answer = transactions()
        return status == 200 and last in [each["hash"] for each in answer["data"]]

    # Each question is a connection of its own, which either worker may take.
    for _ in range(6):
        until(shown, "the index has the block")
        assert transactions()[1]["block"]["number"] >= block
    events = {"fromBlock": "0x0", "toBlock": "latest"}
    assert all(safe.ask(key, "eth_getLogs", events)[1]["result"] == [] for _ in range(6))
    region.postgres.halt()
    try:
        for _ in range(6):
            until(lambda: transactions()[0] == 503, "the index is away")
            answer = safe.ask(key, "eth_getLogs", {"fromBlock": hex(block), "toBlock": hex(block)})[1]
            assert answer["result"] == [], "blocks are looked through instead"
            assert safe.ask(key, "eth_getTransactionReceipt", last)[1]["result"] == sent
        until(lambda: region.metrics(SAFE)["phoenix_index_away"] == 1, "the node says so")
    finally:
        region.postgres.start()
    (newest,) = fund_and_grow(region, 1, wallet=3)
    until(lambda: newest in str(transactions()[1]), "the index goes on")
    assert len(region.workers(SAFE)) == WORKERS
    assert region.metrics(SAFE)["phoenix_worker_restarts"] == 0


def test_the_node_counts_what_its_workers_answer(region: Region) -> None:
    name = 'phoenix_rpc_calls_total{method="eth_protocolVersion"}'
    before = region.metrics(EDGE).get(name, 0.0)
    for _ in range(40):
        ask(region.node(EDGE), "eth_protocolVersion")
    until(lambda: region.metrics(EDGE).get(name, 0.0) - before == 40, "every call is counted once")


def test_a_worker_that_hangs_or_ends_is_told_and_a_clean_stop_leaves_nothing(region: Region) -> None:
    restarts = region.metrics(EDGE)["phoenix_worker_restarts"]
    victim, _ = region.workers(EDGE)
    os.kill(victim, signal.SIGTERM)
    until(lambda: region.metrics(EDGE)["phoenix_worker_restarts"] == restarts + 1, "told")
    workers = until(lambda: len(pids := region.workers(EDGE)) == WORKERS and pids, "all workers")
    until(lambda: region.metrics(EDGE)["phoenix_workers_ready"] == WORKERS, "ready")
    region.lives[EDGE].stop()
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert "Traceback" not in log_of(region.node(EDGE), 10_000)
