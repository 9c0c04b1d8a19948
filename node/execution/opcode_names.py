"""What geth calls the instructions. 0x44 is DIFFICULTY on every chain of ours."""

from typing import Final


def _row(first: int, names: str) -> dict[int, str]:
    return dict(enumerate(names.split(), start=first))


_NAMES: Final = {
    **_row(0x00, "STOP ADD MUL SUB DIV SDIV MOD SMOD ADDMOD MULMOD EXP SIGNEXTEND"),
    **_row(0x10, "LT GT SLT SGT EQ ISZERO AND OR XOR NOT BYTE SHL SHR SAR"),
    **_row(0x20, "KECCAK256"),
    **_row(0x30, "ADDRESS BALANCE ORIGIN CALLER CALLVALUE CALLDATALOAD CALLDATASIZE CALLDATACOPY"),
    **_row(0x38, "CODESIZE CODECOPY GASPRICE EXTCODESIZE EXTCODECOPY RETURNDATASIZE RETURNDATACOPY"),
    **_row(0x3F, "EXTCODEHASH BLOCKHASH COINBASE TIMESTAMP NUMBER DIFFICULTY GASLIMIT CHAINID"),
    **_row(0x47, "SELFBALANCE BASEFEE BLOBHASH BLOBBASEFEE"),
    **_row(0x50, "POP MLOAD MSTORE MSTORE8 SLOAD SSTORE JUMP JUMPI PC MSIZE GAS JUMPDEST TLOAD TSTORE"),
    **_row(0x5E, "MCOPY PUSH0"),
    **{0x5F + n: f"PUSH{n}" for n in range(1, 33)},
    **{0x7F + n: f"DUP{n}" for n in range(1, 17)},
    **{0x8F + n: f"SWAP{n}" for n in range(1, 17)},
    **{0xA0 + n: f"LOG{n}" for n in range(5)},
    **_row(0xF0, "CREATE CALL CALLCODE RETURN DELEGATECALL CREATE2"),
    0xFA: "STATICCALL",
    0xFD: "REVERT",
    0xFE: "INVALID",
    0xFF: "SELFDESTRUCT",
}


def name_of(opcode: int) -> str:
    """The instruction's name; geth's words where there is none."""
    return _NAMES.get(opcode) or f"opcode {opcode:#x} not defined"
