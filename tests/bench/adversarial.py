"""Code written to cost more time than gas: the worst million gas per second that anybody can buy.

    python tests/bench/adversarial.py            every kind, about a minute
    python tests/bench/adversarial.py --gas 1    a quick look, with 1 Mgas each

Each row is one eth_call with a fresh executor, so that whatever has to be translated is translated within
the time that is measured. The share is the time that a gas costs here, as a multiple of what it costs in an
ERC-20 transfer on the same executor when all is warm: the fair share. py-evm runs the same code beside.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from node.execution.evm.executor import FastExecutor
from node.execution.executor import Call, Executor
from node.execution.py_evm import PyEvmExecutor
from node.primitives.crypto import keccak256
from node.primitives.ids import Address
from tests.bench.import_blocks import BALANCES_SLOT, SUPPLY, TOKEN, token_code
from tests.execution.builders import CONTRACT, KEY, assemble, context
from tests.execution.worlds import MemoryView

LARGEST_CODE = 24_576
FAIR_CALLS = 2_000
BLAKE2F_ROUNDS = 10_000


def loop(body: str, before: str = "") -> bytes:
    """The body again and again until the gas is gone; it leaves the stack as it was."""
    head = assemble(before)
    return head + assemble(f"JUMPDEST {body} {len(head)} JUMP")


def asking(number: int, data: bytes) -> bytes:
    """A precompiled contract with the same input, again and again."""
    words = range(0, len(data), 32)
    stores = " ".join(f"{_word(data, offset)} {offset} MSTORE" for offset in words)
    return loop(f"0 0 {len(data)} 0 {number} GAS STATICCALL POP", stores)


def _word(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 32].ljust(32, b"\0"), "big")


def modexp(size: int) -> bytes:
    """Operands of `size` bytes with all bits set, the modulus odd, and the longest exponent of 32 bytes."""
    sizes = b"".join(n.to_bytes(32, "big") for n in (size, 32, size))
    return sizes + b"\xff" * (size + 32 + size)


def distinct(view: MemoryView, code: Callable[[int], bytes], count: int) -> bytes:
    """Many contracts, each with code of its own, and one that calls them all in turn."""
    for number in range(count):
        address = Address((0x10000 + number).to_bytes(20, "big"))
        view.put(address, nonce=1, code=code(number + 1))  # 0 would never return
    return loop("1 ADD 0 0 0 0 0 DUP6 GAS CALL POP", str(0xFFFF))


def jumps(number: int) -> bytes:
    """A contract of the largest size that jumps from block to block through all of it; 0 begins again."""
    code = bytearray(b"\x5b")
    while len(code) < LARGEST_CODE - 16:
        code += b"\x61" + (len(code) + 5).to_bytes(2, "big") + b"\x56\x00\x5b"
    return bytes(code) + (b"\x00" + number.to_bytes(4, "big") if number else assemble("0 JUMP"))


def creating(size: int) -> bytes:
    """Creations with init code of so many JUMPDESTs, and a jump among them: all are looked at."""
    init = bytes.fromhex("600456005b00") + b"\x5b" * (size - 6)
    start = 40
    head = assemble(f"{size} {start} 0 CODECOPY")
    code = head + assemble(f"JUMPDEST {size} 0 0 CREATE POP {len(head)} JUMP")
    assert len(code) <= start
    return code.ljust(start, b"\0") + init


def jumpdests(number: int) -> bytes:
    """A contract of the largest size without jumps: one gas for a JUMPDEST, four for PC and POP."""
    random = Random(number)
    parts = random.choices((b"\x5b", b"\x58\x50"), k=LARGEST_CODE)
    return b"".join(parts)[: LARGEST_CODE - 1] + b"\x00"


def cases() -> dict[str, tuple[bytes, MemoryView, float]]:
    """Name -> code, the world around it, and what part of the gas to spend on it."""
    made: dict[str, tuple[bytes, MemoryView, float]] = {}

    def case(name: str, code: bytes, view: MemoryView | None = None, part: float = 1.0) -> None:
        made[name] = code, view or MemoryView(), part

    word = int.from_bytes(CONTRACT, "big")
    case("jumps, one block", loop(""))
    case("jumps, 24 kB of blocks", jumps(0))
    case("jumpdests", b"\x5b" * (LARGEST_CODE - 3) + assemble("0 JUMP"))
    case("arithmetic", loop("DUP1 MUL 7 ADD", "3"))
    case("exponents", loop("DUP1 DUP1 EXP POP", str(2**256 - 3)))
    case("modular products", loop("DUP1 DUP1 DUP1 MULMOD POP", str(2**256 - 3)), part=1)
    case("hashes of one word", loop("32 0 KECCAK256 0 MSTORE"))
    case("hashes of 64 kB", loop("65536 0 KECCAK256 POP"))
    case("memory of 1 MB copied", loop("1048576 0 1 CALLDATACOPY"))
    case("memory in every frame", loop(f"0 0 65536 0 0 {word} GAS CALL POP"))
    case("calls 1024 deep", loop(f"0 0 0 0 0 {word} GAS CALL POP"))
    case("creations", loop("0 0 0 CREATE POP"))
    case("creations of 24 kB", creating(24_000))
    case("new slots", loop("1 ADD DUP1 DUP1 SSTORE", "0"))
    case("slots read cold", loop("1 ADD DUP1 SLOAD POP", "0"))
    case("slots read warm", loop("0 SLOAD POP"))
    case("accounts read cold", loop("1 ADD DUP1 BALANCE POP", "65536"))
    case("logs", loop("1 2 3 4 0 0 LOG4"))
    for name, code in (("jumps", jumps), ("jumpdests", jumpdests)):
        view = MemoryView()
        case(f"distinct contracts: {name}", distinct(view, code, 400), view)
    case("ecrecover", asking(1, keccak256(b"x") + (27).to_bytes(32, "big") + (b"\x11" * 32) * 2))
    case("sha256", asking(2, bytes(1024)))
    case("ripemd160", asking(3, bytes(1024)))
    case("identity", asking(4, bytes(1024)))
    case("modexp, 32 bytes", asking(5, modexp(32)))
    case("modexp, 256 bytes", asking(5, modexp(256)))
    case("ecadd", asking(6, (b"\x00" * 31 + b"\x01" + b"\x00" * 31 + b"\x02") * 2))
    case("ecmul", asking(7, b"\x00" * 31 + b"\x01" + b"\x00" * 31 + b"\x02" + b"\xff" * 32), part=0.3)
    generator = b"".join(n.to_bytes(32, "big") for n in _G1_G2)
    case("ecpairing", asking(8, generator * 2), part=0.3)
    case("blake2f", asking(9, BLAKE2F_ROUNDS.to_bytes(4, "big") + bytes(209)), part=0.1)
    return made


_G1_G2 = (
    1,
    2,
    0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2,
    0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED,
    0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B,
    0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA,
)


def spent(
    executor: Executor, view: MemoryView, to: Address, gas: int, data: bytes = b""
) -> tuple[float, int]:
    """CPU seconds and gas of one call."""
    call = Call(sender=KEY.address, to=to, data=data, gas_limit=gas)
    started = time.process_time()
    result = executor.call(context(), view, call)
    return time.process_time() - started, result.gas_used


def fair_share(executor: Executor) -> float:
    """CPU seconds for a gas in a warm ERC-20 transfer."""
    view = MemoryView()
    slot = int.from_bytes(keccak256(KEY.address.rjust(32, b"\0") + BALANCES_SLOT.to_bytes(32, "big")), "big")
    view.put(TOKEN, nonce=1, code=token_code(), storage={slot: SUPPLY})
    data = bytes.fromhex("a9059cbb") + CONTRACT.rjust(32, b"\0") + (1).to_bytes(32, "big")
    runs = [spent(executor, view, TOKEN, 100_000, data) for _ in range(FAIR_CALLS)][FAIR_CALLS // 2 :]
    return sum(seconds for seconds, _ in runs) / sum(gas for _, gas in runs)


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gas", type=float, default=5, help="Mgas that each row may spend")
    parser.add_argument("--without-py-evm", action="store_true")
    options = parser.parse_args()
    fair = fair_share(FastExecutor(PyEvmExecutor()))
    write = sys.stdout.write
    write(f"an ERC-20 transfer: {1e-6 / fair:.0f} Mgas/s\n")
    write(f"{'':34}{'Mgas/s':>10}{'share':>8}{'py-evm':>10}\n")
    for name, (code, view, part) in cases().items():
        view.put(CONTRACT, nonce=1, balance=10**18, code=code)
        gas = int(options.gas * part * 1e6)
        seconds, used = spent(FastExecutor(PyEvmExecutor()), view, CONTRACT, gas)
        row = f"{name:34}{used / seconds / 1e6:10.2f}{seconds / used / fair:8.1f}"
        if not options.without_py_evm:
            seconds, used = spent(PyEvmExecutor(), view, CONTRACT, gas)
            row += f"{used / seconds / 1e6:10.2f}"
        write(row + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
