"""Small contracts that say which nodes may connect, one for each form of the interface: ingress and rules.

Slot 2 is what it names "rules"; a call with two words of data, no selector, sets a slot.
"""

from collections.abc import Iterable
from typing import Any

from node.primitives.crypto import keccak256
from node.primitives.ids import Address, hex_of
from tests.permissioning.rules_contract import assemble_labels

INGRESS = Address(b"\x99" * 20)

_HEAD = """
    CALLDATASIZE 64 EQ @set JUMPI
    0 CALLDATALOAD 224 SHR
    DUP1 0x0d2020dd EQ @registered JUMPI
"""
_TAIL = """
    0 0 REVERT
  registered:
    2 SLOAD @reply JUMP
  set:
    32 CALLDATALOAD 0 CALLDATALOAD SSTORE STOP
  reply:
    0 MSTORE 32 0 RETURN
"""
VERSION_6 = assemble_labels(
    f"""{_HEAD}
    DUP1 0x45a59e5b EQ @ask JUMPI
    0 0 REVERT
  ask:
    128 132 0 CALLDATACOPY 128 0 KECCAK256 SLOAD @reply JUMP
    {_TAIL}"""
)
"""Slot of keccak(id as 128 hex digits): 1 for a node that may connect."""
VERSION_5 = assemble_labels(
    f"""{_HEAD}
    DUP1 0x3620b1df EQ @ask JUMPI
    0 0 REVERT
  ask:
    64 4 0 CALLDATACOPY 64 0 KECCAK256 SLOAD
    64 132 0 CALLDATACOPY 64 0 KECCAK256 SLOAD
    AND @yes JUMPI
    0 NOT 1 SHR @reply JUMP
  yes:
    0 NOT @reply JUMP
    {_TAIL}"""
)
"""Slots of keccak(64-byte id); both must be 1."""


def slot_of(code: bytes, identity: bytes) -> int:
    return int.from_bytes(keccak256(identity.hex().encode() if code is VERSION_6 else identity), "big")


def node_alloc(code: bytes, allowed: Iterable[bytes], *, active: bool = True) -> dict[str, Any]:
    """Genesis entry of a contract that allows these nodes."""
    storage = {slot_of(code, each): 1 for each in allowed} | {2: int(active)}
    words = {hex(slot): hex(value) for slot, value in storage.items() if value}
    return {hex_of(INGRESS): {"balance": "0x0", "code": "0x" + code.hex(), "storage": words}}
