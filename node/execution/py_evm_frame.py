"""One message call or creation: the machine that py-evm's instructions run on.

py-evm supplies what instructions and precompiled contracts do (`py_evm_rules`); this is the computation they
are handed, with the names they use. It differs from py-evm's own in what it leaves out: debug texts made
whether or not anyone reads them, a list of all child frames, and checks of what only it can have put there.
The stack holds integers alone.

A message that sends a message recurses in Python: six Python calls for each level, none of which takes C
stack. `py_evm` raises the interpreter's recursion limit accordingly.
"""

from collections.abc import Callable
from typing import ClassVar, Final, NamedTuple, Unpack

from eth.exceptions import FullStack, OutOfGas, VMError

from node.execution import py_evm_faults as faults
from node.execution.executor import StepTracer
from node.execution.py_evm_loops import Step, report_step, run, run_traced
from node.execution.py_evm_message import Code, Message, MessageOptions, Origin
from node.execution.py_evm_state import PyEvmState
from node.primitives.chain_spec import Fork
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import Log

CODE_BYTES_MAX: Final = 24_576
"""Of a deployed contract (EIP-170)."""
CODE_BYTE_GAS: Final = 200
MEMORY_BYTES_MAX: Final = 1 << 30
"""More counts as out of gas. It costs 2.2e12 gas: only a network without a sane gas limit can tell."""
CALL_NAMES: Final = {0xF0: "CREATE", 0xF1: "CALL", 0xF2: "CALLCODE", 0xF4: "DELEGATECALL", 0xF5: "CREATE2"}


class Instruction(NamedTuple):
    """What the loops need to know of one opcode."""

    gas: int
    """Charged before the handler runs; the handler charges the rest."""
    stack_items: int
    """How many items it takes or looks at."""
    handler: Callable[["Frame"], object]


class Rules(NamedTuple):
    """What a fork makes of code."""

    fork: Fork
    instructions: tuple[Instruction, ...]
    """One for each of the 256 opcodes."""
    precompiles: dict[Address, Callable[["Frame"], object]]


class _Silence:
    """Stands where py-evm logs or keeps lists that nobody reads."""

    show_debug2 = False

    def debug2(self, message: str) -> None:
        """Say nothing."""

    append = debug2


