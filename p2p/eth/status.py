"""The eth handshake: who is on which network, and which forks it knows (fork id: EIP-2124)."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from node.primitives import rlp
from node.primitives.ids import BlockNumber, Hash32, hex_of
from p2p.errors import IncompatiblePeer, MalformedMessage

STATUS_CODE: Final = 0x00


@dataclass(frozen=True, slots=True)
class ForkId:
    """What forks a chain has passed and which comes next."""

    hash: bytes
    """4 bytes: CRC-32 of the genesis hash and of the fork blocks passed."""
    next: BlockNumber
    """The next fork's block; 0 when none is known."""

    def __str__(self) -> str:
        return f"{self.hash.hex()}/{self.next}"


@dataclass(frozen=True, slots=True)
class Status:
    """The first message of either side."""

    version: int
    """Of the eth protocol."""
    network_id: int
    total_difficulty: int
    """Up to and with the head."""
    head_hash: Hash32
    genesis_hash: Hash32
    fork_id: ForkId


def encode_status(status: Status) -> bytes:
    """The payload of message STATUS_CODE."""
    return rlp.encode(
        [
            status.version,
            status.network_id,
            status.total_difficulty,
            status.head_hash,
            status.genesis_hash,
            (status.fork_id.hash, status.fork_id.next),
        ]
    )


def decode_status(payload: bytes) -> Status:
    """Inverse of encode_status; RlpError or MalformedMessage for anything else."""
    parts = rlp.split_list(payload, 6)
    if len(parts) != 6:
        raise MalformedMessage(f"a Status of {len(parts)} parts where six are expected")
    version, network_id, total_difficulty, head_hash, genesis_hash, fork = map(rlp.decode, parts)
    fork_hash, fork_next = rlp.as_list(fork, 2)
    return Status(
        rlp.as_uint(version, 32),
        rlp.as_uint(network_id, 64),
        rlp.as_uint(total_difficulty),
        Hash32(rlp.as_bytes(head_hash, 32)),
        Hash32(rlp.as_bytes(genesis_hash, 32)),
        ForkId(rlp.as_bytes(fork_hash, 4), rlp.as_uint(fork_next, 64)),
    )


def check_status(ours: Status, theirs: Status) -> None:
    """IncompatiblePeer unless both speak the same eth version on the same network and genesis."""
    if theirs.version != ours.version:
        raise IncompatiblePeer(f"Status says eth/{theirs.version} where Hello agreed on eth/{ours.version}")
    if theirs.network_id != ours.network_id:
        raise IncompatiblePeer(f"network {theirs.network_id}; ours is {ours.network_id}")
    if theirs.genesis_hash != ours.genesis_hash:
        raise IncompatiblePeer(f"genesis {hex_of(theirs.genesis_hash)}; ours is {hex_of(ours.genesis_hash)}")


def fork_id(genesis_hash: Hash32, fork_blocks: Iterable[BlockNumber], head_number: BlockNumber) -> ForkId:
    """The fork id of a chain whose head is at `head_number`; forks at block 0 do not count."""
    checksum = zlib.crc32(genesis_hash)
    for block in _counted(fork_blocks):
        if block > head_number:
            return ForkId(checksum.to_bytes(4, "big"), block)
        checksum = zlib.crc32(block.to_bytes(8, "big"), checksum)
    return ForkId(checksum.to_bytes(4, "big"), 0)


def check_fork_id(
    genesis_hash: Hash32, fork_blocks: Iterable[BlockNumber], head_number: BlockNumber, theirs: ForkId
) -> None:
    """IncompatiblePeer when the peer's chain and ours cannot be, or become, the same (EIP-2124)."""
    forks = _counted(fork_blocks)
    checksums = [zlib.crc32(genesis_hash)]
    for block in forks:
        checksums.append(zlib.crc32(block.to_bytes(8, "big"), checksums[-1]))
    passed = sum(block <= head_number for block in forks)
    their_checksum = int.from_bytes(theirs.hash, "big")
    if their_checksum == checksums[passed]:
        # Same history. A fork of theirs that our head has passed without knowing it splits us.
        if theirs.next and theirs.next <= head_number:
            raise IncompatiblePeer(
                f"the peer forks at block {theirs.next}, which our head #{head_number} passed without a fork"
            )
        return
    if their_checksum in checksums[:passed]:
        # The peer is behind: it must know the next fork that we have passed.
        expected = forks[checksums.index(their_checksum)]
        if theirs.next != expected:
            raise IncompatiblePeer(
                f"the peer's software is old: its next fork is at {theirs.next}, ours was at {expected}"
            )
        return
    if their_checksum in checksums[passed + 1 :]:
        return  # the peer is ahead on our schedule: we are the ones who sync
    raise IncompatiblePeer(f"fork id {theirs} belongs to another chain, or our fork schedule is old")


def _counted(fork_blocks: Iterable[BlockNumber]) -> list[BlockNumber]:
    """Ascending, each once, without forks that are active from genesis on."""
    return sorted(set(fork_blocks) - {0})
