"""What generated code calls: the meaning of instructions that need more than an expression.

Each takes the frame first and charges its dynamic gas itself. Word arguments are ints below 2**256.
"""

from typing import Final

from node.execution.evm.current import Slots
from node.execution.evm.frame import Frame, charge, expand, read, touch_memory
from node.execution.evm.halts import InvalidJump, OutOfGas, ReturnDataOutOfBounds, WriteProtection
from node.execution.evm.world import SLOT, WARM, World
from node.native import kernel_or, kernels
from node.primitives.crypto import keccak256
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import Log

WORD_MASK: Final = (1 << 256) - 1
SIGN_BIT: Final = 1 << 255
ADDRESS_MASK: Final = (1 << 160) - 1
SSTORE_SENTRY_GAS: Final = 2300
"""SSTORE with no more gas than this fails (EIP-2200)."""

_SET, _RESET, _CLEAR_REFUND = 20_000, 5_000, 15_000


def address_of_word(word: int) -> Address:
    """The low 20 bytes."""
    return Address((word & ADDRESS_MASK).to_bytes(20, "big"))


def bad_jump() -> None:
    """Where a jump to a known offset leads that is no JUMPDEST."""
    raise InvalidJump


# --- arithmetic of signed words


def signed(word: int) -> int:
    """The word as a two's complement number."""
    return word - (1 << 256) if word & SIGN_BIT else word


def sdiv(a: int, b: int) -> int:
    """Truncating signed division; 0 by zero."""
    if not b:
        return 0
    a, b = signed(a), signed(b)
    quotient = abs(a) // abs(b)
    return (-quotient if (a < 0) != (b < 0) else quotient) & WORD_MASK


def smod(a: int, b: int) -> int:
    """Signed remainder with the sign of the dividend; 0 by zero."""
    if not b:
        return 0
    a, b = signed(a), signed(b)
    remainder = abs(a) % abs(b)
    return (-remainder if a < 0 else remainder) & WORD_MASK


def signextend(size: int, word: int) -> int:
    """Extend the sign of the number in the low `size` + 1 bytes."""
    if size > 30:
        return word
    bit = 8 * size + 7
    low = word & ((1 << (bit + 1)) - 1)
    return low | (WORD_MASK ^ ((1 << (bit + 1)) - 1)) if low >> bit else low


def exp(base: int, exponent: int) -> int:
    """The power modulo 2**256; where it is long, four bits at a time and in half the time of Python's own."""
    if exponent < 1 << 32:
        return pow(base, exponent, WORD_MASK + 1)
    power, powers = 1, {"0": 1}
    for digit in "123456789abcdef":
        powers[digit] = power = power * base & WORD_MASK
    power = 1
    for digit in f"{exponent:x}":
        power = power * power & WORD_MASK
        power = power * power & WORD_MASK
        power = power * power & WORD_MASK
        power = power * power & WORD_MASK
        if digit != "0":
            power = power * powers[digit] & WORD_MASK
    return power


def sar(shift: int, word: int) -> int:
    """Arithmetic shift right (EIP-145)."""
    return (signed(word) >> min(shift, 256)) & WORD_MASK


# --- memory


def word_at_in_python(data: bytes, offset: int) -> int:
    """32 bytes from an offset, zeros past the end."""
    return int.from_bytes(data[offset : offset + 32].ljust(32, b"\0"), "big")


def hash_of_in_python(*words: int) -> int:
    """KECCAK256 of words that stand one after another."""
    return int.from_bytes(keccak256(b"".join([word.to_bytes(32, "big") for word in words])), "big")


def word_bytes_in_python(words: tuple[int, ...]) -> tuple[Hash32, ...]:
    """Each word in 32 bytes."""
    return tuple([Hash32(word.to_bytes(32, "big")) for word in words])


def word_of_in_python(data: bytes | bytearray) -> int:
    """The number that at most 32 bytes are."""
    return int.from_bytes(data, "big")


def bytes_of_in_python(word: int) -> bytes:
    """A word in 32 bytes."""
    return word.to_bytes(32, "big")


word_of = kernel_or(word_of_in_python, "word_of")
bytes_of = kernel_or(bytes_of_in_python, "bytes_of")
word_at = kernel_or(word_at_in_python, "word_at")
word_bytes = kernel_or(word_bytes_in_python, "word_bytes")
hash_of = kernel_or(hash_of_in_python, "hash_of")


