"""Names for the byte strings and numbers that identify things."""

from typing import Final, NewType, TypeAlias

Address = NewType("Address", bytes)
"""20 bytes: the low 20 bytes of keccak256(public key)."""

Hash32 = NewType("Hash32", bytes)
"""32 bytes: a keccak256 digest."""

BlockNumber: TypeAlias = int
"""Distance from genesis; genesis is 0."""

ZERO_ADDRESS: Final = Address(bytes(20))
ZERO_HASH: Final = Hash32(bytes(32))


def hex_of(value: bytes) -> str:
    """The 0x-prefixed lower-case form used in messages and JSON."""
    return "0x" + value.hex()
