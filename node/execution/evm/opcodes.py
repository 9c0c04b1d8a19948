"""The instruction set as data: name, gas, stack effect and meaning of each opcode, in one place.

`text` is Python over the popped items a (the top), b, c, ... and these names of the generated function:
S the stack, F the frame, m its memory, M = 2**256 - 1; NEXT is the function of the block that follows, JUMPS
the jump table. `truth` is a shorter expression that is as true as the result of a comparison. Kinds:

    PURE   an expression of its operands only: folded when all are known
    FIXED  an expression that also reads what never changes between two calls of a frame
    READ   an expression that also reads frame or state; `before` runs first
    DO     statements without a result
    END    statements that leave the block by `return`

Gas here is the static part; dynamic gas is charged by the function named in the text. Sources: Yellow
Paper appendix H, and the EIP named at a row. A later row for an opcode replaces an earlier one from its
fork on.
"""

from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from typing import Final, NamedTuple

from node.primitives.chain_spec import Fork


class Kind(Enum):
    """What an opcode's text is."""

    PURE = auto()
    FIXED = auto()
    READ = auto()
    DO = auto()
    END = auto()
    PUSH = auto()
    DUP = auto()
    SWAP = auto()


class Memory(Enum):
    """What an instruction does with the frame's memory."""

    NOTHING = auto()
    LOAD = auto()
    """Reads the word at {a}."""
    STORE = auto()
    """Writes the word {b} at {a}."""
    RANGE = auto()
    """Reads {b} bytes from {a}, and nothing else of it."""
    ANY = auto()


class Known(NamedTuple):
    """What becomes of an instruction that reads a range of memory whose words are known."""

    text: str
    """Of {words}, or of them as {data}, instead of {a} and {b}."""
    gas: int
    """For each word: no longer dynamic."""


@dataclass(frozen=True, slots=True)
class Opcode:
    """One row of the instruction set."""

    code: int
    name: str
    gas: int
    pops: int
    pushes: int
    kind: Kind
    text: str = ""
    before: str = ""
    truth: str = ""
    since: Fork = Fork.BYZANTIUM
    bits: int = 256
    """The result is below 2**bits."""

    @property
    def memory(self) -> Memory:
        """What it does with memory."""
        return _MEMORY.get(self.name, Memory.NOTHING)

    @property
    def known(self) -> Known:
        """For Memory.RANGE."""
        return _KNOWN[self.name]


_P, _F, _R, _D, _E = Kind.PURE, Kind.FIXED, Kind.READ, Kind.DO, Kind.END
_CONST, _BERLIN, _ISTANBUL = Fork.CONSTANTINOPLE, Fork.BERLIN, Fork.ISTANBUL
_LONDON, _SHANGHAI, _CANCUN = Fork.LONDON, Fork.SHANGHAI, Fork.CANCUN
_WARM = "warm_account(F,{a})"
WORD_BYTES: Final = 32
GROW_WORD: Final = "if {a}+32>len(m):expand(F,{a}+32)"
"""Memory covers the word at {a}."""

