"""phx/1: what goes over the wire, and what is refused there."""

import dataclasses

import pytest

from node.primitives import rlp
from node.primitives.errors import ChainError
from node.primitives.ids import Hash32
from p2p import phx
from p2p.phx import PeerSets, Ping, Pong, Rules, decode, encode, sign_peer_set
from tests.p2p.network import key

CHAIN = b"\x01" * 32
A, B, C = key(1), key(2), key(3)


def test_every_message_comes_back() -> None:
    ours = sign_peer_set(A, CHAIN, 7, 123_456, [C.public_key, B.public_key])
    assert ours.peers == tuple(sorted((B.public_key, C.public_key)))
    for message in (Rules(Hash32(b"\x05" * 32)), PeerSets((ours,)), PeerSets(()), Ping(5), Pong(5, 9)):
        assert decode(*encode(message), CHAIN) == message


def test_who_changes_a_set_signs_for_somebody_else() -> None:
    ours = sign_peer_set(A, CHAIN, 7, 5, [B.public_key])
    for change in ({"block": 8}, {"time_ms": 6}, {"peers": (C.public_key,)}, {"peers": ()}):
        code, payload = encode(PeerSets((dataclasses.replace(ours, **change),)))
        try:
            decoded = decode(code, payload, CHAIN)
        except ChainError:
            continue
        assert isinstance(decoded, PeerSets)
        assert decoded.sets[0].node != A.public_key
    decoded = decode(*encode(PeerSets((ours,))), b"\x02" * 32)
    assert isinstance(decoded, PeerSets)
    assert decoded.sets[0].node != A.public_key, "a set of another chain is nobody's here"


def test_what_breaks_the_bounds_is_refused() -> None:
    ours = sign_peer_set(A, CHAIN, 7, 5, [B.public_key, C.public_key])
    unordered = [ours.block, ours.time_ms, list(reversed(ours.peers)), ours.signature]
    twice = [ours.block, ours.time_ms, [ours.peers[0]] * 2, ours.signature]
    many = [ours.block, ours.time_ms, [B.public_key] * (phx.PEERS_MAX + 1), ours.signature]
    whole = [ours.block, ours.time_ms, list(ours.peers), ours.signature]
    for code, payload in (
        (phx.PEER_SETS_CODE, rlp.encode([unordered])),
        (phx.PEER_SETS_CODE, rlp.encode([twice])),
        (phx.PEER_SETS_CODE, rlp.encode([many])),
        (phx.PEER_SETS_CODE, rlp.encode([whole] * (phx.SETS_MAX + 1))),
        (phx.PEER_SETS_CODE, bytes(phx.PEER_SETS_BYTES_MAX + 1)),
        (phx.PEER_SETS_CODE, rlp.encode([[1, 2, []]])),
        (phx.RULES_CODE, rlp.encode([b"\x01"])),
        (phx.PING_CODE, rlp.encode([b"\x01" * 9])),
        (phx.PONG_CODE, rlp.encode([1])),
        (9, rlp.encode([])),
        (phx.PING_CODE, b"\xff"),
    ):
        with pytest.raises(ChainError):
            decode(code, payload, CHAIN)
