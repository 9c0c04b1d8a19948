"""Two executors, one block: where they first disagree. Pure: looks at values, waits for nothing.

The second executor goes through the block transaction by transaction beside the receipts that import kept;
the first one runs again, so that their state changes can be compared as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from node.execution.executor import BlockContext, Executor, Interrupted, InvalidTransaction
from node.primitives.block import Block, BlockRef
from node.primitives.ids import Hash32, hex_of
from node.primitives.receipt import Receipt
from node.primitives.state import StateChanges, StateView


@dataclass(frozen=True, slots=True)
class Disagreement:
    """The first thing that two executors see differently."""

    block: BlockRef
    index: int | None
    """Of the transaction; None when only the block's state changes differ."""
    tx_hash: Hash32 | None
    field: str
    """What differs: "validity", "gas used", "log 3", "balance of 0x...", ..."""
    ours: str
    theirs: str

    def __str__(self) -> str:
        where = f"block {self.block}"
        if self.tx_hash is not None:
            where += f", transaction {self.index} ({hex_of(self.tx_hash)})"
        return f"{where}: {self.field} is {self.ours} to us and {self.theirs} to the auditing executor"


def audit_block(
    ours: Executor,
    theirs: Executor,
    context: BlockContext,
    parent: StateView,
    block: Block,
    receipts: Sequence[Receipt],
    interrupted: Interrupted | None = None,
) -> Disagreement | None:
    """Execute an imported block again, twice; None when all agree. ExecutionInterrupted on request."""
    first, second = ours.begin(context, parent), theirs.begin(context, parent)
    before = 0
    for index, (tx, kept) in enumerate(zip(block.transactions, receipts, strict=True)):
        verdicts = []
        for session in (first, second):
            try:
                verdicts.append(session.apply(tx, interrupted))
            except InvalidTransaction as error:
                return Disagreement(block.ref, index, tx.hash, "validity", "valid", f"invalid ({error})")
        for again in verdicts:
            for field, mine, other in receipt_differences(kept, again, before):
                return Disagreement(block.ref, index, tx.hash, field, mine, other)
        before = kept.cumulative_gas_used
    for field, mine, other in change_differences(first.finish().changes, second.finish().changes):
        return Disagreement(block.ref, None, None, field, mine, other)
    return None


def receipt_differences(ours: Receipt, theirs: Receipt, before: int) -> Iterator[tuple[str, str, str]]:
    """Field, our value, theirs; `before` is the block's gas before this transaction."""
    if ours == theirs:
        return
    for field, mine, other in (
        ("status", ours.outcome, theirs.outcome),
        ("gas used", ours.cumulative_gas_used - before, theirs.cumulative_gas_used - before),
        ("number of logs", len(ours.logs), len(theirs.logs)),
    ):
        if mine != other:
            yield field, str(mine), str(other)
    for number, (left, right) in enumerate(zip(ours.logs, theirs.logs, strict=False)):
        if left != right:
            yield f"log {number}", str(left), str(right)
    if ours.bloom != theirs.bloom:
        yield "bloom", hex_of(ours.bloom), hex_of(theirs.bloom)
    yield "receipt", str(ours), str(theirs)


def change_differences(ours: StateChanges, theirs: StateChanges) -> Iterator[tuple[str, str, str]]:
    """Field, our value, theirs; accounts in ascending order."""
    if ours == theirs:
        return
    for address in sorted(ours.accounts.keys() | theirs.accounts.keys()):
        mine, other = (str(c.accounts.get(address, "unchanged")) for c in (ours, theirs))
        if mine != other:
            yield f"account {hex_of(address)}", mine, other
    for address in sorted(ours.storage.keys() | theirs.storage.keys()):
        left, right = ours.storage.get(address, {}), theirs.storage.get(address, {})
        for slot in sorted(left.keys() | right.keys()):
            mine, other = (str(slots.get(slot, "unchanged")) for slots in (left, right))
            if mine != other:
                yield f"slot {slot:#x} of {hex_of(address)}", mine, other
    for field, one, two in (("wiped", ours.wiped, theirs.wiped), ("codes", ours.codes, theirs.codes)):
        if one != two:
            yield field, str(sorted(map(hex_of, one))), str(sorted(map(hex_of, two)))