_ROWS = (
    Opcode(0x00, "STOP", 0, 0, 0, _E, "return None"),
    Opcode(0x01, "ADD", 3, 2, 1, _P, "({a}+{b})&M"),
    Opcode(0x02, "MUL", 5, 2, 1, _P, "({a}*{b})&M"),
    Opcode(0x03, "SUB", 3, 2, 1, _P, "({a}-{b})&M"),
    Opcode(0x04, "DIV", 5, 2, 1, _P, "({a}//{b} if {b} else 0)"),
    Opcode(0x05, "SDIV", 5, 2, 1, _P, "sdiv({a},{b})"),
    Opcode(0x06, "MOD", 5, 2, 1, _P, "({a}%{b} if {b} else 0)"),
    Opcode(0x07, "SMOD", 5, 2, 1, _P, "smod({a},{b})"),
    Opcode(0x08, "ADDMOD", 8, 3, 1, _P, "(({a}+{b})%{c} if {c} else 0)"),
    Opcode(0x09, "MULMOD", 8, 3, 1, _P, "({a}*{b}%{c} if {c} else 0)"),
    # EIP-160: 50 gas per byte of the exponent.
    Opcode(0x0A, "EXP", 10, 2, 1, _R, "exp({a},{b})", "charge(F,50*(({b}.bit_length()+7)>>3))"),
    Opcode(0x0B, "SIGNEXTEND", 5, 2, 1, _P, "signextend({a},{b})"),
    Opcode(0x10, "LT", 3, 2, 1, _P, "(1 if {a}<{b} else 0)", truth="{a}<{b}"),
    Opcode(0x11, "GT", 3, 2, 1, _P, "(1 if {a}>{b} else 0)", truth="{a}>{b}"),
    Opcode(0x12, "SLT", 3, 2, 1, _P, "(1 if {a}^H<{b}^H else 0)", truth="{a}^H<{b}^H"),
    Opcode(0x13, "SGT", 3, 2, 1, _P, "(1 if {a}^H>{b}^H else 0)", truth="{a}^H>{b}^H"),
    Opcode(0x14, "EQ", 3, 2, 1, _P, "(1 if {a}=={b} else 0)", truth="{a}=={b}"),
    Opcode(0x15, "ISZERO", 3, 1, 1, _P, "(0 if {a:truth} else 1)", truth="not({a:truth})"),
    Opcode(0x16, "AND", 3, 2, 1, _P, "{a}&{b}"),
    Opcode(0x17, "OR", 3, 2, 1, _P, "{a}|{b}"),
    Opcode(0x18, "XOR", 3, 2, 1, _P, "{a}^{b}"),
    Opcode(0x19, "NOT", 3, 1, 1, _P, "{a}^M"),
    Opcode(0x1A, "BYTE", 3, 2, 1, _P, "(({b}>>(248-8*{a}))&255 if {a}<32 else 0)"),
    # EIP-145
    Opcode(0x1B, "SHL", 3, 2, 1, _P, "(({b}<<{a})&M if {a}<256 else 0)", since=_CONST),
    Opcode(0x1C, "SHR", 3, 2, 1, _P, "({b}>>{a} if {a}<256 else 0)", since=_CONST),
    Opcode(0x1D, "SAR", 3, 2, 1, _P, "sar({a},{b})", since=_CONST),
    Opcode(0x20, "KECCAK256", 30, 2, 1, _R, "keccak(F,{a},{b})"),
    Opcode(0x30, "ADDRESS", 2, 0, 1, _F, "word_of(F.address)", bits=160),
    Opcode(0x31, "BALANCE", 400, 1, 1, _R, "balance(F,{a})"),
    Opcode(0x31, "BALANCE", 700, 1, 1, _R, "balance(F,{a})", since=_ISTANBUL),  # EIP-1884
    Opcode(0x31, "BALANCE", 100, 1, 1, _R, "balance(F,{a})", _WARM, since=_BERLIN),
    Opcode(0x32, "ORIGIN", 2, 0, 1, _F, "word_of(F.tx.origin)", bits=160),
    Opcode(0x33, "CALLER", 2, 0, 1, _F, "word_of(F.caller)", bits=160),
    Opcode(0x34, "CALLVALUE", 2, 0, 1, _F, "F.value"),
    Opcode(0x35, "CALLDATALOAD", 3, 1, 1, _F, "word_at(F.data,{a})"),
    Opcode(0x36, "CALLDATASIZE", 2, 0, 1, _F, "len(F.data)"),
    Opcode(0x37, "CALLDATACOPY", 3, 3, 0, _D, "copy(F,F.data,{a},{b},{c})"),
    Opcode(0x38, "CODESIZE", 2, 0, 1, _F, "len(F.program.code)"),
    Opcode(0x39, "CODECOPY", 3, 3, 0, _D, "copy(F,F.program.code,{a},{b},{c})"),
    Opcode(0x3A, "GASPRICE", 2, 0, 1, _F, "F.tx.gas_price"),
    Opcode(0x3B, "EXTCODESIZE", 700, 1, 1, _R, "extcodesize(F,{a})"),
    Opcode(0x3B, "EXTCODESIZE", 100, 1, 1, _R, "extcodesize(F,{a})", _WARM, since=_BERLIN),
    Opcode(0x3C, "EXTCODECOPY", 700, 4, 0, _D, "extcodecopy(F,{a},{b},{c},{d})"),
    Opcode(0x3C, "EXTCODECOPY", 100, 4, 0, _D, "extcodecopy(F,{a},{b},{c},{d})", _WARM, since=_BERLIN),
    Opcode(0x3D, "RETURNDATASIZE", 2, 0, 1, _F, "len(F.returned)"),  # EIP-211
    Opcode(0x3E, "RETURNDATACOPY", 3, 3, 0, _D, "returndatacopy(F,{a},{b},{c})"),
    Opcode(0x3F, "EXTCODEHASH", 400, 1, 1, _R, "extcodehash(F,{a})", since=_CONST),  # EIP-1052
    Opcode(0x3F, "EXTCODEHASH", 700, 1, 1, _R, "extcodehash(F,{a})", since=_ISTANBUL),
    Opcode(0x3F, "EXTCODEHASH", 100, 1, 1, _R, "extcodehash(F,{a})", _WARM, since=_BERLIN),
    Opcode(0x40, "BLOCKHASH", 20, 1, 1, _R, "blockhash(F,{a})"),
    Opcode(0x41, "COINBASE", 2, 0, 1, _F, "F.block.author_word", bits=160),
    Opcode(0x42, "TIMESTAMP", 2, 0, 1, _F, "F.block.timestamp"),
    Opcode(0x43, "NUMBER", 2, 0, 1, _F, "F.block.number"),
    Opcode(0x44, "DIFFICULTY", 2, 0, 1, _F, "F.block.difficulty"),
    Opcode(0x45, "GASLIMIT", 2, 0, 1, _F, "F.block.gas_limit"),
    Opcode(0x46, "CHAINID", 2, 0, 1, _F, "F.block.chain_id", since=_ISTANBUL),  # EIP-1344
    Opcode(0x47, "SELFBALANCE", 5, 0, 1, _R, "F.world.balance(F.address)", since=_ISTANBUL),  # EIP-1884
    Opcode(0x48, "BASEFEE", 2, 0, 1, _F, "F.block.base_fee", since=_LONDON),  # EIP-3198
    # EIP-4844, EIP-7516: there are no blobs here, so no hash is found and the fee is its least value.
    Opcode(0x49, "BLOBHASH", 3, 1, 1, _P, "0x0", since=_CANCUN),
    Opcode(0x4A, "BLOBBASEFEE", 2, 0, 1, _P, "0x1", since=_CANCUN),
    Opcode(0x50, "POP", 2, 1, 0, _D, ""),
    Opcode(0x51, "MLOAD", 3, 1, 1, _R, "word_of(m[{a}:{a}+32])", GROW_WORD),
    Opcode(0x52, "MSTORE", 3, 2, 0, _D, "m[{a}:{a}+32]={b:word}", GROW_WORD),
    Opcode(0x53, "MSTORE8", 3, 2, 0, _D, "m[{a}]={b}&255", "if {a}>=len(m):expand(F,{a}+1)"),
    Opcode(0x54, "SLOAD", 200, 1, 1, _R, "F.world.storage(F.address,{a})"),  # EIP-150
    Opcode(0x54, "SLOAD", 800, 1, 1, _R, "F.world.storage(F.address,{a})", since=_ISTANBUL),
    Opcode(0x54, "SLOAD", 100, 1, 1, _R, "sload(F,{a})", since=_BERLIN),  # EIP-2929
    Opcode(0x55, "SSTORE", 0, 2, 0, _D, "sstore_plain(F,{a},{b})"),
    Opcode(0x55, "SSTORE", 0, 2, 0, _D, "sstore_net(F,{a},{b})", since=_CONST),  # EIP-1283
    Opcode(0x55, "SSTORE", 0, 2, 0, _D, "sstore_plain(F,{a},{b})", since=Fork.PETERSBURG),  # EIP-1716
    Opcode(0x55, "SSTORE", 0, 2, 0, _D, "sstore_istanbul(F,{a},{b})", since=_ISTANBUL),  # EIP-2200
    Opcode(0x55, "SSTORE", 0, 2, 0, _D, "sstore_berlin(F,{a},{b})", since=_BERLIN),
    Opcode(0x55, "SSTORE", 0, 2, 0, _D, "sstore_london(F,{a},{b})", since=_LONDON),  # EIP-3529
    Opcode(0x56, "JUMP", 8, 1, 0, _E, "return JUMPS[{a}]"),
    Opcode(0x57, "JUMPI", 10, 2, 0, _E, "return JUMPS[{a}] if {b} else NEXT"),
    Opcode(0x58, "PC", 2, 0, 1, _R, "PC"),
    Opcode(0x59, "MSIZE", 2, 0, 1, _R, "len(m)"),
    Opcode(0x5A, "GAS", 2, 0, 1, _R, "F.gas"),
    Opcode(0x5B, "JUMPDEST", 1, 0, 0, _D, ""),
    Opcode(0x5C, "TLOAD", 100, 1, 1, _R, "F.world.transient(F.address,{a})", since=_CANCUN),  # EIP-1153
    Opcode(0x5D, "TSTORE", 100, 2, 0, _D, "tstore(F,{a},{b})", since=_CANCUN),
    Opcode(0x5E, "MCOPY", 3, 3, 0, _D, "mcopy(F,{a},{b},{c})", since=_CANCUN),  # EIP-5656
    Opcode(0x5F, "PUSH0", 2, 0, 1, Kind.PUSH, since=_SHANGHAI),  # EIP-3855
    *(Opcode(0x5F + n, f"PUSH{n}", 3, 0, 1, Kind.PUSH) for n in range(1, 33)),
    *(Opcode(0x7F + n, f"DUP{n}", 3, n, n + 1, Kind.DUP) for n in range(1, 17)),
    *(Opcode(0x8F + n, f"SWAP{n}", 3, n + 1, n + 1, Kind.SWAP) for n in range(1, 17)),
    Opcode(0xA0, "LOG0", 375, 2, 0, _D, "log(F,{a},{b},())"),
    Opcode(0xA1, "LOG1", 750, 3, 0, _D, "log(F,{a},{b},({c},))"),
    Opcode(0xA2, "LOG2", 1125, 4, 0, _D, "log(F,{a},{b},({c},{d}))"),
    Opcode(0xA3, "LOG3", 1500, 5, 0, _D, "log(F,{a},{b},({c},{d},{e}))"),
    Opcode(0xA4, "LOG4", 1875, 6, 0, _D, "log(F,{a},{b},({c},{d},{e},{f}))"),
    Opcode(0xF0, "CREATE", 32000, 3, 0, _E, "return create(S,F,NEXT,{a},{b},{c},None)"),
    Opcode(0xF1, "CALL", 0, 7, 0, _E, "return call(S,F,NEXT,{a},{b},{c},{d},{e},{f},{g})"),
    Opcode(0xF2, "CALLCODE", 0, 7, 0, _E, "return callcode(S,F,NEXT,{a},{b},{c},{d},{e},{f},{g})"),
    Opcode(0xF3, "RETURN", 0, 2, 0, _E, "F.output=read(F,{a},{b});return None"),
    Opcode(0xF4, "DELEGATECALL", 0, 6, 0, _E, "return delegatecall(S,F,NEXT,{a},{b},{c},{d},{e},{f})"),
    # EIP-1014
    Opcode(0xF5, "CREATE2", 32000, 4, 0, _E, "return create(S,F,NEXT,{a},{b},{c},{d})", since=_CONST),
    Opcode(0xFA, "STATICCALL", 0, 6, 0, _E, "return staticcall(S,F,NEXT,{a},{b},{c},{d},{e},{f})"),  # EIP-214
    Opcode(0xFD, "REVERT", 0, 2, 0, _E, "F.output=read(F,{a},{b});F.reverted=True;return None"),  # EIP-140
    Opcode(0xFE, "INVALID", 0, 0, 0, _E, "raise InvalidOpcode"),
    Opcode(0xFF, "SELFDESTRUCT", 5000, 1, 0, _E, "selfdestruct(F,{a});return None"),
)

