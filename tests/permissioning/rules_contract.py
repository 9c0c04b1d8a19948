"""A small rules contract, written by hand, that a test can break in every way.

It is ingress and rules in one. Storage: slot of an address: its rights, 1 transfer, 2 call, 4 deploy; slot 1:
how it behaves (0 answers, 1 reverts, 2 loops, 3 returns 64 bytes, 4 returns 2); slot 2: the address that it
names "repair". `memberOf(address)` answers slot keccak-free: the address plus 2**160.
A call with two words of data, no selector, sets a slot: the tests' governance.
"""

from typing import Any, Final

from node.primitives.ids import Address
from tests.execution.builders import OPCODES

RULES: Final = Address(b"\x88" * 20)
MODE: Final = 1
REPAIR_SLOT: Final = 2
SEAT: Final = 1 << 160
TRANSFER, CALL, DEPLOY = 1, 2, 4
ANSWERS, REVERTS, LOOPS, LONG, TWO = range(5)

_SOURCE: Final = """
    CALLDATASIZE 64 EQ @set JUMPI
    0 CALLDATALOAD 224 SHR
    DUP1 0x0d2020dd EQ @registered JUMPI
    DUP1 0x3b4c9891 EQ @member JUMPI
    DUP1 0x936421d5 EQ @rules JUMPI
    0 0 REVERT
  rules:
    1 SLOAD 1 EQ @fail JUMPI
    1 SLOAD 2 EQ @loop JUMPI
    1 SLOAD 3 EQ @long JUMPI
    1 SLOAD 4 EQ @two JUMPI
    36 CALLDATALOAD ISZERO @deploy JUMPI
    196 CALLDATALOAD @call JUMPI
    1 @check JUMP
  call:
    2 @check JUMP
  deploy:
    4 @check JUMP
  check:
    4 CALLDATALOAD SLOAD AND ISZERO ISZERO @reply JUMP
  registered:
    2 SLOAD @reply JUMP
  member:
    4 CALLDATALOAD 0x010000000000000000000000000000000000000000 ADD SLOAD @reply JUMP
  reply:
    0 MSTORE 32 0 RETURN
  set:
    32 CALLDATALOAD 0 CALLDATALOAD SSTORE STOP
  fail:
    0 0 REVERT
  loop:
    @loop JUMP
  long:
    64 0 RETURN
  two:
    2 @reply JUMP
"""


def assemble_labels(text: str) -> bytes:
    """Instructions by name; `name:` is a JUMPDEST, `@name` pushes where it is."""
    code, places, uses = bytearray(), {}, []
    for word in text.split():
        if word.endswith(":"):
            places[word[:-1]] = len(code)
            code.append(OPCODES["JUMPDEST"])
        elif word.startswith("@"):
            uses.append((len(code) + 1, word[1:]))
            code += bytes((OPCODES["PUSH2"], 0, 0))
        elif word in OPCODES:
            code.append(OPCODES[word])
        else:
            number = int(word, 0)
            size = max(1, (number.bit_length() + 7) // 8)
            code += bytes((0x5F + size,)) + number.to_bytes(size, "big")
    for at, name in uses:
        code[at : at + 2] = places[name].to_bytes(2, "big")
    return bytes(code)


CODE: Final = assemble_labels(_SOURCE)


def alloc(rights: dict[bytes, int], **slots: int) -> dict[str, Any]:
    """Genesis entry of the contract."""
    storage = {int.from_bytes(owner, "big"): value for owner, value in rights.items()}
    storage |= {int(key.removeprefix("slot_"), 0): value for key, value in slots.items()}
    words = {f"0x{slot:064x}": hex(value) for slot, value in storage.items() if value}
    return {"0x" + RULES.hex(): {"balance": "0", "code": "0x" + CODE.hex(), "storage": words}}


def set_slot(slot: int, value: int) -> bytes:
    """Data of the call that changes a slot."""
    return slot.to_bytes(32, "big") + value.to_bytes(32, "big")


def number(address: bytes) -> int:
    """The slot of an address."""
    return int.from_bytes(address, "big")
