"""Calls and creations: what CALL, CREATE and their relatives do before and after the callee runs.

Nothing here recurses: a callee becomes `frame.child`, and the machine runs it before the frame goes on.
Sources: Yellow Paper 8; EIP-150 (63/64), EIP-161, EIP-214, EIP-684, EIP-2929, EIP-3541, EIP-3860.
"""

from typing import TYPE_CHECKING, Final

from node.execution.evm import precompiles
from node.execution.evm.frame import Frame, charge, made_frame, read, touch_memory
from node.execution.evm.halts import CodeTooLarge, Halt, OutOfGas, WriteProtection
from node.execution.evm.operations import address_of_word
from node.primitives import rlp
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import Address

if TYPE_CHECKING:
    from node.execution.evm.frame import Step

CALL_DEPTH_MAX: Final = 1024
CALL_STIPEND: Final = 2300
CALL_VALUE_GAS: Final = 9000
NEW_ACCOUNT_GAS: Final = 25_000
NONCE_MAX: Final = 2**64 - 1
"""EIP-2681."""


def call(
    stack: list[int],
    frame: Frame,
    following: "Step",
    gas: int,
    to: int,
    value: int,
    offset: int,
    size: int,
    output_offset: int,
    output_size: int,
) -> "Step | None":
    """CALL: another account's code on its own storage, with value."""
    if value and frame.static:
        raise WriteProtection
    touch_memory(frame, offset, size)
    touch_memory(frame, output_offset, output_size)
    target = address_of_word(to)
    _charge_access(frame, target)
    if value:
        charge(frame, CALL_VALUE_GAS)
        if frame.world.is_empty(target):
            charge(frame, NEW_ACCOUNT_GAS)
    granted = _grant(frame, gas) + (CALL_STIPEND if value else 0)
    data = read(frame, offset, size)
    return _message(
        stack, frame, following, granted, target, target, frame.address, value, data,
        output_offset, output_size, frame.static, value,
    )  # fmt: skip


def callcode(
    stack: list[int],
    frame: Frame,
    following: "Step",
    gas: int,
    to: int,
    value: int,
    offset: int,
    size: int,
    output_offset: int,
    output_size: int,
) -> "Step | None":
    """CALLCODE: another account's code on the caller's own storage."""
    touch_memory(frame, offset, size)
    touch_memory(frame, output_offset, output_size)
    source = address_of_word(to)
    _charge_access(frame, source)
    if value:
        charge(frame, CALL_VALUE_GAS)
    granted = _grant(frame, gas) + (CALL_STIPEND if value else 0)
    data = read(frame, offset, size)
    return _message(
        stack, frame, following, granted, source, frame.address, frame.address, value, data,
        output_offset, output_size, frame.static, value,
    )  # fmt: skip


def delegatecall(
    stack: list[int],
    frame: Frame,
    following: "Step",
    gas: int,
    to: int,
    offset: int,
    size: int,
    output_offset: int,
    output_size: int,
) -> "Step | None":
    """DELEGATECALL: another account's code in the caller's place, caller and value kept (EIP-7)."""
    touch_memory(frame, offset, size)
    touch_memory(frame, output_offset, output_size)
    source = address_of_word(to)
    _charge_access(frame, source)
    granted = _grant(frame, gas)
    data = read(frame, offset, size)
    return _message(
        stack, frame, following, granted, source, frame.address, frame.caller, frame.value, data,
        output_offset, output_size, frame.static, None,
    )  # fmt: skip


def staticcall(
    stack: list[int],
    frame: Frame,
    following: "Step",
    gas: int,
    to: int,
    offset: int,
    size: int,
    output_offset: int,
    output_size: int,
) -> "Step | None":
    """STATICCALL: a call that may change nothing (EIP-214)."""
    touch_memory(frame, offset, size)
    touch_memory(frame, output_offset, output_size)
    target = address_of_word(to)
    _charge_access(frame, target)
    granted = _grant(frame, gas)
    data = read(frame, offset, size)
    return _message(
        stack, frame, following, granted, target, target, frame.address, 0, data,
        output_offset, output_size, True, 0,
    )  # fmt: skip