_MEMORY: Final = {
    "MLOAD": Memory.LOAD,
    "MSTORE": Memory.STORE,
    **dict.fromkeys(("KECCAK256", "LOG0", "LOG1", "LOG2", "LOG3", "LOG4", "RETURN", "REVERT"), Memory.RANGE),
    **dict.fromkeys(("CALLDATACOPY", "CODECOPY", "EXTCODECOPY", "RETURNDATACOPY", "MCOPY"), Memory.ANY),
    **dict.fromkeys(("MSTORE8", "MSIZE", "CREATE", "CREATE2"), Memory.ANY),
    **dict.fromkeys(("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"), Memory.ANY),
}
_KNOWN: Final = {
    "KECCAK256": Known("hash_of({words})", 6),
    "LOG0": Known("log_data(F,{data},())", 256),
    "LOG1": Known("log_data(F,{data},({c},))", 256),
    "LOG2": Known("log_data(F,{data},({c},{d}))", 256),
    "LOG3": Known("log_data(F,{data},({c},{d},{e}))", 256),
    "LOG4": Known("log_data(F,{data},({c},{d},{e},{f}))", 256),
    "RETURN": Known("F.output={data};return None", 0),
    "REVERT": Known("F.output={data};F.reverted=True;return None", 0),
}


@cache
def instruction_set(fork: Fork) -> dict[int, Opcode]:
    """Opcodes that `fork` knows, by byte; AssertionError before Byzantium."""
    assert fork >= Fork.BYZANTIUM, "earlier forks run on the reference executor"
    return {row.code: row for row in _ROWS if row.since <= fork}
