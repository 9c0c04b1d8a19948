"""Hello: who speaks, which capabilities it has, and what both sides share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from node.primitives import rlp
from p2p.errors import MalformedMessage, UselessPeer

HELLO_CODE: Final = 0x00
PROTOCOL_VERSION: Final = 5
"""From 5 on messages are compressed with snappy (EIP-706)."""
FIRST_CAPABILITY_CODE: Final = 0x10

HELLO_BYTES_MAX: Final = 2048
CAPABILITIES_MAX: Final = 64
CAPABILITY_NAME_BYTES_MAX: Final = 8
CLIENT_NAME_BYTES_MAX: Final = 256
NODE_ID_BYTES: Final = 64


class Capability(NamedTuple):
    """A protocol by name and version, as Hello lists it."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class CapabilitySpec:
    """A protocol that we speak."""

    name: str
    version: int
    message_count: int
    """How many message ids it takes; both sides must know the same."""

    @property
    def capability(self) -> Capability:
        """As Hello lists it."""
        return Capability(self.name, self.version)


@dataclass(frozen=True, slots=True)
class SharedCapability:
    """A protocol that both sides speak, and where its message ids start."""

    spec: CapabilitySpec
    offset: int

    def __contains__(self, code: int) -> bool:
        return self.offset <= code < self.offset + self.spec.message_count


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of either side."""

    version: int
    client_name: str
    """Printable; for people, not for decisions."""
    capabilities: tuple[Capability, ...]
    listen_port: int
    """0 when it does not listen; advice only."""
    node_id: bytes
    """64-byte public key; must be the one of the channel."""


def encode_hello(hello: Hello) -> bytes:
    """The payload of message HELLO_CODE; never compressed."""
    capabilities = [(name.encode(), version) for name, version in sorted(hello.capabilities)]
    return rlp.encode(
        [hello.version, hello.client_name.encode(), capabilities, hello.listen_port, hello.node_id]
    )


def decode_hello(payload: bytes) -> Hello:
    """Inverse of encode_hello; further list items are ignored (EIP-8). ChainError for anything else."""
    if len(payload) > HELLO_BYTES_MAX:
        raise MalformedMessage(f"a Hello of {len(payload)} bytes; at most {HELLO_BYTES_MAX}")
    items = rlp.as_list(rlp.decode(payload))
    if len(items) < 5:
        raise MalformedMessage(f"a Hello of {len(items)} items; five are needed")
    version, name, capabilities, port, node_id = items[:5]
    listed = rlp.as_list(capabilities)
    if len(listed) > CAPABILITIES_MAX:
        raise MalformedMessage(f"a Hello with {len(listed)} capabilities; at most {CAPABILITIES_MAX}")
    return Hello(
        rlp.as_uint(version, 32),
        _printable(rlp.as_bytes(name)),
        tuple(map(_capability, listed)),
        # Read loosely, because clients differ (ethereumjs sends a zero byte for 0) and nothing depends on it.
        int.from_bytes(rlp.as_bytes(port)[:8], "big"),
        rlp.as_bytes(node_id, NODE_ID_BYTES),
    )


def share(
    ours: Iterable[CapabilitySpec], theirs: Sequence[Capability], needed: str
) -> tuple[SharedCapability, ...]:
    """What both speak, the highest version of each name, by name; UselessPeer when `needed` is not in it."""
    offered = set(theirs)
    chosen: dict[str, CapabilitySpec] = {}
    for spec in sorted(ours, key=lambda spec: spec.version):
        if spec.capability in offered:
            chosen[spec.name] = spec
    if needed not in chosen:
        listed = ", ".join(map(str, theirs)) or "none"
        raise UselessPeer(f"no common version of {needed}; the peer has {listed}")
    shared, offset = [], FIRST_CAPABILITY_CODE
    for name in sorted(chosen):
        shared.append(SharedCapability(chosen[name], offset))
        offset += chosen[name].message_count
    return tuple(shared)


def _capability(item: rlp.Item) -> Capability:
    name_item, version = rlp.as_list(item, 2)
    name = rlp.as_bytes(name_item)
    if not 0 < len(name) <= CAPABILITY_NAME_BYTES_MAX:
        raise MalformedMessage(f"a capability name of {len(name)} bytes; 1 to {CAPABILITY_NAME_BYTES_MAX}")
    return Capability(_printable(name), rlp.as_uint(version, 32))


def _printable(raw: bytes) -> str:
    """Text from a stranger, fit for a log line: one line, no control characters, bounded."""
    text = raw[:CLIENT_NAME_BYTES_MAX].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)