def keccak(frame: Frame, offset: int, size: int) -> int:
    """KECCAK256 of a range of memory: 6 gas per word."""
    frame.gas = gas = frame.gas - 6 * ((size + 31) >> 5)
    if gas < 0:
        raise OutOfGas
    end = offset + size
    if size and end > len(frame.memory):
        expand(frame, end)
    return int.from_bytes(keccak256(frame.memory[offset:end]), "big")


def copy(frame: Frame, source: bytes, target: int, offset: int, size: int) -> None:
    """Copy into memory, zeros past the end of the source: 3 gas per word."""
    charge(frame, 3 * ((size + 31) >> 5))
    if size:
        touch_memory(frame, target, size)
        frame.memory[target : target + size] = source[offset : offset + size].ljust(size, b"\0")


def mcopy(frame: Frame, target: int, source: int, size: int) -> None:
    """Copy inside memory (EIP-5656)."""
    charge(frame, 3 * ((size + 31) >> 5))
    if size:
        touch_memory(frame, max(target, source), size)
        frame.memory[target : target + size] = frame.memory[source : source + size]


def returndatacopy(frame: Frame, target: int, offset: int, size: int) -> None:
    """Copy from the last callee's return data; reading past its end halts (EIP-211)."""
    if offset + size > len(frame.returned):
        raise ReturnDataOutOfBounds
    copy(frame, frame.returned, target, offset, size)


def log(frame: Frame, offset: int, size: int, topics: tuple[int, ...]) -> None:
    """Leave a log: 8 gas per byte beside the static price."""
    charge(frame, 8 * size)
    log_data(frame, read(frame, offset, size), topics)


def log_data_in_python(frame: Frame, data: bytes, topics: tuple[int, ...]) -> None:
    """Leave a log that is paid for."""
    if frame.static:
        raise WriteProtection
    frame.world.logs.append(Log(frame.address, word_bytes(topics), data))


# --- accounts and block


def warm_account(frame: Frame, word: int) -> None:
    """The surcharge of the first touch of an account (EIP-2929)."""
    if frame.world.warm_up(address_of_word(word)):
        charge(frame, frame.schedule.cold_account_gas)


def balance(frame: Frame, word: int) -> int:
    """BALANCE."""
    return frame.world.balance(address_of_word(word))


def extcodesize(frame: Frame, word: int) -> int:
    """EXTCODESIZE."""
    return len(frame.world.code(address_of_word(word)))


def extcodecopy(frame: Frame, word: int, target: int, offset: int, size: int) -> None:
    """EXTCODECOPY."""
    copy(frame, frame.world.code(address_of_word(word)), target, offset, size)


def extcodehash(frame: Frame, word: int) -> int:
    """EXTCODEHASH: 0 for an account that is empty or not there (EIP-1052)."""
    account = frame.world.account(address_of_word(word))
    return 0 if account.is_empty else int.from_bytes(account.code_hash, "big")


def blockhash(frame: Frame, number: int) -> int:
    """BLOCKHASH of one of the last 256 blocks; 0 for any other."""
    if not 0 < frame.block.number - number <= 256:
        return 0
    digest = frame.block.block_hash(number)
    return int.from_bytes(digest, "big") if digest is not None else 0


# --- storage


def sload_in_python(frame: Frame, slot: int) -> int:
    """SLOAD with the cold surcharge (EIP-2929)."""
    world, address = frame.world, frame.address
    key = (address, slot)
    if key not in world.warm:
        world.warm_up(key)
        frame.gas -= frame.schedule.cold_slot_gas
        if frame.gas < 0:
            raise OutOfGas
    return world.storage(address, slot)


def sstore_plain(frame: Frame, slot: int, value: int) -> None:
    """SSTORE before net gas metering (Yellow Paper)."""
    if frame.static:
        raise WriteProtection
    world, address = frame.world, frame.address
    current = world.storage(address, slot)
    charge(frame, _SET if value and not current else _RESET)
    if current and not value:
        world.refund += _CLEAR_REFUND
    world.set_storage((address, slot), current, value)


def sstore_net(frame: Frame, slot: int, value: int) -> None:
    """SSTORE of Constantinople (EIP-1283)."""
    _sstore_metered(frame, slot, value, read_gas=200, reset_gas=_RESET, clear_refund=_CLEAR_REFUND)


