"""Transactions at a steady rate, bounded in number and time, with their way into blocks measured.

Each funded account sends through one node, so that its nonces arrive in order; nodes that do not run are left
out. Nothing is retried: what a node refuses is counted with its reason.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from devnet import launcher
from devnet.client import RpcClient, RpcError, Unreachable, on_all
from devnet.errors import DevnetError
from devnet.network import RunningNetwork, Say
from devnet.wallet import Fees, Signed, Wallet, read_fees

RATE_MAX: Final = 2_000.0
SECONDS_MAX: Final = 3_600.0
TICK_S: Final = 0.1
SAY_EVERY_S: Final = 2.0
MINED_TIMEOUT_S: Final = 60.0
RECEIPTS_EVERY_S: Final = 2.0
"""Meanwhile blocks alone say what is mined."""
TRANSFER_GAS: Final = 21_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much, for how long: it ends with the first bound reached."""

    per_second: float
    seconds: float
    count: int | None = None
    """At most so many; None for as many as rate and time give."""

    @property
    def total(self) -> int:
        """Transactions that will be sent."""
        by_time = int(self.per_second * self.seconds)
        return by_time if self.count is None else min(by_time, self.count)


@dataclass(slots=True)
class Outcome:
    """What became of the transactions; times in seconds of the monotonic clock."""

    sent_at: dict[str, float] = field(default_factory=dict)
    mined_after_s: dict[str, float] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def missing(self) -> int:
        """Accepted and in no block that was seen."""
        return len(self.sent_at) - len(self.mined_after_s)

    def summary(self) -> dict[str, object]:
        """The figures, for a table or JSON."""
        delays = sorted(self.mined_after_s.values())
        return {
            "accepted": len(self.sent_at),
            "refused": sum(self.refused.values()),
            "refused_for": dict(self.refused.most_common(5)),
            "mined": len(delays),
            "missing": self.missing,
            "sending_s": round(self.seconds, 2),
            "accepted_per_s": round(len(self.sent_at) / self.seconds, 1) if self.seconds else 0.0,
            "mined_after_s_median": _quantile(delays, 0.5),
            "mined_after_s_95": _quantile(delays, 0.95),
            "mined_after_s_max": _quantile(delays, 1.0),
        }


def verify_plan(plan: Plan) -> None:
    """DevnetError for a plan out of bounds."""
    if not 0 < plan.per_second <= RATE_MAX:
        raise DevnetError(
            f"a rate of {plan.per_second}/s; more than 0 and at most {RATE_MAX:.0f} is possible"
        )
    if not 0 < plan.seconds <= SECONDS_MAX:
        raise DevnetError(f"{plan.seconds} seconds; more than 0 and at most {SECONDS_MAX:.0f} are possible")
    if plan.count is not None and plan.count < 1:
        raise DevnetError(f"a count of {plan.count}; at least 1 is needed")


def run_load(
    network: RunningNetwork, plan: Plan, say: Say, enough: Callable[[], bool] = lambda: False
) -> Outcome:
    """Send by plan, or until it is enough, then wait until all is mined or MINED_TIMEOUT_S have passed."""
    verify_plan(plan)
    run = _Run(network, plan, say)
    run.send_all(enough)
    run.wait_mined()
    return run.outcome


class _Run:
    """One load: wallets spread over nodes, and the blocks of one node watched for their transactions."""

    def __init__(self, network: RunningNetwork, plan: Plan, say: Say) -> None:
        self.outcome = Outcome()
        self._plan = plan
        self._say = say
        self._clients = [network.clients[node.name] for node in network.nodes if launcher.is_running(node)]
        if not self._clients:
            raise DevnetError("no node runs; `python -m devnet up` starts them")
        self._watched = self._clients[0]
        chain_id = network.layout.network.chain_id
        self._wallets = [Wallet(account["private_key"], chain_id) for account in network.layout.accounts]
        for wallet in self._wallets:
            wallet.read_nonce(*self._clients)
        self._fees = read_fees(self._watched)
        self._seen = int(self._watched.call("eth_blockNumber"), 16)

    def send_all(self, enough: Callable[[], bool]) -> None:
        start, sent, said = time.monotonic(), 0, 0.0
        while sent < self._plan.total and not enough():
            elapsed = time.monotonic() - start
            due = min(self._plan.total, int(elapsed * self._plan.per_second) + 1)
            self._send(range(sent, due))
            sent = due
            self._look_at_new_blocks()
            if elapsed - said >= SAY_EVERY_S:
                said = elapsed
                self._say(f"{len(self.outcome.sent_at)} accepted, {len(self.outcome.mined_after_s)} mined")
            time.sleep(TICK_S)
        self.outcome.seconds = time.monotonic() - start

    def wait_mined(self) -> None:
        deadline = time.monotonic() + MINED_TIMEOUT_S
        look = time.monotonic() + RECEIPTS_EVERY_S
        while self.outcome.missing and time.monotonic() < deadline:
            self._look_at_new_blocks()
            if time.monotonic() >= look:
                self._ask_for_receipts()
                look = time.monotonic() + RECEIPTS_EVERY_S
            time.sleep(TICK_S)

    def _client_of(self, wallet: int) -> RpcClient:
        return self._clients[wallet % len(self._clients)]

    def _send(self, numbers: range) -> None:
        batches: dict[RpcClient, list[Signed]] = {client: [] for client in self._clients}
        for number in numbers:
            place = number % len(self._wallets)
            batches[self._client_of(place)].append(self._transfer(place, self._fees))
        on_all(batches.items(), lambda item: self._post(*item))

    def _transfer(self, place: int, fees: Fees) -> Signed:
        recipient = self._wallets[(place + 1) % len(self._wallets)].address
        return self._wallets[place].fee_market(fees, TRANSFER_GAS, recipient, value=1)

    def _post(self, client: RpcClient, signed: Sequence[Signed]) -> None:
        now = time.monotonic()
        try:
            answers = client.batch([("eth_sendRawTransaction", (each.raw,)) for each in signed])
        except Unreachable:
            self.outcome.refused["the node does not answer"] += len(signed)
            return
        for each, answer in zip(signed, answers, strict=True):
            if isinstance(answer, RpcError):
                self.outcome.refused[answer.message] += 1
            else:
                self.outcome.sent_at[each.hash] = now

    def _look_at_new_blocks(self) -> None:
        try:
            head = int(self._watched.call("eth_blockNumber"), 16)
            for number in range(self._seen + 1, head + 1):
                block = self._watched.call("eth_getBlockByNumber", hex(number), False)
                self._note_mined(block["transactions"] if block else [])
                self._fees = Fees(int((block or {}).get("baseFeePerGas") or "0x0", 16), self._fees.tip)
                self._seen = number
        except Unreachable:
            return  # a node that was hurt on purpose; it is asked again

    def _ask_for_receipts(self) -> None:
        """Of what is missing: a block whose place another one took since it was looked at is not seen."""
        missing = [each for each in self.outcome.sent_at if each not in self.outcome.mined_after_s]
        try:
            receipts = self._watched.batch([("eth_getTransactionReceipt", (each,)) for each in missing])
        except Unreachable:
            return
        found = zip(missing, receipts, strict=True)
        self._note_mined([each for each, receipt in found if isinstance(receipt, dict)])

    def _note_mined(self, hashes: Sequence[str]) -> None:
        now = time.monotonic()
        for each in hashes:
            if each in self.outcome.sent_at:
                self.outcome.mined_after_s.setdefault(each, now - self.outcome.sent_at[each])


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else None
