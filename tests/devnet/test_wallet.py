import pytest

from devnet.keys import account_key
from devnet.wallet import Fees, Wallet
from node.primitives.transaction import Transaction, TransactionType, decode_transaction

KEY = account_key("test", 0)
TO = "0x" + "ab" * 20
FEES = Fees(base=100, tip=7)


@pytest.fixture
def wallet() -> Wallet:
    return Wallet("0x" + KEY.secret_bytes().hex(), chain_id=5)


def decoded(raw: str) -> Transaction:
    return decode_transaction(bytes.fromhex(raw[2:]))


def test_every_kind_is_signed_for_the_chain_with_rising_nonces(wallet: Wallet) -> None:
    slot = "0x" + "01" * 32
    signed = [
        wallet.legacy(FEES, 21_000, None, data="0x6000"),
        wallet.access_list(FEES, 50_000, TO, "0x12", [(TO, [slot])]),
        wallet.fee_market(FEES, 21_000, TO, value=3),
    ]
    found = [decoded(each.raw) for each in signed]
    assert [tx.type for tx in found] == list(TransactionType)
    assert [tx.nonce for tx in found] == [0, 1, 2]
    assert {tx.chain_id for tx in found} == {5}
    assert {tx.sender for tx in found} == {KEY.address}
    assert ["0x" + tx.hash.hex() for tx in found] == [each.hash for each in signed]
    assert found[0].to is None
    assert found[1].access_list == ((bytes.fromhex(TO[2:]), (bytes.fromhex(slot[2:]),)),)
    assert (found[2].max_fee_per_gas, found[2].max_priority_fee_per_gas, found[2].value) == (207, 7, 3)
