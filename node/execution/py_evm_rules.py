"""What each fork makes of code: py-evm's instructions and precompiled contracts, one table for each fork.

Shanghai and Cancun are put together here from their instructions instead of taken from py-evm, whose forks
from Paris on are proof of stake: there 0x44 is PREVRANDAO, while under Clique and QBFT it stays DIFFICULTY.
There are no withdrawals, blobs or beacon roots: BLOBHASH finds none, BLOBBASEFEE is its least value, and
there is no point evaluation contract at address 10.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

# First, before anything of py-evm: it decides which libraries py-evm hashes and recovers with.
from node.execution import py_evm_backends  # noqa: F401  # isort: skip

from eth.exceptions import Halt
from eth.precompiles.modexp import _compute_modexp_gas_fee_eip_198 as _modexp_eip_198
from eth.vm.forks.berlin.computation import BERLIN_PRECOMPILES
from eth.vm.forks.berlin.computation import _compute_modexp_gas_fee_eip_2565 as _modexp_eip_2565
from eth.vm.forks.berlin.opcodes import BERLIN_OPCODES
from eth.vm.forks.byzantium.computation import BYZANTIUM_PRECOMPILES
from eth.vm.forks.byzantium.opcodes import BYZANTIUM_OPCODES, ensure_no_static
from eth.vm.forks.cancun import logic as cancun
from eth.vm.forks.cancun.opcodes import NEW_OPCODES as CANCUN_NEW_OPCODES
from eth.vm.forks.constantinople.opcodes import CONSTANTINOPLE_OPCODES
from eth.vm.forks.frontier.computation import FRONTIER_PRECOMPILES
from eth.vm.forks.frontier.opcodes import FRONTIER_OPCODES
from eth.vm.forks.homestead.opcodes import HOMESTEAD_OPCODES
from eth.vm.forks.istanbul.computation import ISTANBUL_PRECOMPILES
from eth.vm.forks.istanbul.opcodes import ISTANBUL_OPCODES
from eth.vm.forks.london.opcodes import LONDON_OPCODES
from eth.vm.forks.petersburg.opcodes import PETERSBURG_OPCODES
from eth.vm.forks.shanghai.opcodes import NEW_OPCODES as SHANGHAI_NEW_OPCODES
from eth.vm.forks.shanghai.opcodes import UPDATED_OPCODES as SHANGHAI_UPDATED_OPCODES
from eth.vm.forks.spurious_dragon.opcodes import SPURIOUS_DRAGON_OPCODES
from eth.vm.forks.tangerine_whistle.opcodes import TANGERINE_WHISTLE_OPCODES

from node.execution.py_evm_faults import InvalidOpcode
from node.execution.py_evm_frame import Frame, Instruction, Rules
from node.execution.py_evm_precompiles import blake2f, ecpairing, modexp
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address

_MODEXP: Final = Address(bytes(19) + b"\x05")
_ECPAIRING: Final = Address(bytes(19) + b"\x08")
_BLAKE2F: Final = Address(bytes(19) + b"\x09")
_FIRST_LOG: Final = 0xA0
_SELFDESTRUCT: Final = 0xFF
_OPENS_FRAME: Final = frozenset((0xF0, 0xF1, 0xF2, 0xF4, 0xF5, 0xFA))
_ITEMS: Final = {
    **dict.fromkeys((0x15, 0x19, 0x31, 0x35, 0x3B, 0x3F, 0x40, 0x49), 1),
    **dict.fromkeys((0x50, 0x51, 0x54, 0x56, 0x5C, _SELFDESTRUCT), 1),
    **dict.fromkeys((*range(0x01, 0x08), 0x0A, 0x0B, *range(0x10, 0x15), *range(0x16, 0x19)), 2),
    **dict.fromkeys((*range(0x1A, 0x1E), 0x20, 0x52, 0x53, 0x55, 0x57, 0x5D, 0xF3, 0xFD), 2),
    **dict.fromkeys((0x08, 0x09, 0x37, 0x39, 0x3E, 0x5E, 0xF0), 3),
    **dict.fromkeys((0x3C, 0xF5), 4),
    **dict.fromkeys((0xF4, 0xFA), 6),
    **dict.fromkeys((0xF1, 0xF2), 7),
    **{0x7F + n: n for n in range(1, 17)},
    **{0x8F + n: n + 1 for n in range(1, 17)},
    **{_FIRST_LOG + n: n + 2 for n in range(5)},
}
"""How many stack items an opcode takes or looks at; none where it is not listed."""

_SHANGHAI_OPCODES: Final = {
    **LONDON_OPCODES,
    **{opcode: SHANGHAI_UPDATED_OPCODES[opcode] for opcode in (0xF0, 0xF5)},
    **SHANGHAI_NEW_OPCODES,
}
_CANCUN_OPCODES: Final = {**_SHANGHAI_OPCODES, **CANCUN_NEW_OPCODES}

_Handler = Callable[[Frame], object]
_TABLES: Final[dict[Fork, tuple[Mapping[int, Any], Mapping[Any, Any]]]] = {
    Fork.FRONTIER: (FRONTIER_OPCODES, FRONTIER_PRECOMPILES),
    Fork.HOMESTEAD: (HOMESTEAD_OPCODES, FRONTIER_PRECOMPILES),
    Fork.TANGERINE_WHISTLE: (TANGERINE_WHISTLE_OPCODES, FRONTIER_PRECOMPILES),
    Fork.SPURIOUS_DRAGON: (SPURIOUS_DRAGON_OPCODES, FRONTIER_PRECOMPILES),
    Fork.BYZANTIUM: (BYZANTIUM_OPCODES, BYZANTIUM_PRECOMPILES),
    Fork.CONSTANTINOPLE: (CONSTANTINOPLE_OPCODES, BYZANTIUM_PRECOMPILES),
    Fork.PETERSBURG: (PETERSBURG_OPCODES, BYZANTIUM_PRECOMPILES),
    Fork.ISTANBUL: (ISTANBUL_OPCODES, ISTANBUL_PRECOMPILES),
    Fork.BERLIN: (BERLIN_OPCODES, BERLIN_PRECOMPILES),
    Fork.LONDON: (LONDON_OPCODES, BERLIN_PRECOMPILES),
    Fork.SHANGHAI: (_SHANGHAI_OPCODES, BERLIN_PRECOMPILES),
    Fork.CANCUN: (_CANCUN_OPCODES, BERLIN_PRECOMPILES),
}


@cache
def frame_class(fork: Fork) -> type[Frame]:
    """The kind of frame that runs code by the rules of `fork`."""
    opcodes, precompiles = _TABLES[fork]
    contracts: dict[Address, Any] = {Address(bytes(address)): run for address, run in precompiles.items()}
    if fork >= Fork.BYZANTIUM:
        contracts[_MODEXP] = modexp(_modexp_eip_2565 if fork >= Fork.BERLIN else _modexp_eip_198)
        # EIP-1108 made the second price.
        contracts[_ECPAIRING] = (
            ecpairing(45_000, 34_000) if fork >= Fork.ISTANBUL else ecpairing(100_000, 80_000)
        )
    if fork >= Fork.ISTANBUL:
        contracts[_BLAKE2F] = blake2f
    instructions = tuple(_instruction(fork, code, opcodes.get(code)) for code in range(256))
    rules = Rules(fork, instructions, contracts)
    return type(f"{fork.name.title()}Frame", (Frame,), {"rules": rules, "__slots__": ()})


def _instruction(fork: Fork, code: int, opcode: Any) -> Instruction:
    items = _ITEMS.get(code, 0)
    if opcode is None:
        return Instruction(0, 0, _invalid(code))
    if code == _SELFDESTRUCT:
        return Instruction(opcode.gas_cost, items, _selfdestruct(fork, opcode.logic_fn))
    if code in _OPENS_FRAME:
        # These charge their own gas. The bound method, not the object: calling it takes no C stack.
        return Instruction(0, items, _opens_frame(code, opcode.__call__))
    return Instruction(opcode.gas_cost, items, opcode.logic_fn)


def _invalid(code: int) -> _Handler:
    def invalid(frame: Frame) -> None:
        raise InvalidOpcode(code)

    return invalid


def _opens_frame(code: int, handler: _Handler) -> _Handler:
    def opens_frame(frame: Frame) -> None:
        frame.opcode = code  # a tracer wants to know what opened the frame
        handler(frame)

    return opens_frame


def _selfdestruct(fork: Fork, handler: _Handler) -> _Handler:
    run: Any = ensure_no_static(cancun.selfdestruct_eip6780) if fork >= Fork.CANCUN else handler

    def selfdestruct(frame: Frame) -> None:
        tracer = frame.transaction_context.tracer
        if tracer is None:
            run(frame)
            return
        address = frame.msg.storage_address
        beneficiary = Address((frame.stack[-1] & ((1 << 160) - 1)).to_bytes(20, "big"))
        balance = frame.state.get_balance(address)
        try:
            run(frame)
        except Halt:
            depth = frame.msg.depth + 1
            tracer.on_enter(
                kind="SELFDESTRUCT",
                sender=address,
                to=beneficiary,
                value=balance,
                gas=0,
                data=b"",
                depth=depth,
            )
            tracer.on_exit(output=b"", gas_used=0, error=None, created=None, depth=depth)
            raise

    return selfdestruct
