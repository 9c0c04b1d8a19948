"""Members only, on live nodes: who lets in a stranger, or a member whom its tier keeps away, is found out by
all others; who leaves the list leaves at once. One network, in the order of these tests.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

from devnet.client import RpcClient
from devnet.generate import MEMBERS_FILE, encode_toml, settings_of
from devnet.layout import Layout, NodeFiles
from node.audit.records import Kind, Record
from node.cli.entry import main
from node.config.data_dir import audit_path
from node.permissioning.allowlist import encode_allowlist, read_allowlist, without_members
from node.permissioning.policy import Tier
from p2p.connection import Connection
from p2p.devp2p.messages import EMPTY_PAYLOAD, PING_CODE, PONG_CODE
from p2p.enode import parse_enode
from p2p.errors import PeerError
from tests.audit.logs import records
from tests.defence.attacker import attacker_key, enter, meet, status_of
from tests.faults.live import ask, end_all, log_of, make_network, start

pytestmark = pytest.mark.long(15)

WITHIN_S = 60.0
"""For a busy machine; the log has the real times."""
EDGE = attacker_key(1)
"""A light client's: it may reach no validator."""


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """Three validators; gamma does not ask who its peers are."""
    layout = make_network(tmp_path_factory.mktemp("members"), validators=3, period_s=1)
    enter(layout, [EDGE], Tier.EDGE)
    for node in layout.nodes:
        settings = settings_of(layout, node)
        settings["rpc"]["namespaces"] += ["perm"]
        if node.name == "gamma":
            del settings["permissioning"]
        node.config.write_text(encode_toml(settings))
    lives = [start(node) for node in layout.nodes]
    try:
        for life in lives:
            life.wait_answering()
        wait(lambda: all(len(peers(node)) == 2 for node in layout.nodes), "the network does not start")
        yield layout
    finally:
        end_all()


def wait(done: Callable[[], bool], what: str) -> float:
    """Seconds until it was so."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() < began + WITHIN_S, what
        time.sleep(0.05)
    return time.monotonic() - began


def admin(node: NodeFiles, method: str, *params: Any) -> Any:
    client = RpcClient(node.admin_url, 60.0)
    try:
        return client.call(method, *params)
    finally:
        client.close()


def recorded(node: NodeFiles) -> list[Record]:
    return records(audit_path(node.data_dir))


async def until(done: Callable[[], bool], what: str) -> float:
    return await trio.to_thread.run_sync(wait, done, what)


def peers(node: NodeFiles) -> set[bytes]:
    return {parse_enode(peer["enode"]).public_key for peer in admin(node, "admin_peers")}


async def stay(connection: Connection) -> None:
    """Be a peer that answers pings and says nothing else, until cancelled."""
    while True:
        message = await connection.read()
        if message.code == PING_CODE:
            await connection.write(PONG_CODE, EMPTY_PAYLOAD)


def test_a_stranger_and_a_forbidden_pair_at_one_member_are_named_by_all_others(layout: Layout) -> None:
    alpha, beta, gamma = layout.nodes
    stranger, status = attacker_key(77), status_of(layout)
    honest, host = (alpha, beta), parse_enode(gamma.enode).public_key.hex()

    async def visit() -> tuple[float, float]:
        for key in (stranger, EDGE):
            with pytest.raises(PeerError):
                await meet(alpha, key, status)
        light, guest = await meet(gamma, EDGE, status), await meet(gamma, stranger, status)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stay, light)
            nursery.start_soon(stay, guest)
            named_s = await until(lambda: all(named(node) for node in honest), "nobody noticed the stranger")
            found_s = await until(lambda: all(found(node) for node in honest), "nobody noticed the pair")
            nursery.cancel_scope.cancel()
        for connection in (light, guest):
            await connection.stream.aclose()
        return named_s, named_s + found_s

    def named(node: NodeFiles) -> bool:
        strangers = admin(node, "perm_peerSets")["strangers"]
        return any(
            (each["node"], each["connectedTo"]) == (stranger.public_key.hex(), host) for each in strangers
        )

    def found(node: NodeFiles) -> bool:
        pair = {"fault": "forbidden", "node": host, "connectedTo": EDGE.public_key.hex()}
        return pair in admin(node, "perm_peerSets")["findings"]

    def is_recorded(node: NodeFiles) -> bool:
        told = [each.facts for each in recorded(node) if each.kind == Kind.PERMISSION_REFUSED.label]
        words = [(each.get("fault"), each.get("stranger") or each.get("of")) for each in told]
        return {(None, stranger.public_key.hex()), ("forbidden", EDGE.public_key.hex())} <= set(words)

    named_s, found_s = trio.run(visit)
    print(
        f"\nat gamma, alpha and beta named the stranger after {named_s:.1f} s, the pair after {found_s:.1f} s"
    )
    why = admin(alpha, "perm_explain", stranger.public_key.hex())
    assert (why["accept"]["allowed"], why["accept"]["rule"]) == (False, "file")
    assert admin(alpha, "perm_explain", EDGE.public_key.hex())["accept"]["rule"] == "tier"
    refused = {
        each.actor[:37]: each.facts["rule"]
        for each in recorded(alpha)
        if each.kind == Kind.PEER_REFUSED.label
    }
    assert refused == {
        f"peer:{stranger.public_key[:16].hex()}": "file",
        f"peer:{EDGE.public_key[:16].hex()}": "tier",
    }
    for node in honest:
        assert "a stranger is connected to a member that does not enforce" in log_of(node, 1_000)
    wait(lambda: all(map(is_recorded, honest)), "it is not on record everywhere")
    # They leave, and gamma's next set says so.
    wait(lambda: not any(named(node) or found(node) for node in honest), "they are still said to be there")


def changes(node: NodeFiles) -> list[Record]:
    return [each for each in recorded(node) if (each.kind, each.actor) == ("role.changed", "file")]


def test_who_is_taken_off_the_list_is_disconnected_within_a_block(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    alpha, beta, gamma = layout.nodes
    gone = parse_enode(gamma.enode).public_key
    path = layout.home / MEMBERS_FILE
    before = int(ask(alpha, "eth_blockNumber"), 16)
    aside = path.with_name("members.next")
    aside.write_text(encode_allowlist(without_members(read_allowlist(path), [gone])))
    aside.replace(path)
    took = wait(lambda: gone not in peers(alpha) | peers(beta), "it is still connected")
    blocks = int(ask(alpha, "eth_blockNumber"), 16) - before
    with capsys.disabled():
        print(f"\ndisconnected after {took:.1f} s, {blocks} blocks")
    assert admin(alpha, "perm_explain", gamma.enode)["dial"]["rule"] == "file"
    explain = ["perm", "explain", "--rpc", alpha.admin_url]
    capsys.readouterr()
    assert (main([*explain, gamma.enode]), main([*explain, beta.enode])) == (1, 0)
    words = capsys.readouterr().out
    assert "is not in the members' file  (rule file)" in words
    assert "a validator as we are: they always meet  (rule validators)" in words
    wait(lambda: all(map(changes, (alpha, beta))), "it is not on record everywhere")
    for node in (alpha, beta):
        [change] = changes(node)
        assert change.facts["changes"] == [
            f"gone: node {gone[:16].hex()} gamma of operator (core), validator"
        ]
    # A bad file changes nothing: beta stays.
    path.write_text("[[members]]\nid = 7\n")
    with pytest.raises(Exception, match="the old list stays"):
        admin(alpha, "perm_reloadPermissionsFromFile")
    assert peers(alpha) == {parse_enode(beta.enode).public_key}
