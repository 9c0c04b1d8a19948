"""Official TransactionTests: which bytes are a transaction, whose, at what cost, under which fork."""

import pytest

from node.execution.executor import BlockContext
from node.execution.intrinsic import check_transaction
from node.primitives.chain_spec import Fork
from node.primitives.crypto import EMPTY_HASH
from node.primitives.errors import ChainError
from node.primitives.ids import ZERO_ADDRESS
from node.primitives.state import Account
from node.primitives.transaction import decode_transaction
from tests.execution.state_tests import FORKS
from tests.vectors import ethereum_test_files, load_json

GAS_COST_MAX = (1 << 256) - 1
"""wei: what the vectors let gas cost, whatever value is sent beside it."""
HIGH_S = ("TransactionWithSvalueHigh", "TransactionWithSvalueLargerThan_c_secp256k1n_x05")
"""Valid in Frontier only; the decoder holds to EIP-2, which our oldest networks have from block 0 on."""


def context_under(fork):
    """A block in which only the fork and the chain matter."""
    return BlockContext(
        chain_id=1,
        fork=fork,
        number=1,
        timestamp=0,
        author=ZERO_ADDRESS,
        gas_limit=1 << 63,
        base_fee_per_gas=0 if fork >= Fork.LONDON else None,
        difficulty=0,
        block_hash=lambda number: None,
    )


def verdict(encoded, fork):
    """hash, sender and intrinsic gas; None when the bytes are refused."""
    try:
        tx = decode_transaction(encoded)
        sender = Account(tx.nonce, tx.value + GAS_COST_MAX, EMPTY_HASH)
        gas = check_transaction(tx, context_under(fork), sender)
        return f"0x{tx.hash.hex()}", f"0x{tx.sender.hex()}", gas
    except ChainError:
        return None


def wanted(result):
    """The same, as the vector has it."""
    if "exception" in result:
        return None
    return result["hash"], result["sender"], int(result["intrinsicGas"], 16)


@pytest.mark.parametrize("file", ethereum_test_files("TransactionTests"))
def test_transaction(file):
    for name, test in load_json(file).items():
        encoded = bytes.fromhex(test["txbytes"].removeprefix("0x"))
        results = {fork: result for fork, result in test["result"].items() if fork in FORKS}
        if name in HIGH_S:
            del results["Frontier"]
        assert results, name
        got = {fork: verdict(encoded, FORKS[fork]) for fork in results}
        assert got == {fork: wanted(result) for fork, result in results.items()}, name
