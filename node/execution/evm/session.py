"""A block in the making: transactions from buying gas to paying the author, on the fast machine."""

from typing import NamedTuple, cast

from node.execution.evm import precompiles
from node.execution.evm.frame import BlockEnvironment, TransactionEnvironment, WatchedBlock, made_frame
from node.execution.evm.halts import AddressCollision, Halt
from node.execution.evm.machine import Ending, polled, run
from node.execution.evm.messages import created_address, run_precompile
from node.execution.evm.program import Program, ProgramCache
from node.execution.evm.schedule import schedule_of
from node.execution.evm.world import PURCHASED, START, WarmKey, World
from node.execution.executor import BlockContext, BlockOutcome, Call, CallResult, Interrupted
from node.execution.intrinsic import (
    check_gas_left,
    check_transaction,
    effective_gas_price,
    refund_cap,
)
from node.native import maker
from node.primitives.chain_spec import Fork
from node.primitives.crypto import EMPTY_HASH
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import EMPTY_BLOOM, Receipt, logs_bloom, made_receipt, merge_blooms
from node.primitives.state import StateView
from node.primitives.transaction import AccessList, Transaction


class Execution(NamedTuple):
    """How a transaction or call ended."""

    gas_used: int
    gas_refunded: int
    output: bytes
    error: str | None
    recipient: Address


_execution, _environment = maker(Execution), maker(TransactionEnvironment)


