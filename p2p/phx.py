"""Capability phx/1, between members: by which rules we play, who is connected to whom, what time it is.

    0x00  Rules         digest of all of the chain's rules, 32 bytes; first of all
    0x01  PeerSets      [[block, time in ms, [node key, ...], signature], ...]
    0x02  Ping          [our time in ms]
    0x03  Pong          [the time of the ping, our time in ms]

A peer set is signed with the node's own key over chain, block, time and the keys it is connected to, so
that whoever passes it on cannot change it. Peers that do not know phx (geth) do not list it and hear nothing
of it; its name sorts behind eth, so that nothing moves there. What a peer set means is for others to judge.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from node.primitives import rlp
from node.primitives.crypto import SIGNATURE_BYTES, PrivateKey, keccak256, recover_public_key
from node.primitives.ids import Hash32
from p2p.devp2p.hello import NODE_ID_BYTES, CapabilitySpec
from p2p.errors import MalformedMessage

PHX: Final = CapabilitySpec("phx", 1, 4)
RULES_CODE: Final = 0x00
PEER_SETS_CODE: Final = 0x01
PING_CODE: Final = 0x02
PONG_CODE: Final = 0x03
PEERS_MAX: Final = 1_024
"""In one set."""
SETS_MAX: Final = 64
"""In one message."""
PEER_SETS_BYTES_MAX: Final = 512 * 1024
_DOMAIN: Final = b"phoenix peer set v1"


@dataclass(frozen=True, slots=True)
class PeerSet:
    """Who a node says it is connected to."""

    node: bytes
    """64-byte key of who says it: recovered from the signature, never sent."""
    block: int
    """Its head."""
    time_ms: int
    """Its clock."""
    peers: tuple[bytes, ...]
    """64-byte keys, ascending."""
    signature: bytes


@dataclass(frozen=True, slots=True)
class Rules:
    """By which rules a peer plays."""

    digest: Hash32


@dataclass(frozen=True, slots=True)
class PeerSets:
    """What a peer heard, or says of itself."""

    sets: tuple[PeerSet, ...]


@dataclass(frozen=True, slots=True)
class Ping:
    """What time is it? It is this, here."""

    time_ms: int


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer."""

    asked_ms: int
    time_ms: int


Message = Rules | PeerSets | Ping | Pong


def sign_peer_set(key: PrivateKey, chain: bytes, block: int, time_ms: int, peers: Sequence[bytes]) -> PeerSet:
    """Ours; `chain` is what tells our network from every other."""
    listed = tuple(sorted(peers)[:PEERS_MAX])
    signature = key.sign(_digest(chain, block, time_ms, listed))
    return PeerSet(key.public_key, block, time_ms, listed, signature)


def encode(message: Message) -> tuple[int, bytes]:
    """(message id, payload)."""
    match message:
        case Rules(digest):
            return RULES_CODE, rlp.encode([digest])
        case PeerSets(sets):
            assert len(sets) <= SETS_MAX
            return PEER_SETS_CODE, rlp.encode([_fields(each) for each in sets])
        case Ping(time_ms):
            return PING_CODE, rlp.encode([time_ms])
        case Pong(asked_ms, time_ms):
            return PONG_CODE, rlp.encode([asked_ms, time_ms])


def decode(code: int, payload: bytes, chain: bytes) -> Message:
    """Inverse of `encode`, signatures proved; MalformedMessage or another ChainError for anything else."""
    if len(payload) > PEER_SETS_BYTES_MAX:
        raise MalformedMessage(f"a message of {len(payload)} bytes; at most {PEER_SETS_BYTES_MAX}")
    items = rlp.as_list(rlp.decode(payload))
    if code == PEER_SETS_CODE:
        if len(items) > SETS_MAX:
            raise MalformedMessage(f"{len(items)} peer sets; at most {SETS_MAX}")
        return PeerSets(tuple(_peer_set(item, chain) for item in items))
    if code == RULES_CODE and len(items) == 1:
        return Rules(Hash32(rlp.as_bytes(items[0], 32)))
    if code == PING_CODE and len(items) == 1:
        return Ping(rlp.as_uint(items[0], 64))
    if code == PONG_CODE and len(items) == 2:
        return Pong(rlp.as_uint(items[0], 64), rlp.as_uint(items[1], 64))
    raise MalformedMessage(f"phx/1 has no message {code:#04x} of {len(items)} items")


def _fields(found: PeerSet) -> list[rlp.Encodable]:
    return [found.block, found.time_ms, list(found.peers), found.signature]


def _peer_set(item: rlp.Item, chain: bytes) -> PeerSet:
    block_item, time_item, peers_item, signature_item = rlp.as_list(item, 4)
    block, time_ms = rlp.as_uint(block_item, 64), rlp.as_uint(time_item, 64)
    listed = rlp.as_list(peers_item)
    if len(listed) > PEERS_MAX:
        raise MalformedMessage(f"a peer set of {len(listed)}; at most {PEERS_MAX}")
    peers = tuple(rlp.as_bytes(peer, NODE_ID_BYTES) for peer in listed)
    if any(later <= earlier for earlier, later in pairwise(peers)):
        raise MalformedMessage("the keys of a peer set ascend, each once")
    signature = rlp.as_bytes(signature_item, SIGNATURE_BYTES)
    node = recover_public_key(_digest(chain, block, time_ms, peers), signature)
    return PeerSet(node, block, time_ms, peers, signature)


def _digest(chain: bytes, block: int, time_ms: int, peers: Sequence[bytes]) -> Hash32:
    return keccak256(_DOMAIN + rlp.encode([chain, block, time_ms, list(peers)]))
