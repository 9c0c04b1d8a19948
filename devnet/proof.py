"""Real work that shows a network works: a contract, every kind of transaction, and every node's answers
compared.

Each step is sent to one node and read back from all of them; a node that answers differently is named.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

from devnet import notebook
from devnet.client import RpcClient, RpcError, on_all
from devnet.errors import NodeFailed
from devnet.network import POLL_S, RunningNetwork, Say
from devnet.wallet import Fees, Signed, Wallet, read_fees

SETTLE_TIMEOUT_S: Final = 60.0
TRANSFER_GAS: Final = 21_000
TRANSFER_WEI: Final = 10**18
CALL_GAS: Final = 200_000
"""More than any call of the notebook needs; a call that must fail cannot be estimated."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What was shown."""

    contract: str
    blocks: tuple[int, int]
    """First and last block that holds a transaction of it."""
    transactions: int
    logs: int


def prove(network: RunningNetwork, say: Say) -> Proof:
    """Do the work; NodeFailed names the first node that does not answer as it must."""
    return _Prover(network, say).run()


class _Prover:
    """One run: two accounts, all nodes in turn."""

    def __init__(self, network: RunningNetwork, say: Say) -> None:
        accounts = network.layout.accounts
        chain_id = network.layout.network.chain_id
        self._clients = network.clients
        self._turn = cycle(network.clients.items())
        self._author = Wallet(accounts[0]["private_key"], chain_id)
        self._payer = Wallet(accounts[-1]["private_key"], chain_id)
        self._say = say
        self._receipts: list[dict[str, Any]] = []

    def run(self) -> Proof:
        fees = self._prepare()
        contract = self._deploy(fees)
        self._write_and_pay(contract, fees)
        self._refuse_a_taken_page(contract, fees)
        logs = self._read_back(contract)
        numbers = [int(receipt["blockNumber"], 16) for receipt in self._receipts]
        return Proof(contract, (min(numbers), max(numbers)), len(self._receipts), logs)

    def _prepare(self) -> Fees:
        client = next(iter(self._clients.values()))
        self._author.read_nonce(client)
        self._payer.read_nonce(client)
        return read_fees(client)

    def _deploy(self, fees: Fees) -> str:
        code = notebook.creation_code()
        name, client = next(self._turn)
        gas = int(client.call("eth_estimateGas", {"from": self._author.address, "data": code}), 16)
        signed = self._author.legacy(fees, gas, None, data=code)
        _send(name, client, signed)
        (receipt,) = self._settle([signed], ["0x1"])
        contract = str(receipt["contractAddress"])
        self._same("eth_getCode", [contract, "latest"], notebook.runtime_code())
        self._say(f"contract {contract} deployed through {name} in block {int(receipt['blockNumber'], 16)}")
        return contract

    def _write_and_pay(self, contract: str, fees: Fees) -> None:
        """The three kinds of transaction, through three nodes, none waiting for another."""
        before = self._balance_of_sink()
        touched = [(contract, [notebook.PAGES_WRITTEN_SLOT])]
        first, second = notebook.write_call(1, "first page"), notebook.write_call(2, "second page")
        signed = [
            self._author.access_list(fees, CALL_GAS, contract, first, touched),
            self._author.fee_market(fees, CALL_GAS, contract, data=second),
            self._payer.legacy(fees, TRANSFER_GAS, _SINK, TRANSFER_WEI),
            self._payer.fee_market(fees, TRANSFER_GAS, _SINK, TRANSFER_WEI),
        ]
        through = []
        for transaction in signed:
            name, client = next(self._turn)
            _send(name, client, transaction)
            through.append(name)
        receipts = self._settle(signed, ["0x1"] * len(signed))
        for receipt, kind in zip(receipts, ("0x1", "0x2", "0x0", "0x2"), strict=True):
            _expect("every node", "type of a receipt", receipt["type"], kind)
        self._same("eth_getBalance", [_SINK, "latest"], hex(before + 2 * TRANSFER_WEI))
        self._say(f"access-list, fee-market and plain transactions through {', '.join(through)}")

    def _refuse_a_taken_page(self, contract: str, fees: Fees) -> None:
        """A call that reverts gives its reason; a transaction that reverts is in a block and failed."""
        data = notebook.write_call(1, "again")
        call = {"from": self._payer.address, "to": contract, "data": data}
        wanted = notebook.page_taken(1, self._author.address)
        for name, client in self._clients.items():
            try:
                client.call("eth_call", call, "latest")
            except RpcError as error:
                _expect(name, "revert data of eth_call", error.data, wanted)
            else:
                raise NodeFailed(name, "eth_call of a page that is taken did not revert")
        signed = self._payer.fee_market(fees, CALL_GAS, contract, data=data)
        name, client = next(self._turn)
        _send(name, client, signed)
        self._settle([signed], ["0x0"])
        self._say(
            f"a taken page is refused with its custom error by every node; the failed receipt came by {name}"
        )

    def _read_back(self, contract: str) -> int:
        """State, logs and receipts, from every node."""
        author = self._author.address.lower()
        self._same("eth_getStorageAt", [contract, notebook.PAGES_WRITTEN_SLOT, "latest"], "0x" + f"{2:064x}")
        pages = {"to": contract, "data": notebook.pages_written_call()}
        self._same("eth_call", [pages, "latest"], "0x" + f"{2:064x}")
        page = {"to": contract, "data": notebook.read_call(1)}
        self._same("eth_call", [page, "latest"], (author, "first page"), notebook.decode_page)
        query = {
            "address": contract,
            "fromBlock": "0x0",
            "toBlock": "latest",
            "topics": [notebook.PAGE_WRITTEN],
        }
        written = [(author, 1, "first page"), (author, 2, "second page")]
        self._same("eth_getLogs", [query], written, lambda logs: [notebook.decode_event(log) for log in logs])
        for receipt in self._receipts:
            self._same("eth_getTransactionReceipt", [receipt["transactionHash"]], receipt)
        self._say(f"state, {len(written)} logs and {len(self._receipts)} receipts read back from every node")
        return len(written)

    def _settle(self, transactions: Sequence[Signed], statuses: Sequence[str]) -> list[dict[str, Any]]:
        """Receipts of the transactions once all nodes give the same ones; short forks are waited out."""
        receipts = []
        for transaction, status in zip(transactions, statuses, strict=True):
            receipt = self._agreed("eth_getTransactionReceipt", [transaction.hash])
            _expect("every node", f"status of {transaction.hash}", receipt["status"], status)
            receipts.append(receipt)
        self._receipts += receipts
        return receipts

    def _agreed(self, method: str, params: list[Any]) -> Any:
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            answers = self._ask_all(method, params)
            values = list(answers.values())
            if values[0] is not None and all(value == values[0] for value in values):
                return values[0]
            if time.monotonic() > deadline:
                raise _disagreement(method, answers)
            time.sleep(POLL_S)

    def _same(
        self,
        method: str,
        params: list[Any],
        wanted: Any,
        decode: Callable[[Any], Any] = lambda answer: answer,
    ) -> None:
        """Every node gives the wanted answer, at once or when its head has caught up."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            answers = {name: decode(answer) for name, answer in self._ask_all(method, params).items()}
            wrong = [name for name, answer in answers.items() if answer != wanted]
            if not wrong:
                return
            if time.monotonic() > deadline:
                _expect(wrong[0], method, answers[wrong[0]], wanted)
            time.sleep(POLL_S)

    def _ask_all(self, method: str, params: list[Any]) -> dict[str, Any]:
        answers = on_all(self._clients.values(), lambda client: client.call(method, *params))
        return dict(zip(self._clients, answers, strict=True))

    def _balance_of_sink(self) -> int:
        return int(self._agreed("eth_getBalance", [_SINK, "latest"]), 16)


_SINK: Final = "0x00000000000000000000000000000000DeaDBeef"
"""Nobody's account."""


def _send(name: str, client: RpcClient, signed: Signed) -> None:
    try:
        answer = client.call("eth_sendRawTransaction", signed.raw)
    except RpcError as error:
        raise NodeFailed(name, f"refused a transaction: {error}") from error
    _expect(name, "hash of a transaction", answer, signed.hash)


def _expect(node: str, what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise NodeFailed(node, f"{what} is {_short(found)} where {_short(wanted)} is right")


def _disagreement(method: str, answers: dict[str, Any]) -> NodeFailed:
    missing = [name for name, answer in answers.items() if answer is None]
    if missing:
        return NodeFailed(missing[0], f"{method}: no answer within {SETTLE_TIMEOUT_S:.0f} s")
    first, *others = answers
    odd = next(name for name in others if answers[name] != answers[first])
    return NodeFailed(odd, f"{method}: {_short(answers[odd])}, while {first} says {_short(answers[first])}")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 300 else text[:300] + "…"
