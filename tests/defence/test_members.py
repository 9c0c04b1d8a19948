"""Members only, on live nodes: who leaves the list leaves at once; who lets a stranger in is found out."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from devnet.client import RpcClient
from devnet.generate import MEMBERS_FILE, encode_toml, settings_of
from devnet.layout import Layout, NodeFiles
from node.audit.records import Kind
from node.config.data_dir import audit_path
from node.permissioning.allowlist import encode_allowlist, read_allowlist, without_members
from p2p.enode import parse_enode
from p2p.errors import PeerError
from tests.audit.logs import records
from tests.defence.attacker import attacker_key, meet, status_of
from tests.faults.live import ask, end_all, log_of, make_network, start

pytestmark = pytest.mark.long

WITHIN_S = 60.0
"""For a busy machine; the log has the real times."""


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    """Three validators; gamma does not ask who its peers are."""
    layout = make_network(tmp_path, validators=3, period_s=1)
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


def peers(node: NodeFiles) -> set[bytes]:
    return {parse_enode(peer["enode"]).public_key for peer in admin(node, "admin_peers")}


def test_a_stranger_at_one_member_is_named_by_all_others(layout: Layout) -> None:
    alpha, beta, gamma = layout.nodes
    stranger, status = attacker_key(77), status_of(layout)

    async def visit() -> float:
        with pytest.raises(PeerError):
            await meet(alpha, stranger, status)
        connection = await meet(gamma, stranger, status)
        try:
            return await trio.to_thread.run_sync(
                lambda: wait(lambda: all(named(node) for node in (alpha, beta)), "nobody noticed")
            )
        finally:
            await connection.stream.aclose()

    def named(node: NodeFiles) -> bool:
        found = admin(node, "perm_peerSets")["strangers"]
        host = parse_enode(gamma.enode).public_key.hex()
        return any((each["node"], each["connectedTo"]) == (stranger.public_key.hex(), host) for each in found)

    took = trio.run(visit)
    print(f"\nthe stranger at gamma was named by alpha and beta after {took:.1f} s")
    assert "stranger is connected to a member" in log_of(alpha, 1_000)
    refusal = next(
        each for each in records(audit_path(alpha.data_dir)) if each.kind == Kind.PEER_REFUSED.label
    )
    assert refusal.actor.startswith(f"peer:{stranger.public_key[:16].hex()}@")
    assert refusal.facts["rule"] == "file"
    why = admin(alpha, "perm_explain", stranger.public_key.hex())
    assert (why["accept"]["allowed"], why["accept"]["rule"]) == (False, "file")
    # It leaves, and gamma's next set says so.
    wait(lambda: not any(named(node) for node in (alpha, beta)), "it is still said to be there")


def test_who_is_taken_off_the_list_is_disconnected_within_a_block(layout: Layout) -> None:
    alpha, beta, gamma = layout.nodes
    gone = parse_enode(gamma.enode).public_key
    path = layout.home / MEMBERS_FILE
    before = int(ask(alpha, "eth_blockNumber"), 16)
    aside = path.with_name("members.next")
    aside.write_text(encode_allowlist(without_members(read_allowlist(path), [gone])))
    aside.replace(path)
    took = wait(lambda: gone not in peers(alpha) | peers(beta), "it is still connected")
    blocks = int(ask(alpha, "eth_blockNumber"), 16) - before
    print(f"\ndisconnected after {took:.1f} s, {blocks} blocks")
    assert admin(alpha, "perm_explain", gamma.enode)["dial"]["rule"] == "file"
    # A bad file changes nothing: beta stays.
    path.write_text("[[members]]\nid = 7\n")
    with pytest.raises(Exception, match="the old list stays"):
        admin(alpha, "perm_reloadPermissionsFromFile")
    assert peers(alpha) == {parse_enode(beta.enode).public_key}
