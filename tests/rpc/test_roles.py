"""Who may do what: the table against the methods that exist, each role, each rule on parameters."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from node.audit.records import Kind
from node.audit.trail import AuditUnavailable
from node.rpc.identity import INCLUDED, INTERNAL, Identity, Role, roles_of
from node.rpc.quotas import BASE_MS, BUCKETS_MAX, BURST_S, Quotas
from node.rpc.roles import ADMINS, LOOKERS, READERS, RULES, Recorded, refusal_of, rule_of
from tests.rpc.api_keys_file import keys_for
from tests.rpc.client import call_bytes, request_bytes
from tests.rpc.node import make_node
from tests.rpc.secured import ask, secured
from tests.rpc.world import World, signed

TOKEN = "0x" + "70" * 20
CALL = {"to": TOKEN}
HASH = "0x" + "22" * 32


class Admin:
    """AdminBackend that remembers."""

    enode_url = "enode://" + "11" * 64 + "@127.0.0.1:30303"

    def __init__(self) -> None:
        self.added: list[str] = []

    def peers(self) -> list[Any]:
        return []

    def add_peer(self, enode_url: str) -> None:
        from node.primitives.errors import RequestError

        if enode_url == "bad":
            raise RequestError("not an enode URL")
        self.added.append(enode_url)

    def remove_peer(self, enode_url: str) -> None:
        self.added.remove(enode_url)

    def set_blocked_peers(self, enode_urls: Any) -> None:
        self.added = []


def test_the_table_and_the_methods_of_a_node_are_the_same() -> None:
    from node.rpc.api import RpcApi

    node = make_node()
    there = set(RpcApi(node.backend(), node.settings.rpc).dispatcher.methods)
    assert there - RULES.keys() == set(), "these would be for admins only"


def test_what_is_in_no_list_is_for_admins_on_their_listener() -> None:
    rule = rule_of("new_method")
    assert (rule.roles, rule.admin_listener_only, rule.recorded) == (ADMINS, True, Recorded.ADMIN)


def test_admins_may_everything_and_strangers_next_to_nothing() -> None:
    for name, rule in RULES.items():
        bare = type(rule)(rule.roles)
        assert refusal_of(bare, frozenset((Role.ADMIN,)), (), 0) is None, name
    open_to_all = {name for name, rule in RULES.items() if Role.ANONYMOUS in rule.roles}
    assert all(
        not name.startswith(("debug_", "txpool_", "admin_", "eth_get", "eth_call")) for name in open_to_all
    )


def test_no_role_but_submitter_and_admin_sends_transactions() -> None:
    for role in Role:
        may = refusal_of(rule_of("eth_sendRawTransaction"), roles_of((role.value,)), (b"",), 0) is None
        assert may == (role in (Role.SUBMITTER, Role.ADMIN)), role


def test_roles_bring_those_below_them() -> None:
    assert roles_of(("auditor",)) == {Role.AUDITOR, Role.READER, Role.ANONYMOUS}
    assert roles_of(("nonsense",)) == {Role.ANONYMOUS}
    assert INCLUDED.keys() == set(Role)


@pytest.mark.parametrize(
    ("method", "params", "what"),
    [
        ("eth_call", (CALL, "latest", {TOKEN: {"balance": "0x1"}}), "state overrides"),
        ("eth_call", (CALL, "latest", None, {"time": "0x1"}), "block overrides"),
        ("eth_estimateGas", (CALL, "latest", {TOKEN: {"code": "0x00"}}), "state overrides"),
        ("eth_createAccessList", (CALL, "latest", {TOKEN: {"nonce": "0x1"}}), "state overrides"),
        ("debug_traceTransaction", (HASH, {"enableMemory": True}), "traces with memory"),
        ("debug_traceCall", (CALL, "latest", {"stateOverrides": {TOKEN: {}}}), "state and block overrides"),
        ("debug_traceBlockByNumber", ("0x0",), ""),
        ("txpool_content", (), ""),
    ],
)
async def test_what_costs_much_or_shows_much_is_for_operators_and_auditors(
    tmp_path: Path, method: str, params: tuple[Any, ...], what: str
) -> None:
    path, keys = keys_for(tmp_path, "reader", "auditor", "operator")
    async with secured(auth={"api_keys": path}) as served:
        client = await served.http()
        refusal = (await ask(client, call_bytes(method, *params), keys["reader"]))[2].decode()
        asked = f"{method} with {what}" if what else method
        assert f"{asked} needs the role auditor or operator; api-key:reader has anonymous, reader" in refusal
        for role in ("auditor", "operator"):
            assert b"-40100" not in (await ask(client, call_bytes(method, *params), keys[role]))[2]
        [(actor, facts)] = served.trail.of(Kind.PERMISSION_REFUSED)
        assert (actor, facts["method"]) == ("api-key:reader", method)


@pytest.mark.parametrize(
    ("wanted", "ok"),
    [
        ({"fromBlock": "0x0", "toBlock": "0x270f"}, True),
        ({"fromBlock": "0x0", "toBlock": "0x2710"}, False),
        ({"fromBlock": "earliest"}, False),
        ({"fromBlock": "earliest", "toBlock": "0x10"}, True),
        ({"fromBlock": "latest"}, True),
        ({"blockHash": HASH}, True),
        ({}, True),
    ],
)
def test_readers_look_through_ten_thousand_blocks_at_once(wanted: dict[str, str], ok: bool) -> None:
    from node.rpc.logs import read_log_filter

    rule = rule_of("eth_getLogs")
    asked = (read_log_filter(wanted),)
    assert (refusal_of(rule, roles_of(("reader",)), asked, 50_000) is None) == ok
    assert refusal_of(rule, roles_of(("auditor",)), asked, 50_000) is None


def test_traces_of_one_transaction_are_for_readers() -> None:
    assert rule_of("debug_traceTransaction").roles == READERS
    assert rule_of("debug_traceBlockByHash").roles == LOOKERS


# --- the admin listener


async def test_what_changes_the_node_is_on_the_admin_listener_only(tmp_path: Path) -> None:
    admin = Admin()
    path, keys = keys_for(tmp_path, "admin", "operator")
    async with secured(auth={"api_keys": path}, backend={"admin": admin}) as served:
        public, inside = await served.http(), await served.http(admin=True)
        add = call_bytes("admin_addPeer", "enode://x")
        assert b"served on the admin listener only" in (await ask(public, add, keys["admin"]))[2]
        assert b"needs the role admin" in (await ask(inside, add, keys["operator"]))[2]
        assert b"needs the role admin" in (await ask(inside, add))[2], "whoever is on this machine is nobody"
        assert admin.added == []
        assert b'"result":true' in (await ask(inside, add, keys["admin"]))[2]
        assert admin.added == ["enode://x"]
        assert (
            b"not an enode URL" in (await ask(inside, call_bytes("admin_addPeer", "bad"), keys["admin"]))[2]
        )
        done = [facts for _, facts in served.trail.of(Kind.ADMIN_ACTION)]
        assert done == [
            {"method": "admin_addPeer", "parameters": ["enode://x"]},
            {"method": "admin_addPeer", "parameters": ["bad"]},
            {"method": "admin_addPeer", "failed": "not an enode URL"},
        ]


async def test_this_machine_administers_where_the_settings_say_so() -> None:
    async with secured(auth={"admin_local_roles": ("admin",)}, backend={"admin": Admin()}) as served:
        inside = await served.http(admin=True)
        assert (await inside.call("admin_peers"))["result"] == []
        assert (await inside.call("eth_blockNumber"))["result"] == "0x0"


async def test_without_its_record_nothing_administrative_is_done() -> None:
    admin = Admin()
    async with secured(auth={"admin_local_roles": ("admin",)}, backend={"admin": admin}) as served:
        served.trail.refuse = AuditUnavailable("the disk is full")
        inside, public = await served.http(admin=True), await served.http()
        assert "disk is full" in (await inside.call("admin_addPeer", "enode://x"))["error"]["message"]
        assert admin.added == []
        raw = "0x" + signed(0).encoded.hex()
        assert "disk is full" in (await public.call("eth_sendRawTransaction", raw))["error"]["message"]
        assert (await public.call("eth_blockNumber"))["result"] == "0x0"


async def test_every_submitted_transaction_is_on_record_with_who_sent_it() -> None:
    async with secured() as served:
        client = await served.http()
        tx = signed(0)
        await client.result("eth_sendRawTransaction", "0x" + tx.encoded.hex())
        [(actor, facts)] = served.trail.of(Kind.TRANSACTION_SUBMITTED)
        assert (actor, facts["transaction"]) == ("local@127.0.0.1", "0x" + tx.hash.hex())


# --- quotas


def test_a_bucket_pays_later_and_fills_with_time() -> None:
    bucket = Quotas().bucket("a", 100.0, 0.0)
    assert bucket.wait_s(0.0) == 0.0
    bucket.take(100.0 * BURST_S + 250.0)
    assert bucket.wait_s(0.0) == pytest.approx(2.5)
    assert bucket.wait_s(2.4) == pytest.approx(0.1)
    assert bucket.wait_s(2.6) == 0.0
    assert bucket.wait_s(1e6) == 0.0
    assert bucket.left == 100.0 * BURST_S


def test_there_are_only_so_many_buckets() -> None:
    quotas = Quotas()
    for number in range(2 * BUCKETS_MAX):
        quotas.bucket(f"10.0.{number}", 1.0, 0.0)
    assert len(quotas) == BUCKETS_MAX


async def test_who_has_used_up_its_quota_is_told_when_to_come_again(tmp_path: Path) -> None:
    path, keys = keys_for(tmp_path, "reader", "operator", quota=0.01)
    trace = call_bytes("debug_traceCall", CALL)
    async with secured(auth={"api_keys": path}) as served:
        client = await served.http()
        # A full bucket holds 0.2 ms, and a trace costs a hundred times that.
        assert (await ask(client, trace, keys["operator"]))[0] == 200
        status, headers, body = await ask(client, trace, keys["operator"])
        assert status == 429
        assert int(headers["retry-after"]) >= 1
        error = msgspec.json.decode(body)["error"]
        assert (error["code"], "quota exceeded" in error["message"]) == (-32005, True)
        assert error["data"]["retryAfter"] > 0
        assert (await ask(client, trace, keys["reader"]))[0] == 200, "others have quotas of their own"
        batch = b"[" + b",".join([call_bytes("eth_blockNumber")] * 3) + b"]"
        status, _, body = await ask(client, batch, keys["operator"])
        assert (status, body.count(b"-32005")) == (429, 3)
        socket = await served.websocket(x_api_key=keys["operator"])
        assert (await socket.call("eth_blockNumber"))["error"]["code"] == -32005
        assert b"phoenix_rpc_over_quota" in served.metrics.exposition()
        assert served.trail.of(Kind.PERMISSION_REFUSED)[0][1] == {"reason": "quota exceeded"}


async def test_a_quota_is_of_the_identity_and_not_of_the_connection(tmp_path: Path) -> None:
    path, keys = keys_for(tmp_path, "operator", quota=0.01)
    async with secured(auth={"api_keys": path}) as served:
        for expected in (200, 429, 429):
            client = await served.http()
            assert (await ask(client, call_bytes("debug_traceCall", CALL), keys["operator"]))[0] == expected


async def test_within_a_batch_the_quota_ends_where_it_ends(tmp_path: Path) -> None:
    path, keys = keys_for(tmp_path, "operator", quota=0.01)
    batch = b"[" + b",".join([call_bytes("debug_traceCall", CALL)] * 4) + b"]"
    async with secured(auth={"api_keys": path}) as served:
        status, _, body = await ask(await served.http(), batch, keys["operator"])
        assert (status, body.count(b"-32005")) == (200, 3)


async def test_clients_of_this_machine_have_no_bound_unless_it_is_set() -> None:
    async with secured(auth={"local_quota_ms_per_s": 0.001}) as served:
        client = await served.http()
        assert (await client.exchange(request_bytes(call_bytes("eth_blockNumber"))))[0] == 200
        assert (await client.exchange(request_bytes(call_bytes("eth_blockNumber"))))[0] == 429


async def test_refused_logins_cost_the_address_they_come_from() -> None:
    async with secured(auth={"stranger_quota_ms_per_s": 0.01}) as served:
        client = await served.http()
        words = []
        for _ in range(3):
            client = await served.http()
            words.append((await ask(client, call_bytes("eth_blockNumber"), "nonsense"))[2])
        assert b"takes no tokens" in words[0]
        assert b"try again later" in words[2]


async def test_every_kind_of_work_has_its_price() -> None:
    from node.rpc.method import Where

    assert BASE_MS.keys() == set(Where)


# --- numbers


async def test_calls_seconds_and_errors_are_counted_by_method() -> None:
    async with secured(World()) as served:
        client = await served.http()
        await client.call("eth_blockNumber")
        await client.call("eth_call", CALL, "0x99")
        await client.call("no_suchMethod")
        await client.call("another_" + "x" * 50)
        page = served.metrics.exposition().decode()
        assert 'phoenix_rpc_calls_total{method="eth_blockNumber"} 1.0' in page
        assert 'phoenix_rpc_errors_total{code="-32601",method="unknown"} 2.0' in page
        assert 'phoenix_rpc_seconds_total{method="eth_call"}' in page
        assert "no_suchMethod" not in page


def test_the_inside_of_the_node_may_everything() -> None:
    assert INTERNAL.roles == set(Role)
    assert INTERNAL.quota_per_s is None
    assert Identity("a", frozenset()).ended(1e12) is None
