"""Status and fork ids against published values."""

import dataclasses
from typing import Any

import pytest

from node.primitives import rlp
from node.primitives.errors import ChainError
from node.primitives.ids import Hash32
from p2p.errors import IncompatiblePeer
from p2p.eth.status import (
    ForkId,
    Status,
    check_fork_id,
    check_status,
    decode_status,
    encode_status,
    fork_id,
)
from tests.vectors import load_json, require

STATUS = Status(68, 1337, 1 << 90, Hash32(b"\x01" * 32), Hash32(b"\x02" * 32), ForkId(b"\x01\x02\x03\x04", 9))


def vectors() -> Any:
    return load_json(require("devp2p/forkid.json"))


@pytest.mark.parametrize("network", ["mainnet", "ropsten", "rinkeby", "goerli", "sepolia"])
def test_published_fork_ids_are_made(network: str) -> None:
    data = vectors()
    genesis = Hash32(bytes.fromhex(data["genesis_hash"][network]))
    for row in data["creation"][network]:
        made = fork_id(genesis, data["fork_blocks"][network], row["head"])
        assert made == ForkId(bytes.fromhex(row["hash"]), row["next"]), row


def test_published_fork_ids_with_one_more_fork_are_made() -> None:
    data = vectors()
    genesis = Hash32(bytes.fromhex(data["genesis_hash"]["mainnet"]))
    for row in data["creation"]["merge"]:
        made = fork_id(genesis, [*data["fork_blocks"]["mainnet"], 18_000_000], row["head"])
        assert made == ForkId(bytes.fromhex(row["hash"]), row["next"]), row


def test_published_verdicts_on_fork_ids_are_reached() -> None:
    data = vectors()
    genesis = Hash32(bytes.fromhex(data["genesis_hash"]["mainnet"]))
    for row in data["validation_local_mainnet"]:
        theirs = ForkId(bytes.fromhex(row["remote_hash"]), row["remote_next"])
        words = ""
        try:
            check_fork_id(genesis, data["fork_blocks"]["mainnet"], row["local_head"], theirs)
        except IncompatiblePeer as refused:
            words = str(refused)
        match row["expect"]:
            case "accept":
                assert words == "", row
            case "reject_remote_stale":
                assert "the peer's software is old" in words, row
            case "reject_local_incompatible_or_stale":
                assert "software is old" not in words, row
                assert words, row


def test_published_fork_id_bytes_stand_in_a_status() -> None:
    for row in vectors()["encoding"]:
        status = dataclasses.replace(STATUS, fork_id=ForkId(bytes.fromhex(row["hash"]), row["next"]))
        encoded = encode_status(status)
        assert encoded.endswith(bytes.fromhex(row["rlp"]))
        assert decode_status(encoded) == status


def test_forks_count_once_in_order_and_not_at_genesis() -> None:
    genesis = Hash32(bytes(32))
    assert fork_id(genesis, [0, 7, 0, 7, 3], 5) == fork_id(genesis, [3, 7], 5)
    assert fork_id(genesis, [0, 0], 5) == fork_id(genesis, [], 0)
    assert fork_id(genesis, [0], 5).next == 0


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (0, 1 << 32),
        (1, 1 << 64),
        (2, 1 << 256),
        (3, bytes(31)),
        (4, bytes(33)),
        (5, [bytes(3), 0]),
        (5, [bytes(4)]),
    ],
)
def test_a_status_out_of_bounds_is_refused(index: int, value: rlp.Encodable) -> None:
    items = rlp.decode(encode_status(STATUS))
    assert isinstance(items, list)
    with pytest.raises(ChainError):
        decode_status(rlp.encode([*items[:index], value, *items[index + 1 :]]))


@pytest.mark.parametrize("count", [0, 5, 7])
def test_a_status_of_another_length_is_refused(count: int) -> None:
    with pytest.raises(ChainError):
        decode_status(rlp.encode([1] * count))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 67}, "Status says eth/67 where Hello agreed on eth/68"),
        ({"network_id": 1}, "network 1; ours is 1337"),
        ({"genesis_hash": Hash32(b"\x03" * 32)}, "genesis 0x0303"),
    ],
)
def test_a_peer_of_another_network_is_told_why(change: Any, words: str) -> None:
    check_status(STATUS, STATUS)
    with pytest.raises(IncompatiblePeer, match=words):
        check_status(STATUS, dataclasses.replace(STATUS, **change))


def test_heads_may_differ() -> None:
    check_status(STATUS, dataclasses.replace(STATUS, total_difficulty=1, head_hash=Hash32(bytes(32))))