class Frame:
    """One message under way. The names without underscores are py-evm's, but for `execute`."""

    __slots__ = (
        "_memory",
        "code",
        "error",
        "gas_remaining",
        "msg",
        "opcode",
        "output",
        "return_data",
        "stack",
        "state",
        "step",
        "transaction_context",
    )

    rules: ClassVar[Rules]
    """Set by the subclass that `py_evm_rules` makes for each fork."""
    logger: ClassVar[_Silence] = _Silence()
    beneficiaries: ClassVar[_Silence] = _Silence()

    def __init__(self, state: PyEvmState, message: Message, origin: Origin) -> None:
        self.state = state
        self.msg = message
        self.transaction_context = origin
        self.gas_remaining = message.gas
        self.stack: list[int] = []
        self._memory = bytearray()
        self.output = b""
        self.return_data = b""
        self.error: VMError | None = None
        self.opcode = 0
        """The instruction that is opening a frame."""
        self.step: Step | None = None

    # --- a frame's life

    def execute(self) -> None:
        """Run to the end. A failure leaves the state as it was and stands in `error`."""
        state = self.state
        snapshot = state.snapshot()
        state.poll()
        try:
            if self.msg.is_create:
                self._create()
            else:
                self._call()
        except VMError as error:
            # Where it was raised holds this frame, which would be left to the garbage collector.
            self.error = error.with_traceback(None)
            error.__context__ = None
            state.revert(snapshot)
            if error.burns_gas:
                self.gas_remaining = 0
            if error.erases_return_data:
                self.output = self.return_data = b""

    def _call(self) -> None:
        state, message = self.state, self.msg
        if message.value and message.should_transfer_value:
            state.delta_balance(message.sender, -message.value)
            state.delta_balance(message.storage_address, message.value)
        state.touch_account(message.storage_address)
        precompile = None if message.is_create else self.rules.precompiles.get(message.code_address)
        if precompile is not None:
            precompile(self)
        elif message.code:
            self.code = Code(message.code)
            tracer = self.transaction_context.tracer
            if tracer is not None and tracer.wants_steps:
                run_traced(self, tracer)
            else:
                run(self)

    def _create(self) -> None:
        state, address, fork = self.state, self.msg.storage_address, self.rules.fork
        state.mark_created(address)
        if fork >= Fork.SPURIOUS_DRAGON:
            state.increment_nonce(address)
        self._call()
        code = self.output
        if not code:
            return
        if fork >= Fork.SPURIOUS_DRAGON and len(code) > CODE_BYTES_MAX:
            raise faults.CodeTooLong(len(code))
        if fork >= Fork.LONDON and code[0] == 0xEF:
            raise faults.ReservedCode
        gas = CODE_BYTE_GAS * len(code)
        if gas <= self.gas_remaining:
            self.gas_remaining -= gas
            state.set_code(address, code)
        elif fork == Fork.FRONTIER:
            # The first rule kept the account without code; Homestead made it a failure (EIP-2).
            self.output = b""
        else:
            raise faults.CodeStorageOutOfGas

    def prepare_child_message(
        self, gas: int, to: Address, value: int, data: bytes, code: bytes, **rest: Unpack[MessageOptions]
    ) -> Message:
        """The message to be sent; from this frame's account unless `sender` is among the rest."""
        rest.setdefault("sender", self.msg.storage_address)
        return Message(gas, to, value, data, code, self.msg.depth + 1, **rest)

    def apply_child_computation(self, message: Message) -> "Frame":
        """Run a message that an instruction of this frame sends; the child frame when it has ended."""
        if message.is_create and self.rules.fork >= Fork.SHANGHAI:
            faults.check_init_code(message.code)
        tracer = self.transaction_context.tracer
        if tracer is not None:
            self._report_enter(tracer, message)
        child = type(self)(self.state, message, self.transaction_context)
        child.execute()
        deployed = message.is_create and child.error is None
        self.return_data = b"" if deployed else child.output
        if tracer is not None:
            tracer.on_exit(
                output=child.output,
                gas_used=message.gas - child.gas_remaining,
                error=faults.words(child.error),
                created=message.storage_address if deployed else None,
                depth=message.depth,
            )
        return child

    def _report_enter(self, tracer: StepTracer, message: Message) -> None:
        report_step(self, tracer, child=message)
        tracer.on_enter(
            kind=CALL_NAMES.get(self.opcode, "STATICCALL"),
            sender=self.msg.storage_address,
            to=message.storage_address if message.is_create else message.code_address,
            value=message.value,
            gas=message.gas,
            data=message.code if message.is_create else message.data,
            depth=message.depth,
        )

    @property
    def is_error(self) -> bool:
        """Whether the frame failed."""
        return self.error is not None

    @property
    def should_return_gas(self) -> bool:
        """Whether what gas is left goes back to the parent."""
        return self.error is None or not self.error.burns_gas

    @property
    def should_erase_return_data(self) -> bool:
        """Whether the parent gets no output."""
        return self.error is not None and bool(self.error.erases_return_data)

    # --- gas

    def consume_gas(self, amount: int, reason: str = "") -> None:
        """Charge gas; OutOfGas when there is not enough."""
        if amount > self.gas_remaining:
            raise faults.GasExhausted(amount)
        self.gas_remaining -= amount

    def return_gas(self, amount: int) -> None:
        """Gas that a child did not use."""
        self.gas_remaining += amount

    def refund_gas(self, amount: int) -> None:
        """Gas to be given back when the transaction ends."""
        self.state.add_refund(amount)

    def get_gas_remaining(self) -> int:
        """What is left."""
        return self.gas_remaining

    # --- memory

    def extend_memory(self, start_position: int, size: int) -> None:
        """Charge for memory up to here, and make it."""
        memory = self._memory
        end = start_position + size
        if not size or end <= len(memory):
            return
        if end > MEMORY_BYTES_MAX:
            raise OutOfGas
        before, after = len(memory) >> 5, (end + 31) >> 5
        self.consume_gas(3 * (after - before) + after * after // 512 - before * before // 512)
        memory.extend(bytes((after - before) << 5))

    def memory_write(self, start_position: int, size: int, value: bytes) -> None:
        """Write `size` bytes into memory that is there."""
        if size:
            self._memory[start_position : start_position + size] = value

    def memory_read_bytes(self, start_position: int, size: int) -> bytes:
        """Read memory that is there."""
        return bytes(self._memory[start_position : start_position + size])

    def memory_copy(self, destination: int, source: int, length: int) -> None:
        """Move bytes within memory that is there; the two places may overlap."""
        self.memory_write(destination, length, self.memory_read_bytes(source, length))

    # --- stack: the loops have made sure that the items are there

    def stack_pop_ints(self, num_items: int) -> list[int] | tuple[int, int]:
        """The top items, the topmost first."""
        stack = self.stack
        if num_items == 2:
            return stack.pop(), stack.pop()
        taken = stack[-num_items:]
        del stack[-num_items:]
        taken.reverse()
        return taken

    def stack_pop1_int(self) -> int:
        """The top item."""
        return self.stack.pop()

    def stack_pop1_bytes(self) -> bytes:
        """The top item, big-endian without leading zeros."""
        value = self.stack.pop()
        return value.to_bytes((value.bit_length() + 7) >> 3, "big")

    stack_pop1_any = stack_pop1_int

    def stack_push_int(self, value: int) -> None:
        """One more item."""
        if len(self.stack) > 1023:
            raise FullStack
        self.stack.append(value)

    def stack_push_bytes(self, value: bytes) -> None:
        """One more item, big-endian."""
        self.stack_push_int(int.from_bytes(value, "big"))

    def stack_swap(self, position: int) -> None:
        """Exchange the top item with the one `position` below it."""
        stack = self.stack
        stack[-1], stack[-1 - position] = stack[-1 - position], stack[-1]

    def stack_dup(self, position: int) -> None:
        """A copy of the item at `position`, 1 being the top."""
        self.stack_push_int(self.stack[-position])

    # --- logs and destruction

    def add_log_entry(self, account: Address, topics: tuple[int, ...] | list[int], data: bytes) -> None:
        """LOG0 .. LOG4."""
        log = Log(account, tuple(Hash32(topic.to_bytes(32, "big")) for topic in topics), data)
        self.state.add_log(log)
        if self.transaction_context.tracer is not None:
            self.transaction_context.tracer.on_log(log, depth=self.msg.depth)

    @property
    def contracts_created(self) -> set[Address]:
        """Contracts that came into being in this transaction (EIP-6780 asks)."""
        return self.state.created

    def register_account_for_deletion(self, beneficiary: Address) -> None:
        """SELFDESTRUCT: the balance has moved; the account goes when the transaction ends."""
        self.state.destroy(self.msg.storage_address)
