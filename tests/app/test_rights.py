"""What changes rights on the chain is found in its blocks, whoever sent it, with what it was."""

from collections.abc import Sequence
from pathlib import Path

import trio
import trio.testing

from contracts.calls import calldata
from contracts.suite import name_id
from devnet.network import wait_until
from node.app.rights import ChainRights, record_rights
from node.audit.log import AuditLog
from node.audit.records import Facts
from node.chain.events import ExecutedBlock, HeadChanged
from node.execution.evm.executor import FastExecutor
from node.execution.py_evm import PyEvmExecutor
from node.permissioning.accounts import LISTS
from node.permissioning.contract import registered
from node.primitives.ids import hex_of
from node.primitives.transaction import Transaction
from tests.audit.logs import LARGE, records
from tests.chain.harness import ACCOUNTS, ChainMaker, make_spec, sign, take
from tests.contracts.sandbox import Sandbox
from tests.permissioning.suite_rules import ALL, SUITE_INGRESS, suite_alloc

PATIENCE_S = 60.0
CALLER, DEPLOYER = 16, 4
"""As Organisations numbers roles."""


async def extend(maker: ChainMaker, transactions: Sequence[Transaction]) -> None:
    """A block, and what its news causes."""
    block = maker.unimported(maker.head, transactions)
    take(maker.chain, [block])
    receipts = maker.reader.receipts(block.hash)
    assert receipts is not None
    maker.reader.events.publish(HeadChanged((), (ExecutedBlock(block, receipts),)))
    await trio.testing.wait_all_tasks_blocked()


def noted(folder: Path) -> list[Facts]:
    """What the log says of the chain."""
    return [each.facts for each in records(folder) if each.actor == "chain"]


async def test_a_change_of_roles_is_on_record_once_it_is_final(tmp_path: Path) -> None:
    admin, clerk = ACCOUNTS[0], ACCOUNTS[1]
    alloc = suite_alloc(Sandbox(), {admin.address: ALL})
    section = {"ingress": hex_of(SUITE_INGRESS), "block": 1, "sees": "kind"}
    spec = make_spec(alloc=alloc, gas_limit=30_000_000, phoenix={"accountPermissioning": section})
    maker = ChainMaker(spec, executor=FastExecutor(PyEvmExecutor()))
    rights, folder = ChainRights(maker.chain, None), tmp_path / "audit"
    view = maker.reader.state_at(maker.head.hash)
    lists = registered(maker.chain.caller, maker.head, view, SUITE_INGRESS, LISTS)
    calls = [
        calldata("Organisations", "setAccount", name_id("all"), clerk.address, CALLER),
        calldata("Organisations", "setAccount", name_id("all"), clerk.address, DEPLOYER),
        calldata("Organisations", "removeAccount", clerk.address),
    ]
    changing = [
        sign(admin, nonce=nonce, to=lists, data=data, gas=300_000) for nonce, data in enumerate(calls)
    ]
    with AuditLog(folder, LARGE) as log:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(record_rights, maker.chain, rights, log)
            await trio.testing.wait_all_tasks_blocked()
            await extend(maker, changing)
            assert noted(folder) == [], "a block that may go again"
            await extend(maker, [])
            await trio.to_thread.run_sync(
                wait_until, lambda: len(noted(folder)) == len(calls), PATIENCE_S, "records"
            )
            nursery.cancel_scope.cancel()
    found = noted(folder)
    assert [each["event"] for each in found] == ["AccountAdded", "AccountRolesChanged", "AccountRemoved"]
    assert [each.get("roles") for each in found] == [CALLER, DEPLOYER, None]
    assert {(each["block"], each["account"]) for each in found} == {(1, clerk.address.lower())}
    assert [each["transaction"] for each in found] == [hex_of(tx.hash) for tx in changing]


def test_a_node_without_rules_on_the_chain_looks_at_nothing() -> None:
    assert not ChainRights(ChainMaker().chain, None)
