"""Questions to contracts, as eth_call would ask them after a block: bounded in gas, remembered exactly.

An answer is remembered with all that was read for it. It holds for another state as long as the same was read
there: it is given again without running code until the storage that it came from changes. What read the
block's time or number is remembered for that one block only.

Selectors and answers are those of the EEA client specification, versions 5 and 6.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from node.execution.executor import BlockContext, Call, Executor
from node.primitives.block import Header
from node.primitives.chain_spec import ChainSpec, Fork
from node.primitives.crypto import EMPTY_HASH
from node.primitives.errors import ChainError
from node.primitives.ids import ZERO_ADDRESS, Address, Hash32
from node.primitives.state import Account, StateView

CHECK_GAS: Final = 500_000
"""What a contract may use for one answer. It is a rule of the chain: another number is another chain."""
CHECK_GAS_PER_BYTE: Final = 40
"""On top, for each byte of the question: it is paid for, and copied through a few contracts."""
ANSWERS_KEPT: Final = 8_192
KEPT_BYTES_MAX: Final = 1_024
"""A longer question is not remembered: it would hardly be asked again."""
STATES_KEPT: Final = 4
"""States whose reads are kept at hand: head, parent, final block, and one in the making."""

TRANSACTION_ALLOWED: Final = bytes.fromhex("936421d5")
"""transactionAllowed(address,address,uint256,uint256,uint256,bytes)"""
CONNECTION_ALLOWED: Final = bytes.fromhex("45a59e5b")
"""connectionAllowed(string,string,uint16): version 6 of the specification."""
CONNECTION_ALLOWED_BOTH: Final = bytes.fromhex("3620b1df")
"""connectionAllowed(bytes32,bytes32,bytes16,uint16,bytes32,bytes32,bytes16,uint16): version 5 and older."""
GET_CONTRACT_ADDRESS: Final = bytes.fromhex("0d2020dd")
"""getContractAddress(bytes32): what an ingress asks under a name."""
MEMBER_OF: Final = bytes.fromhex("3b4c9891")
"""memberOf(address): whose seat on the board a key speaks for."""

ORGANISATION_OF: Final = bytes.fromhex("383bce6a")
"""organisationOf(address): to whom an account belongs."""

_Key = tuple[Fork, Address, bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """How a question ended."""

    output: bytes
    error: str | None
    """None when the contract returned."""


@dataclass(slots=True)
class _Remembered:
    answer: Answer
    reads: "_Reads"
    block: Hash32 | None
    """Holds after this block only; None: wherever the same is read."""
    good_at: Hash32
    """The state root that it was last found good at."""


@dataclass(slots=True)
class _Reads:
    accounts: dict[Address, Account | None] = field(default_factory=dict)
    slots: dict[tuple[Address, int], int] = field(default_factory=dict)


class _Recording:
    """A view that notes what is read."""

    def __init__(self, inner: "_Known") -> None:
        self._inner = inner
        self.reads = _Reads()

    def account(self, address: Address) -> Account | None:
        found = self.reads.accounts[address] = self._inner.account(address)
        return found

    def storage(self, address: Address, slot: int) -> int:
        found = self.reads.slots[address, slot] = self._inner.storage(address, slot)
        return found

    def code(self, code_hash: Hash32) -> bytes:
        return self._inner.code(code_hash)


class _Known:
    """A view, and what has been read from it: most questions read the same few slots."""

    def __init__(self, view: StateView) -> None:
        self._view = view
        self._accounts: dict[Address, Account | None] = {}
        self._slots: dict[tuple[Address, int], int] = {}

    def account(self, address: Address) -> Account | None:
        if address not in self._accounts:
            self._accounts[address] = self._view.account(address)
        return self._accounts[address]

    def storage(self, address: Address, slot: int) -> int:
        found = self._slots.get((address, slot))
        if found is None:
            found = self._slots[address, slot] = self._view.storage(address, slot)
        return found

    def code(self, code_hash: Hash32) -> bytes:
        return self._view.code(code_hash)

    def agrees(self, reads: _Reads) -> bool:
        return all(self.account(address) == was for address, was in reads.accounts.items()) and all(
            self.storage(address, slot) == was for (address, slot), was in reads.slots.items()
        )


class ContractCaller:
    """Asks; any thread."""

    def __init__(self, executor: Executor, spec: ChainSpec) -> None:
        self.asked = 0
        """Questions, for the metrics."""
        self.executed = 0
        """Of them, those that code was run for."""
        self._executor = executor
        self._spec = spec
        self._lock = threading.Lock()
        self._answers: OrderedDict[_Key, _Remembered] = OrderedDict()
        self._states: OrderedDict[Hash32, _Known] = OrderedDict()

    def ask(self, header: Header, view: StateView, to: Address, data: bytes) -> Answer:
        """What `to` answers after `header`, whose state `view` is."""
        with self._lock:
            self.asked += 1
            state = self._state(header, view)
            key = self._spec.fork_at(header.number + 1), to, data
            found = self._answers.get(key)
            if found is not None and self._holds(found, header, state):
                self._answers.move_to_end(key)
                return found.answer
            found = self._run(header, state, to, data)
            if len(data) <= KEPT_BYTES_MAX:
                self._answers[key] = found
                self._answers.move_to_end(key)
                if len(self._answers) > ANSWERS_KEPT:
                    self._answers.popitem(last=False)
            return found.answer

    def has_code(self, header: Header, view: StateView, address: Address) -> bool:
        """Whether there is a contract."""
        with self._lock:
            account = self._state(header, view).account(address)
            return account is not None and account.code_hash != EMPTY_HASH

    def _state(self, header: Header, view: StateView) -> _Known:
        known = self._states.pop(header.state_root, None) or _Known(view)
        self._states[header.state_root] = known
        if len(self._states) > STATES_KEPT:
            self._states.popitem(last=False)
        return known

    def _holds(self, found: _Remembered, header: Header, state: _Known) -> bool:
        if found.block is not None and found.block != header.hash:
            return False
        if found.good_at != header.state_root:
            if not state.agrees(found.reads):
                return False
            found.good_at = header.state_root
        return True

    def _run(self, header: Header, state: _Known, to: Address, data: bytes) -> _Remembered:
        self.executed += 1
        seen = _Recording(state)
        gas = CHECK_GAS + CHECK_GAS_PER_BYTE * len(data)
        call = Call(sender=ZERO_ADDRESS, to=to, data=data, gas_limit=gas)
        try:
            result = self._executor.call(self._context(header, gas), seen, call)
        except ChainError as error:
            return _Remembered(Answer(b"", str(error)), seen.reads, header.hash, header.state_root)
        block = header.hash if result.saw_block else None
        return _Remembered(Answer(result.output, result.error), seen.reads, block, header.state_root)

    def _context(self, header: Header, gas: int) -> BlockContext:
        """Number and time of the block whose state is asked; nothing else that a sealer chooses."""
        return BlockContext(
            chain_id=self._spec.chain_id,
            fork=self._spec.fork_at(header.number + 1),
            number=header.number,
            timestamp=header.timestamp,
            author=ZERO_ADDRESS,
            gas_limit=gas,
            base_fee_per_gas=None if header.base_fee_per_gas is None else 0,
            difficulty=0,
            block_hash=lambda _: None,
        )


# --- words of the ABI: three shapes, not worth a library in a rule of the chain


def word(value: int | bytes) -> bytes:
    """A number or an address in 32 bytes."""
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def tail(data: bytes) -> bytes:
    """A byte string: its length, then its bytes in whole words."""
    return word(len(data)) + data + bytes(-len(data) % 32)


def as_word(answer: Answer) -> int | None:
    """The one word that was returned; None for anything else."""
    if answer.error is not None or len(answer.output) != 32:
        return None
    return int.from_bytes(answer.output, "big")


def as_bool(answer: Answer) -> bool | None:
    """Yes or no; None for anything else."""
    value = as_word(answer)
    return None if value not in (0, 1) else value == 1


def why_not(answer: Answer) -> str:
    """In words, why an answer is none."""
    if answer.error is not None:
        return f"its contract fails: {answer.error}"
    return f"its contract returns {len(answer.output)} bytes that are no answer"


def registered(
    caller: ContractCaller, header: Header, view: StateView, ingress: Address, name: str
) -> Address | None:
    """The contract that an ingress holds under a name; None where there is none, or it is no ingress."""
    value = as_word(caller.ask(header, view, ingress, GET_CONTRACT_ADDRESS + name.encode().ljust(32, b"\0")))
    return Address(value.to_bytes(32, "big")[12:]) if value else None
