"""py-evm's own chain, with its own state, tries and Clique rules, takes our blocks to the last byte."""

from pathlib import Path

from eth_utils import to_canonical_address

from node.execution.py_evm_transaction import created_address
from node.primitives.block import encode_block
from node.primitives.ids import Address
from tests.chain.harness import ACCOUNTS, GWEI, ChainMaker, sign, transfer
from tests.execution.builders import assemble, deploying
from tests.execution.stock import stock_block, stock_chain

TOKEN_HEX = Path(__file__).parents[1] / "bench" / "data" / "Token.hex"
STORES = assemble("0 CALLDATALOAD DUP1 SLOAD 1 ADD SWAP1 SSTORE")
"""Adds one to the slot that is named in the call data."""


def test_our_blocks_are_blocks_to_another_chain():
    maker = ChainMaker()
    chain = stock_chain(maker.spec)
    one, two = ACCOUNTS[:2]
    address = Address(to_canonical_address(one.address))
    token = created_address(address, 1)
    creation = bytes.fromhex(TOKEN_HEX.read_text()) + (10**24).to_bytes(32, "big")
    pay = bytes.fromhex("a9059cbb") + b"\x11".rjust(32, b"\0") + (5).to_bytes(32, "big")
    slot = (7).to_bytes(32, "big")
    blocks = [
        maker.extend([transfer(one, 0), transfer(two, 0, value=0)]),
        maker.extend([sign(one, nonce=1, data=creation, gas=2_000_000)]),
        maker.extend(
            [
                sign(one, nonce=2, to=token, data=pay, gas=100_000),
                sign(two, nonce=1, to=token, data=pay, gas=100_000),
                sign(two, nonce=2, data=deploying(STORES), gas=200_000, gasPrice=50 * GWEI),
                sign(one, nonce=3, to=token, data=pay, gas=30_000),
            ]
        ),
        maker.extend(
            [
                sign(
                    two,
                    nonce=3,
                    to=created_address(Address(to_canonical_address(two.address)), 2),
                    data=slot,
                    gas=100_000,
                    accessList=[{"address": "0x" + token.hex(), "storageKeys": ["0x" + slot.hex()]}],
                )
            ]
        ),
        maker.extend([]),
    ]
    for block in blocks:
        chain.import_block(stock_block(chain, encode_block(block)))
        assert chain.get_canonical_head().hash == block.hash
    statuses = [receipt.outcome for block in blocks for receipt in maker.reader.receipts(block.hash)]
    assert statuses == [1, 1, 1, 1, 0, 1, 0, 1]