def create(
    stack: list[int], frame: Frame, following: "Step", value: int, offset: int, size: int, salt: int | None
) -> "Step | None":
    """CREATE, and CREATE2 (EIP-1014) when there is a salt."""
    if frame.static:
        raise WriteProtection
    limit = frame.schedule.init_code_bytes_max
    words = (size + 31) >> 5
    if limit is not None:
        if size > limit:
            raise CodeTooLarge
        charge(frame, 2 * words)
    if salt is not None:
        charge(frame, 6 * words)
    init_code = read(frame, offset, size)
    world, creator = frame.world, frame.address
    frame.returned = b""
    account = world.account(creator)
    if frame.depth >= CALL_DEPTH_MAX or account.balance < value or account.nonce == NONCE_MAX:
        stack.append(0)
        return following
    granted = frame.gas - (frame.gas >> 6)
    frame.gas -= granted
    address = created_address(creator, account.nonce, init_code, salt)
    world.increment_nonce(creator)
    if frame.schedule.access_lists:
        world.warm_up(address)
    if world.is_occupied(address):
        stack.append(0)
        return following
    snapshot = world.snapshot()
    world.begin_contract(address)
    world.transfer(creator, address, value)
    frame.following = following
    program = frame.program.cache.once(init_code)
    frame.child = made_frame(
        world, frame.schedule, frame.block, frame.tx, program, address, creator, value, b"", granted,
        frame.depth + 1, False, snapshot, True,
    )  # fmt: skip
    return None


def created_address(creator: Address, nonce: int, init_code: bytes, salt: int | None) -> Address:
    """Where a creation puts its contract (Yellow Paper 7; EIP-1014 with a salt)."""
    if salt is None:
        return Address(keccak256(rlp.encode([creator, nonce]))[12:])
    return Address(keccak256(b"\xff" + creator + salt.to_bytes(32, "big") + keccak256(init_code))[12:])


def _charge_access(frame: Frame, target: Address) -> None:
    schedule = frame.schedule
    gas = schedule.call_gas
    if schedule.access_lists and frame.world.warm_up(target):
        gas += schedule.cold_account_gas
    charge(frame, gas)


def _grant(frame: Frame, asked: int) -> int:
    """Gas for the callee: what was asked, but never the last 64th (EIP-150)."""
    granted = min(asked, frame.gas - (frame.gas >> 6))
    frame.gas -= granted
    return granted


def _message(
    stack: list[int],
    frame: Frame,
    following: "Step",
    gas: int,
    source: Address,
    address: Address,
    caller: Address,
    value: int,
    data: bytes,
    output_offset: int,
    output_size: int,
    static: bool,
    transferred: int | None,
) -> "Step | None":
    world = frame.world
    # A delegated call shows a value but moves none, so it needs no balance.
    poor = bool(transferred) and world.balance(frame.address) < transferred  # type: ignore[operator]
    if frame.depth >= CALL_DEPTH_MAX or poor:
        frame.gas += gas
        frame.returned = b""
        stack.append(0)
        return following
    snapshot = world.snapshot()
    if transferred is not None:
        world.transfer(frame.address, address, transferred)
    precompiled = precompiles.find(source, frame.schedule.fork)
    if precompiled is None:
        account = world.account(source)
        if account.code_hash == EMPTY_HASH:
            frame.gas += gas
            frame.returned = b""
            stack.append(1)
            return following
        frame.following = following
        program = frame.program.cache.get(account.code_hash, world.code_of)
        frame.child = made_frame(
            world, frame.schedule, frame.block, frame.tx, program, address, caller, value, data, gas,
            frame.depth + 1, static, snapshot, False, output_offset, output_size,
        )  # fmt: skip
        return None
    try:
        left, output = run_precompile(precompiled, data, gas, frame.tx.poll)
    except Halt:
        world.revert(snapshot)
        frame.returned = b""
        stack.append(0)
        return following
    frame.gas += left
    frame.returned = output
    size = min(output_size, len(output))
    frame.memory[output_offset : output_offset + size] = output[:size]
    stack.append(1)
    return following


def run_precompile(
    contract: "precompiles.Precompile", data: bytes, gas: int, poll: "precompiles.Poll"
) -> tuple[int, bytes]:
    """Gas left and output; a Halt takes all gas."""
    cost = contract.gas(data)
    if cost > gas:
        raise OutOfGas
    return gas - cost, contract.run(data, poll)
