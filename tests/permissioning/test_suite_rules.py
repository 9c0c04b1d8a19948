"""The contract suite's rules as those of a chain: deployment, calls and value, each a right of its own."""

import pytest

from node.chain.errors import InvalidBlock
from node.execution.evm.executor import FastExecutor
from node.execution.py_evm import PyEvmExecutor
from node.permissioning.policy import Right, sending_of
from node.primitives.ids import Address, hex_of
from node.primitives.transaction import Transaction
from tests.chain.harness import ACCOUNTS, ChainMaker, make_spec, sign, take
from tests.contracts.sandbox import Sandbox
from tests.permissioning.suite_rules import SUITE_INGRESS, suite_alloc

ROLES = {Right.DEPLOY: 4, Right.CALL: 16, Right.TRANSFER: 32}
"""As Organisations numbers them."""
HOLDERS = {
    frozenset(rights): ACCOUNTS[place]
    for place, rights in enumerate(
        [
            (Right.DEPLOY,),
            (Right.CALL,),
            (Right.TRANSFER,),
            (Right.DEPLOY, Right.TRANSFER),
            (Right.CALL, Right.TRANSFER),
        ]
    )
}
"""One account for each set of rights that a transaction can take."""
SOMEWHERE = Address(b"\x77" * 20)


@pytest.mark.parametrize("sees", ["whole", "kind"])
def test_builder_and_importer_hold_each_right_apart(sees: str) -> None:
    roles = {account.address: sum(ROLES[right] for right in held) for held, account in HOLDERS.items()}
    section = {"ingress": hex_of(SUITE_INGRESS), "block": 1, "sees": sees}
    spec = make_spec(
        alloc=suite_alloc(Sandbox(), roles), gas_limit=30_000_000, phoenix={"accountPermissioning": section}
    )
    maker = ChainMaker(spec, executor=FastExecutor(PyEvmExecutor()))
    allowed: list[Transaction] = []
    for held, account in HOLDERS.items():
        wanted = (
            sign(account, nonce=0, gas=100_000, data=b"\x00"),
            sign(account, nonce=0, gas=100_000, data=b"\x00", value=1),
            sign(account, nonce=0, gas=100_000, to=SOMEWHERE, data=b"\x01\x02\x03\x04"),
            sign(account, nonce=0, gas=100_000, to=SOMEWHERE, data=b"\x01\x02\x03\x04", value=1),
            sign(account, nonce=0, gas=100_000, to=SOMEWHERE, value=1),
        )
        for tx in wanted:
            if sending_of(tx).rights <= held:
                allowed.append(tx)
                continue
            with pytest.raises(AssertionError, match="does not fit"):
                maker.unimported(maker.head, [tx])  # the builder leaves it out
            block = maker.unimported(maker.head, [tx], permitted=False)
            with pytest.raises(InvalidBlock, match="rule contract"):
                take(maker.chain, [block])
    assert len(allowed) == 9
    for tx in allowed:  # each at the nonce of the others, so each in a block of its own beside them
        maker.unimported(maker.head, [tx])
    last = {tx.sender: tx for tx in allowed}
    assert len(last) == len(HOLDERS)
    maker.extend(list(last.values()))