def sstore_istanbul(frame: Frame, slot: int, value: int) -> None:
    """SSTORE of EIP-2200."""
    if frame.gas <= SSTORE_SENTRY_GAS:
        raise OutOfGas
    _sstore_metered(frame, slot, value, read_gas=800, reset_gas=_RESET, clear_refund=_CLEAR_REFUND)


def sstore_berlin(frame: Frame, slot: int, value: int) -> None:
    """SSTORE with cold and warm slots (EIP-2929)."""
    _sstore_warm(frame, slot, value, _CLEAR_REFUND)


def sstore_london_in_python(frame: Frame, slot: int, value: int) -> None:
    """SSTORE with the smaller refund (EIP-3529)."""
    _sstore_warm(frame, slot, value, 4_800)


def _sstore_warm(frame: Frame, slot: int, value: int, clear_refund: int) -> None:
    """Net gas metering with a surcharge for the first touch: the commonest of all, so in one piece."""
    if frame.gas <= SSTORE_SENTRY_GAS:
        raise OutOfGas
    if frame.static:
        raise WriteProtection
    world, address = frame.world, frame.address
    key, gas = (address, slot), 0
    if key not in world.warm:
        world.warm_up(key)
        gas = 2_100
    current = world.storage(address, slot)
    if value == current:
        gas += 100
    else:
        original = world.original(key, current)
        if original == current:
            gas += 2_900 if original else _SET
            if original and not value:
                world.refund += clear_refund
        else:
            gas += 100
            world.refund += _refund_of_change(original, current, value, clear_refund, 100, 2_900)
        world.set_storage(key, current, value)
    charge(frame, gas)


def _refund_of_change(
    original: int, current: int, value: int, clear_refund: int, read_gas: int, reset_gas: int
) -> int:
    """What a slot that was changed before in this transaction gives back or takes back."""
    refund = 0
    if original:
        if not current:
            refund -= clear_refund
        elif not value:
            refund += clear_refund
    if value == original:
        refund += (reset_gas if original else _SET) - read_gas
    return refund


def _sstore_metered(
    frame: Frame, slot: int, value: int, *, read_gas: int, reset_gas: int, clear_refund: int
) -> None:
    """Net gas metering: the price depends on the value at the start of the transaction too."""
    if frame.static:
        raise WriteProtection
    world, address = frame.world, frame.address
    current = world.storage(address, slot)
    if value == current:
        charge(frame, read_gas)
        return
    key = (address, slot)
    original = world.original(key, current)
    if original == current:
        charge(frame, _SET if original == 0 else reset_gas)
        if original and not value:
            world.refund += clear_refund
    else:
        charge(frame, read_gas)
        world.refund += _refund_of_change(original, current, value, clear_refund, read_gas, reset_gas)
    world.set_storage(key, current, value)


sload, sstore_london, log_data = sload_in_python, sstore_london_in_python, log_data_in_python
if kernels is not None:
    kernels.bind_storage(
        sload_in_python, sstore_london_in_python, log_data_in_python, SLOT, WARM, Frame, World, Slots, Log
    )
    sload, sstore_london, log_data = kernels.sload, kernels.sstore, kernels.log_data


def tstore(frame: Frame, slot: int, value: int) -> None:
    """TSTORE (EIP-1153)."""
    if frame.static:
        raise WriteProtection
    frame.world.set_transient(frame.address, slot, value)


def selfdestruct(frame: Frame, word: int) -> None:
    """Send the balance away and mark the account for removal (EIP-150, EIP-161, EIP-2929, EIP-6780)."""
    if frame.static:
        raise WriteProtection
    world, schedule, beneficiary = frame.world, frame.schedule, address_of_word(word)
    gas = 0
    if schedule.access_lists and world.warm_up(beneficiary):
        gas += 2_600
    amount = world.balance(frame.address)
    if amount and world.is_empty(beneficiary):
        gas += 25_000
    charge(frame, gas)
    removed = not schedule.selfdestruct_only_new or world.was_created(frame.address)
    # Where both are one account the balance is burnt if the account goes, and stays if it does not.
    if beneficiary != frame.address:
        world.transfer(frame.address, beneficiary, amount)
    elif removed:
        world.add_balance(frame.address, -amount)
    if removed and world.destroy(frame.address):
        world.refund += schedule.selfdestruct_refund
