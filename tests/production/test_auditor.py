"""Two executors in one validator: agreement is silent, a disagreement is named and ends the sealing."""

from dataclasses import dataclass, replace
from random import Random

import pytest
import trio
import trio.lowlevel
import trio.testing

from node.execution.audit import Disagreement
from node.execution.evm.executor import FastExecutor
from node.execution.executor import BlockOutcome
from node.execution.py_evm import PyEvmExecutor
from node.primitives.ids import Address, Hash32
from node.primitives.state import Account
from node.production.auditor import AuditedSigner, Auditor
from node.signing.signer import SigningError, SigningRequest
from tests.chain.harness import ACCOUNTS, ChainMaker, transfer

REFERENCE = PyEvmExecutor()


@dataclass
class Liar:
    """An executor that gets the second transaction of a block wrong, or an account at its end."""

    receipt: object = lambda receipt: receipt
    outcome: object = lambda outcome: outcome
    name: str = "liar"

    def begin(self, context, parent):
        return LyingSession(REFERENCE.begin(context, parent), self)


class LyingSession:
    def __init__(self, inner, liar):
        self.inner, self.liar, self.count = inner, liar, 0

    def apply(self, tx, interrupted=None):
        self.count += 1
        receipt = self.inner.apply(tx, interrupted)
        return self.liar.receipt(receipt) if self.count == 2 else receipt

    def finish(self) -> BlockOutcome:
        return self.liar.outcome(self.inner.finish())


class Key:
    address = Address(b"\x01" * 20)

    async def sign(self, request):
        return b"signature"


REQUEST = SigningRequest(kind="clique-header", chain_id=1, height=1, digest=Hash32(bytes(32)))


async def audited(theirs, share: float = 1.0, blocks: int = 1):
    """An auditor after a chain has grown by blocks of three transfers."""
    maker = ChainMaker(executor=FastExecutor(REFERENCE))
    reader, importer = maker.chain.reader, maker.chain.importer
    auditor = Auditor(reader, FastExecutor(REFERENCE), theirs, share, Random(4))
    async with trio.open_nursery() as nursery:
        await nursery.start(auditor.run)
        for number in range(blocks):
            transactions = [transfer(account, number) for account in ACCOUNTS[:3]]
            await importer.import_block(maker.unimported(reader.head, transactions))
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(60):
                while auditor.disagreement is None and sum(_counts(auditor)) <= number:
                    await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    return auditor, reader.head


def _counts(auditor):
    return auditor.statistics.audited, auditor.statistics.skipped


async def test_executors_that_agree_are_not_heard_of():
    auditor, _ = await audited(REFERENCE, blocks=3)
    assert auditor.disagreement is None
    assert _counts(auditor) == (3, 0)
    assert await AuditedSigner(Key(), auditor).sign(REQUEST) == b"signature"


async def test_a_share_of_the_blocks_is_drawn():
    auditor, _ = await audited(REFERENCE, share=0.5, blocks=8)
    assert sum(_counts(auditor)) == 8
    assert 0 < auditor.statistics.audited < 8


async def test_another_receipt_is_named_and_nothing_is_signed_any_more(caplog):
    liar = Liar(receipt=lambda receipt: replace(receipt, cumulative_gas_used=receipt.cumulative_gas_used + 5))
    auditor, head = await audited(liar)
    found = auditor.disagreement
    assert isinstance(found, Disagreement)
    assert (found.block, found.index, found.field) == (head.ref, 1, "gas used")
    assert (found.ours, found.theirs) == ("21000", "21005")
    assert "executors disagree" in caplog.text
    with pytest.raises(SigningError, match=r"transaction 1 .* gas used is 21000 to us and 21005"):
        await AuditedSigner(Key(), auditor).sign(REQUEST)


async def test_another_state_is_named():
    victim = Address(b"\x77" * 20)

    def outcome(outcome):
        accounts = {**outcome.changes.accounts, victim: Account(1, 2, Hash32(bytes(32)))}
        return replace(outcome, changes=replace(outcome.changes, accounts=accounts))

    auditor, head = await audited(Liar(outcome=outcome))
    found = auditor.disagreement
    assert found is not None
    assert (found.block, found.index, found.field) == (head.ref, None, f"account 0x{victim.hex()}")
    assert found.ours == "unchanged"


async def test_a_node_that_is_stopped_does_not_wait_for_an_audit():
    class Endless(Liar):
        def begin(self, context, parent):
            return EndlessSession()

    class EndlessSession:
        def apply(self, tx, interrupted=None):
            while True:
                interrupted()

    maker = ChainMaker(executor=FastExecutor(REFERENCE))
    reader = maker.chain.reader
    auditor = Auditor(reader, FastExecutor(REFERENCE), Endless(), 1.0)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(auditor.run)
            block = maker.unimported(reader.head, [transfer(ACCOUNTS[0], 0)])
            await maker.chain.importer.import_block(block)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert _counts(auditor) == (0, 0)
