"""A chain over JSON-RPC, and an account that signs here: what contracts.deploy needs."""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from eth_account import Account
from eth_account.signers.local import LocalAccount

from contracts.deploy import DeployFailed

TIMEOUT_S: Final = 30.0
SETTLE_TIMEOUT_S: Final = 180.0
"""For the transactions of one stage to be in blocks."""
POLL_S: Final = 0.25
GWEI: Final = 10**9
GAS_MARGIN: Final = 1.2
"""On top of an estimate: an earlier transaction of the same stage may make a later one dearer."""
LATEST: Final = "latest"
NEXT: Final = "pending"
"""The state of the latest block at the time of the one to come."""
NOBODY: Final = "0x" + "00" * 20
GAS_UNESTIMATED: Final = 1_000_000
"""For a transaction that cannot succeed before an earlier one of the same stage."""

Found = TypeVar("Found")


class RpcChain:
    """Implements contracts.deploy.Chain."""

    def __init__(self, url: str, private_key: str | None = None) -> None:
        """Without a key: who only looks."""
        address = urlsplit(url)
        if address.hostname is None or address.scheme != "http":
            raise DeployFailed(f"{url} is no http:// URL")
        self._url = url
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=TIMEOUT_S)
        self._account: LocalAccount | None = None if private_key is None else Account.from_key(private_key)
        self._chain_id = int(self._ask("eth_chainId"), 16)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    @property
    def sender(self) -> str:
        """The deployer."""
        return str(self._account.address) if self._account else NOBODY

    @property
    def identity(self) -> str:
        """Chain id and genesis hash, by which a registry knows the chain."""
        return f"{self._chain_id}:{self._ask('eth_getBlockByNumber', '0x0', False)['hash']}"

    def next_nonce(self) -> int:
        """The deployer's next nonce, once everything it has sent is in a block."""

        def settled() -> int | None:
            latest = self._ask("eth_getTransactionCount", self.sender, "latest")
            return int(latest, 16) if latest == self._pending() else None

        return self._wait(settled, "earlier transactions of the deployer")

    def code(self, address: str) -> bytes:
        """Runtime code; b"" where there is none."""
        return bytes.fromhex(self._ask("eth_getCode", address, "latest")[2:])

    def slot(self, address: str, number: int) -> int:
        """A storage slot."""
        return int(self._ask("eth_getStorageAt", address, hex(number), "latest"), 16)

    def call(self, to: str | None, data: bytes, block: str = LATEST) -> bytes | None:
        """eth_call by the deployer; None when it reverts or cannot run."""
        reply = self._exchange("eth_call", self._message(to, data), block)
        return bytes.fromhex(reply["result"][2:]) if "result" in reply else None

    def refusal(self, to: str, data: bytes) -> bytes | None:
        """What a call would be refused with in the next block; None when it would go through."""
        reply = self._exchange("eth_call", self._message(to, data), NEXT)
        said = reply.get("error", {}).get("data")
        return None if "result" in reply else bytes.fromhex(str(said)[2:]) if said else b""

    def logs(self, address: str, topics: Sequence[str]) -> list[dict[str, Any]]:
        """A contract's events since the beginning, by their first topics."""
        asked = {"address": address, "topics": list(topics), "fromBlock": "0x0", "toBlock": "latest"}
        found: list[dict[str, Any]] = self._ask("eth_getLogs", asked)
        return found

    def send(self, transactions: Sequence[tuple[str | None, bytes]]) -> None:
        """Send them in order and wait until all have succeeded; DeployFailed when one does not."""
        self.receipts(transactions)

    def receipts(self, transactions: Sequence[tuple[str | None, bytes]]) -> list[dict[str, Any]]:
        """The same, and what became of each."""
        if self._account is None:
            raise DeployFailed("a key is needed to send transactions")
        nonce = int(self._pending(), 16)
        head = self._ask("eth_getBlockByNumber", "latest", False)
        tip = max(int(self._ask("eth_maxPriorityFeePerGas"), 16), GWEI)
        fees = {
            "type": 2,
            "maxPriorityFeePerGas": tip,
            "maxFeePerGas": 2 * int(head.get("baseFeePerGas", "0x0"), 16) + tip,
            "chainId": self._chain_id,
        }
        hashes = []
        for place, (to, data) in enumerate(transactions):
            gas = self._gas(to, data, int(head["gasLimit"], 16))
            fields: dict[str, Any] = {**fees, "nonce": nonce + place, "gas": gas, "value": 0, "data": data}
            if to is not None:
                fields["to"] = bytes.fromhex(to[2:])
            signed = self._account.sign_transaction(fields)
            hashes.append(self._ask("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex()))
        found = []
        for digest in hashes:
            receipt = self._wait(partial(self._ask, "eth_getTransactionReceipt", digest), digest)
            if receipt["status"] != "0x1":
                raise DeployFailed(f"transaction {digest} failed in block {int(receipt['blockNumber'], 16)}")
            found.append(receipt)
        return found

    def _gas(self, to: str | None, data: bytes, most: int) -> int:
        reply = self._exchange("eth_estimateGas", self._message(to, data))
        if "result" not in reply:
            return GAS_UNESTIMATED
        return min(int(int(reply["result"], 16) * GAS_MARGIN), most)

    def _message(self, to: str | None, data: bytes) -> dict[str, str]:
        message = {"from": self.sender, "data": "0x" + data.hex()}
        return message if to is None else message | {"to": to}

    def _pending(self) -> str:
        return str(self._ask("eth_getTransactionCount", self.sender, "pending"))

    def _wait(self, look: Callable[[], Found | None], what: str) -> Found:
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while time.monotonic() < deadline:
            found = look()
            if found is not None:
                return found
            time.sleep(POLL_S)
        raise DeployFailed(f"{self._url}: {what} not in a block after {SETTLE_TIMEOUT_S:.0f} s")

    def _ask(self, method: str, *params: Any) -> Any:
        reply = self._exchange(method, *params)
        if "result" not in reply:
            raise DeployFailed(f"{self._url} {method}: {reply.get('error', {}).get('message')}")
        return reply["result"]

    def _exchange(self, method: str, *params: Any) -> dict[str, Any]:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        try:
            self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
            reply: dict[str, Any] = json.loads(self._connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            raise DeployFailed(f"{self._url}: {error or type(error).__name__}") from error
        return reply
