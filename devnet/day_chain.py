"""People who send transactions to the contract suite of a running network, several at a time."""

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final, TypeVar

from eth_account import Account
from hexbytes import HexBytes
from web3 import HTTPProvider, Web3
from web3.middleware import ExtraDataToPOAMiddleware
from web3.types import TxReceipt

from contracts.binding import Binding, Write
from contracts.registry import open_registry
from contracts.rpc_chain import RpcChain
from devnet.errors import DevnetError
from devnet.layout import Layout
from devnet.suite_genesis import REGISTRY

GAS: Final = 3_000_000
GAS_DEPLOY: Final = 6_000_000
"""Per transaction; unused gas comes back."""
RECEIPT_TIMEOUT_S: Final = 120.0
POLL_S: Final = 0.1

Kind = TypeVar("Kind", bound=Binding)


class People:
    """The accounts of a local network, by their places in `endpoints --json`."""

    def __init__(self, layout: Layout, least: int) -> None:
        """DevnetError without `least` accounts or the suite."""
        url = layout.nodes[0].rpc_url
        self.web3 = Web3(HTTPProvider(url))
        # Clique's extra data is longer than what web3 takes.
        self.web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        self._keys = [Account.from_key(each["private_key"]) for each in layout.accounts]
        if len(self._keys) < least:
            raise DevnetError(f"a day of a cloud needs {least} accounts; there are {len(self._keys)}")
        with closing(RpcChain(url)) as chain:
            registry = open_registry(layout.home / REGISTRY, chain.identity)
        if not registry.entries:
            raise DevnetError("the contract suite is not there; `python -m devnet deploy` puts it there")
        self._registry = registry
        self._bindings: dict[str, Binding] = {}
        self._price = self.web3.eth.gas_price
        self._chain_id = self.web3.eth.chain_id
        self._receipts: Sequence[TxReceipt] = ()
        self.events: Counter[str] = Counter()
        self.transactions = 0
        self.gas_used = 0

    def who(self, place: int) -> str:
        """An account's address."""
        return str(self._keys[place].address)

    def bound(self, kind: type[Kind]) -> Kind:
        """A contract of the suite."""
        found = self._bindings.setdefault(
            kind.NAME, kind(self.web3, self._registry.entries[kind.NAME].address)
        )
        assert isinstance(found, kind)
        return found

    def do(self, *deeds: tuple[int, Write]) -> None:
        """Send all of (account, call), those of one account in this order, and wait for them.

        Others may come between: only what does not depend on another account's belongs together.
        """
        sent = [self._send(place, write.target.address, write.data) for place, write in deeds]
        self._receipts = [self._received(digest) for digest in sent]
        for (place, write), receipt in zip(deeds, self._receipts, strict=True):
            if not receipt["status"]:
                raise DevnetError(f"{write.target.NAME}.{write.function.fn_name} of account {place} failed")
            for contract in self._bindings.values():
                self.events.update(f"{contract.NAME}.{name}" for name, _ in contract.events(receipt))

    def deploy(self, place: int, code: bytes) -> str:
        """A contract of an account's own; its address."""
        receipt = self._received(self._send(place, None, code))
        if not receipt["status"]:
            raise DevnetError(f"account {place} cannot create a contract")
        return str(receipt["contractAddress"])

    def last(self, contract: Binding, event: str) -> dict[str, Any]:
        """Arguments of an event of the last call of `do`."""
        (found,) = [
            arguments
            for receipt in self._receipts
            for name, arguments in contract.events(receipt)
            if name == event
        ]
        return found

    def now(self) -> int:
        """The time that contracts read: the latest block's."""
        return int(self.web3.eth.get_block("latest")["timestamp"])

    def wait_for(self, moment: int) -> None:
        """Until contracts see this time; DevnetError when blocks stop."""
        deadline = time.monotonic() + RECEIPT_TIMEOUT_S + max(0, moment - self.now())
        while self.now() < moment:
            if time.monotonic() > deadline:
                raise DevnetError(f"no block reaches the time {moment}: does the network still seal?")
            time.sleep(POLL_S)

    def _send(self, place: int, to: str | None, data: bytes) -> bytes:
        key = self._keys[place]
        fields: dict[str, Any] = {
            "nonce": self.web3.eth.get_transaction_count(key.address, "pending"), "type": 2,
            "gas": GAS if to else GAS_DEPLOY, "maxFeePerGas": 2 * self._price,
            "maxPriorityFeePerGas": self._price, "value": 0, "chainId": self._chain_id, "data": data,
        }  # fmt: skip
        signed = key.sign_transaction(fields if to is None else fields | {"to": to})
        return bytes(self.web3.eth.send_raw_transaction(signed.raw_transaction))

    def _received(self, digest: bytes) -> TxReceipt:
        receipt = self.web3.eth.wait_for_transaction_receipt(HexBytes(digest), RECEIPT_TIMEOUT_S, POLL_S)
        self.transactions += 1
        self.gas_used += receipt["gasUsed"]
        return receipt
