"""What members sign of their connections, on a whole node: words that do not fit are told to its operator."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from devnet.client import RpcClient
from devnet.network import wait_until
from node.chain.genesis import genesis_block
from node.chain.genesis_json import load_genesis
from node.config.data_dir import audit_path
from node.config.load import load_settings
from node.permissioning import peer_sets
from node.permissioning.allowlist import Member, encode_allowlist, read_allowlist, with_members
from node.permissioning.policy import Tier
from node.primitives.crypto import PrivateKey
from p2p.connection import Connection
from p2p.enode import parse_enode
from p2p.phx import PHX, PeerSets, encode, sign_peer_set
from tests.app.whole import make_validator, running
from tests.audit.logs import records
from tests.defence.attacker import ETH, attacker_key, meet, status_of

PATIENCE_S = 60.0
FIRST_CODE = 16
"""Of the first capability; those of phx follow eth's."""


async def say(connection: Connection, key: PrivateKey, chain: bytes, block: int, peers: list[bytes]) -> None:
    """Sign and send a peer set."""
    signed = sign_peer_set(key, chain, block, time.time_ns() // 1_000_000, peers)
    code, payload = encode(PeerSets((signed,)))
    await connection.write(FIRST_CODE + ETH.message_count + code, payload)


async def until(done: Callable[[], bool]) -> None:
    await trio.to_thread.run_sync(wait_until, done, PATIENCE_S, "what members said")


async def test_a_member_that_claims_what_the_other_end_denies_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_sets, "GRACE_BLOCKS", 2)  # so that it does not take a minute
    node = make_validator(tmp_path, rpc={"namespaces": ["eth", "perm"]})
    settings = load_settings(node.config)
    assert settings.permissioning.file is not None
    liar, honest = attacker_key(1), attacker_key(2)
    members = [Member(id=key.public_key, organisation="south", tier=Tier.CORE) for key in (liar, honest)]
    file = settings.permissioning.file
    file.write_text(encode_allowlist(with_members(read_allowlist(file), members)))
    status: Any = status_of(SimpleNamespace(genesis=settings.genesis))  # type: ignore[arg-type]
    chain = genesis_block(load_genesis(settings.genesis)).header.hash
    us = parse_enode(node.enode).public_key
    client, admin = RpcClient(node.rpc_url, PATIENCE_S), RpcClient(node.admin_url, PATIENCE_S)

    def head() -> int:
        return int(client.call("eth_blockNumber"), 16)

    def findings() -> Any:
        return admin.call("perm_peerSets")["findings"]

    async with running(node):
        one = await meet(node, liar, status, PHX)
        two = await meet(node, honest, status, PHX)
        first = await trio.to_thread.run_sync(head)
        await say(one, liar, chain, first, [us, honest.public_key])
        await say(two, honest, chain, first, [us])
        await until(lambda: head() > first + 1)  # it has looked
        assert await trio.to_thread.run_sync(findings) == []
        await say(one, liar, chain, first + 3, [us, honest.public_key])
        await say(two, honest, chain, first + 3, [us])
        await until(lambda: findings() != [])
        [found] = await trio.to_thread.run_sync(findings)
        for connection in (one, two):
            await connection.stream.aclose()
    assert found == {
        "fault": "denied",
        "node": liar.public_key.hex(),
        "connectedTo": honest.public_key.hex(),
    }
    recorded = [each for each in records(audit_path(settings.data_dir)) if "fault" in each.facts]
    assert [each.facts["says"] for each in recorded] == [liar.public_key.hex()]
    client.close()
    admin.close()