class FastSession:
    """Implements node.execution.executor.BlockSession for Byzantium and later."""

    def __init__(
        self, context: BlockContext, parent: StateView, programs: ProgramCache, world: World | None = None
    ) -> None:
        """`world`: one over `parent` that sees more than a plain one does."""
        self._context = context
        self._programs = programs
        self._schedule = schedule_of(context.fork)
        self._world = world or World(parent)
        self._receipts: list[Receipt] = []
        self._gas_used = 0
        self._precompiles = precompiles.precompiles_of(context.fork)
        if self._schedule.access_lists:
            # EIP-2929, EIP-3651
            authors = {context.author} if context.fork >= Fork.SHANGHAI else set()
            self._world.always_warm = frozenset(self._precompiles.keys() | authors)
        self._last_program: tuple[Hash32, Program] = EMPTY_HASH, programs.once(b"")
        self._block = BlockEnvironment(
            number=context.number,
            timestamp=context.timestamp,
            author_word=int.from_bytes(context.author, "big"),
            gas_limit=context.gas_limit,
            base_fee=context.base_fee_per_gas or 0,
            difficulty=context.difficulty,
            chain_id=context.chain_id,
            block_hash=context.block_hash,
        )

    @property
    def gas_used(self) -> int:
        """Gas of the transactions applied so far."""
        return self._gas_used

    def apply(self, tx: Transaction, interrupted: Interrupted | None = None) -> Receipt:
        """Execute one transaction; InvalidTransaction, ExecutionInterrupted leave the session as it was."""
        world, context, sender = self._world, self._context, tx.sender
        intrinsic_gas = check_transaction(tx, context, world.existing(sender))
        check_gas_left(tx.gas_limit, context.gas_limit - self._gas_used)
        execution = self.execute(tx, sender, intrinsic_gas, interrupted)
        self._gas_used += execution.gas_used
        logs = tuple(world.logs)
        bloom = logs_bloom(logs) if logs else EMPTY_BLOOM
        receipt = made_receipt(tx.type, 0 if execution.error else 1, self._gas_used, bloom, logs)
        self._receipts.append(receipt)
        return receipt

    def finish(self) -> BlockOutcome:
        """Close the session: no transaction can follow."""
        receipts = tuple(self._receipts)
        bloom = merge_blooms([receipt.bloom for receipt in receipts if receipt.logs])
        return BlockOutcome(receipts, self._world.changes(), self._gas_used, bloom)

    def call(self, call: Call, intrinsic_gas: int, interrupted: Interrupted | None) -> CallResult:
        """Run a checked call on this session, which is used up by it."""
        accessed = self._world.record_accesses()
        watched = WatchedBlock(self._block)
        self._block = cast("BlockEnvironment", watched)
        execution = self.execute(call, call.sender, intrinsic_gas, interrupted)
        return CallResult(
            output=execution.output,
            gas_used=execution.gas_used,
            error=execution.error,
            logs=tuple(self._world.logs),
            touched=self._touched(call, execution.recipient, accessed),
            gas_refunded=execution.gas_refunded,
            saw_block=watched.was_read,
        )

    def execute(
        self,
        message: Transaction | Call,
        sender: Address,
        intrinsic_gas: int,
        interrupted: Interrupted | None,
    ) -> Execution:
        """Run a checked transaction or call of `sender`; whatever is raised leaves the session as it was."""
        world, context, to = self._world, self._context, message.to
        base_fee = context.base_fee_per_gas
        price = effective_gas_price(message.max_fee_per_gas, message.max_priority_fee_per_gas, base_fee)
        tip = price - (base_fee or 0)
        code_hash = EMPTY_HASH if to is None else world.account(to).code_hash
        if code_hash == EMPTY_HASH and to is not None and to not in self._precompiles:
            cost, fee = intrinsic_gas * price, intrinsic_gas * tip
            world.pay(sender, to, message.value, cost, context.author, fee)
            return _execution(intrinsic_gas, 0, b"", None, to)
        gas_limit = message.gas_limit
        world.begin_transaction()
        try:
            nonce = world.buy_gas(sender, gas_limit * price)
            recipient = to or created_address(sender, nonce, b"", None)
            if self._schedule.access_lists:
                world.warm = {sender, recipient}
                if message.access_list:
                    self._warm_up(message.access_list)
            program = self._program(code_hash) if to else self._programs.once(message.data)
            gas, environment = gas_limit - intrinsic_gas, _environment(sender, price, polled(interrupted))
            output, left, error = self._run(
                message, sender, recipient, program, gas, environment, interrupted
            )
            used = gas_limit - left
            refund = world.refund and min(world.refund, refund_cap(used, self._schedule.fork))
            used -= refund
            world.settle(sender, (gas_limit - used) * price, context.author, used * tip)
        except BaseException:
            world.revert(START)
            raise
        return _execution(used, refund, output, error, recipient)

    def _run(
        self,
        message: Transaction | Call,
        sender: Address,
        recipient: Address,
        program: Program,
        gas: int,
        environment: TransactionEnvironment,
        interrupted: Interrupted | None,
    ) -> Ending:
        world, value, data = self._world, message.value, message.data
        creates = message.to is None
        if creates:
            if world.is_occupied(recipient):
                return Ending(b"", 0, AddressCollision.reason)
            world.begin_contract(recipient)
            data = b""
        if value or creates or not program.code:  # an account with code is not touched by nothing
            world.endow(sender, recipient, value)
        if not creates:
            contract = self._precompiles.get(recipient)
            if contract is not None:
                return self._run_precompile(contract, data, gas, environment.poll)
        frame = made_frame(
            world, self._schedule, self._block, environment, program, recipient, sender, value, data, gas,
            0, False, PURCHASED, creates,
        )  # fmt: skip
        return run(frame, interrupted)

    def _program(self, code_hash: Hash32) -> Program:
        """The program of deployed code; mostly that of the transaction before."""
        last_hash, program = self._last_program
        if code_hash != last_hash:
            program = self._programs.get(code_hash, self._world.code_of)
            self._last_program = code_hash, program
        return program

    def _run_precompile(
        self,
        contract: precompiles.Precompile,
        data: bytes,
        gas: int,
        poll: precompiles.Poll,
    ) -> Ending:
        try:
            left, output = run_precompile(contract, data, gas, poll)
        except Halt as halt:
            self._world.revert(PURCHASED)
            return Ending(b"", 0, halt.reason)
        return Ending(output, left, None)

    def _warm_up(self, declared: AccessList) -> None:
        """What is paid for before the first instruction (EIP-2930)."""
        warm = self._world.warm
        for address, keys in declared:
            warm.add(address)
            warm.update((address, int.from_bytes(key, "big")) for key in keys)

    def _touched(self, call: Call, recipient: Address, accessed: set[WarmKey]) -> AccessList:
        """The access list that would have paid for all that the call reached, in ascending order."""
        given = {*self._precompiles, call.sender, recipient}
        if self._schedule.fork >= Fork.SHANGHAI:
            given.add(self._context.author)
        slots: dict[Address, list[int]] = {}
        for key in accessed:
            if isinstance(key, tuple):
                slots.setdefault(key[0], []).append(key[1])
            elif key not in given:
                slots.setdefault(key, [])
        for address, keys in call.access_list:
            if keys or address not in given:
                slots.setdefault(address, []).extend(int.from_bytes(key, "big") for key in keys)
        return tuple(
            (address, tuple(Hash32(slot.to_bytes(32, "big")) for slot in sorted(set(slots[address]))))
            for address in sorted(slots)
        )
