"""A funded account that signs: with eth-account, which nobody here wrote."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_account import Account
from eth_account.signers.local import LocalAccount

from devnet.client import RpcClient

GWEI: Final = 10**9


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction ready for eth_sendRawTransaction."""

    raw: str
    hash: str


@dataclass(frozen=True, slots=True)
class Fees:
    """wei per gas."""

    base: int
    tip: int

    @property
    def cap(self) -> int:
        """Enough for a base fee that doubles, which takes six full blocks."""
        return 2 * self.base + self.tip


class Wallet:
    """One account on one chain, with its next nonce."""

    def __init__(self, private_key: str, chain_id: int) -> None:
        self._account: LocalAccount = Account.from_key(private_key)
        self._chain_id = chain_id
        self.address: str = self._account.address
        self.nonce = 0

    def read_nonce(self, *clients: RpcClient) -> None:
        """Take the next nonce, counting what waits in pools; of several nodes, some may lag behind."""
        answers = [client.call("eth_getTransactionCount", self.address, "pending") for client in clients]
        self.nonce = max(int(answer, 16) for answer in answers)

    def legacy(self, fees: Fees, gas: int, to: str | None, value: int = 0, data: str = "0x") -> Signed:
        """A transaction with one gas price (EIP-155)."""
        return self._sign({"gasPrice": fees.cap, "gas": gas, "value": value, "data": data}, to)

    def access_list(
        self, fees: Fees, gas: int, to: str, data: str, touched: Sequence[tuple[str, Sequence[str]]]
    ) -> Signed:
        """A transaction that declares what it touches (type 1)."""
        entries = [{"address": address, "storageKeys": list(keys)} for address, keys in touched]
        fields = {
            "type": 1,
            "gasPrice": fees.cap,
            "gas": gas,
            "value": 0,
            "data": data,
            "accessList": entries,
        }
        return self._sign(fields, to)

    def fee_market(self, fees: Fees, gas: int, to: str, value: int = 0, data: str = "0x") -> Signed:
        """A transaction with a cap and a tip (type 2)."""
        fields = {"type": 2, "maxFeePerGas": fees.cap, "maxPriorityFeePerGas": fees.tip}
        return self._sign(fields | {"gas": gas, "value": value, "data": data}, to)

    def _sign(self, fields: dict[str, Any], to: str | None) -> Signed:
        # As bytes: eth-account takes an address in text only with its checksum, and nodes answer without one.
        recipient = {} if to is None else {"to": bytes.fromhex(to[2:])}
        transaction = fields | recipient | {"chainId": self._chain_id, "nonce": self.nonce}
        signed = self._account.sign_transaction(transaction)
        self.nonce += 1
        return Signed("0x" + bytes(signed.raw_transaction).hex(), "0x" + bytes(signed.hash).hex())


def read_fees(client: RpcClient) -> Fees:
    """What a transaction should offer now."""
    block = client.call("eth_getBlockByNumber", "latest", False)
    tip = int(client.call("eth_maxPriorityFeePerGas"), 16)
    return Fees(int(block.get("baseFeePerGas") or "0x0", 16), max(tip, GWEI))
