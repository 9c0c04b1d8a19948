"""Passing our clients' transactions on to validators by JSON-RPC, beside the gossip among peers.

The pool's journal has a transaction on the disk before its client is told that it was taken, and the pool
drops it only when it stands in a block: what is passed on here is simply what is still there. An upstream's
word is no promise, so a transaction that does not turn up in a block is sent again, to the next upstream that
is well; sending twice does no harm. A sender's transactions go in the order of their nonces, and an upstream
that is given one is given those before it, too.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import trio

from node.primitives.ids import Address, Hash32, hex_of
from node.primitives.transaction import Transaction

BATCH_TRANSACTIONS: Final = 100
PAUSES_S: Final = (1.0, 2.0, 5.0, 15.0, 30.0)
"""After the first, second, ... failure in a row an upstream is left alone for this long."""
KNOWN_WORDS: Final = ("already known", "known transaction", "already imported", "nonce too low")
"""What upstreams say of a transaction that they, or the chain, have already."""

log = logging.getLogger(__name__)

Post = Callable[[str, bytes], Awaitable[bytes]]
"""(url, JSON-RPC request) -> answer; OSError or ValueError when there is none."""


class Outbox(Protocol):
    """Transactions of our own clients that are in no block yet; the pool is one."""

    def local_transactions(self) -> list[Transaction]:
        """All of them."""
        ...

    def subscribe(self) -> trio.MemoryReceiveChannel[tuple[Transaction, ...]]:
        """Tells of new ones."""
        ...


@dataclass(slots=True)
class _Sent:
    """What was done about a transaction."""

    at_s: float
    upstream: int
    """Place in the list."""


@dataclass(slots=True)
class Upstream:
    """One validator's JSON-RPC."""

    url: str
    failures: int = 0
    """In a row."""
    well_from_s: float = 0.0
    accepted: int = 0


@dataclass(slots=True)
class ForwardingPlan:
    """Pure: what is to be sent now, and where."""

    upstreams: list[Upstream]
    resend_s: float
    _sent: dict[Hash32, _Sent] = field(default_factory=dict)

    def due(self, waiting: Iterable[Transaction], now_s: float) -> list[Transaction]:
        """What must be sent; forgets what waits no more."""
        waiting = list(waiting)
        self._sent = {tx.hash: self._sent[tx.hash] for tx in waiting if tx.hash in self._sent}
        return [tx for tx in waiting if self._is_due(tx, now_s)]

    def batch(
        self, waiting: Iterable[Transaction], due: Sequence[Transaction], upstream: int
    ) -> list[Transaction]:
        """What to send there: what is due, and the same senders' earlier ones that it was not given."""
        last: dict[Address, int] = {}
        for tx in due:
            last[tx.sender] = max(last.get(tx.sender, 0), tx.nonce)
        hashes = {tx.hash for tx in due}
        found = [
            tx
            for tx in waiting
            if tx.hash in hashes or (tx.nonce < last.get(tx.sender, 0) and not self._was_given(tx, upstream))
        ]
        return sorted(found, key=lambda tx: (tx.sender, tx.nonce))[:BATCH_TRANSACTIONS]

    def choose(self, transactions: Sequence[Transaction], now_s: float) -> int | None:
        """The upstream for them: the first that is well, but behind the one that had them before."""
        before = max(
            (self._sent[tx.hash].upstream for tx in transactions if tx.hash in self._sent), default=-1
        )
        count = len(self.upstreams)
        for step in range(count):
            place = (before + 1 + step) % count
            if self.upstreams[place].well_from_s <= now_s:
                return place
        return None

    def wait_s(self, now_s: float, *, is_due: bool) -> float:
        """How long nothing has to be done, unless something new comes."""
        if is_due:
            return max(0.05, min(each.well_from_s for each in self.upstreams) - now_s)
        nexts = [sent.at_s + self.resend_s for sent in self._sent.values()]
        return max(0.05, min(nexts, default=now_s + self.resend_s) - now_s)

    def sent(self, transactions: Iterable[Transaction], upstream: int, now_s: float) -> None:
        """An upstream has taken them, or has said why not: either way it is not asked again soon."""
        for tx in transactions:
            self._sent[tx.hash] = _Sent(now_s, upstream)

    def succeeded(self, upstream: int, accepted: int) -> None:
        """It has answered."""
        self.upstreams[upstream].failures = 0
        self.upstreams[upstream].well_from_s = 0.0
        self.upstreams[upstream].accepted += accepted

    def failed(self, upstream: int, now_s: float) -> None:
        """It has not answered."""
        state = self.upstreams[upstream]
        state.well_from_s = now_s + PAUSES_S[min(state.failures, len(PAUSES_S) - 1)]
        state.failures += 1

    def _was_given(self, tx: Transaction, upstream: int) -> bool:
        sent = self._sent.get(tx.hash)
        return sent is not None and sent.upstream == upstream

    def _is_due(self, tx: Transaction, now_s: float) -> bool:
        sent = self._sent.get(tx.hash)
        return sent is None or now_s - sent.at_s >= self.resend_s


class Forwarder:
    """Carries the plan out."""

    def __init__(self, outbox: Outbox, urls: Sequence[str], resend_s: float, post: Post) -> None:
        self.plan = ForwardingPlan([Upstream(url) for url in urls], resend_s)
        self._outbox = outbox
        self._post = post

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Pass on what our clients send, until cancelled."""
        task_status.started()
        while True:
            # Who is cut off has missed news, not transactions: they are all in the outbox.
            with self._outbox.subscribe() as news:
                due = await self._send_due()
                with trio.move_on_after(self.plan.wait_s(trio.current_time(), is_due=due)):
                    await news.receive()

    async def _send_due(self) -> bool:
        """Whether something remains that could not be sent to anybody."""
        while True:
            now_s = trio.current_time()
            waiting = self._outbox.local_transactions()
            due = self.plan.due(waiting, now_s)
            if not due:
                return False
            place = self.plan.choose(due, now_s)
            if place is None:
                return True
            await self._send(self.plan.batch(waiting, due, place), place)

    async def _send(self, transactions: Sequence[Transaction], place: int) -> None:
        upstream = self.plan.upstreams[place]
        try:
            answers = read_answers(
                await self._post(upstream.url, request_of(transactions)), len(transactions)
            )
        except (OSError, ValueError) as error:
            self.plan.failed(place, trio.current_time())
            log.warning(
                "transactions not passed on; the next upstream is tried",
                extra={"upstream": upstream.url, "count": len(transactions), "reason": str(error)},
            )
            return
        refusals = [reason for reason in answers if reason is not None and not _is_known(reason)]
        if refusals:
            log.warning(
                "an upstream refused transactions that we have taken; they are sent again later",
                extra={"upstream": upstream.url, "count": len(refusals), "reason": refusals[0][:200]},
            )
        self.plan.sent(transactions, place, trio.current_time())
        self.plan.succeeded(place, len(transactions) - len(refusals))


def request_of(transactions: Sequence[Transaction]) -> bytes:
    """A batch of eth_sendRawTransaction, in order."""
    return json.dumps(
        [
            {
                "jsonrpc": "2.0",
                "id": place,
                "method": "eth_sendRawTransaction",
                "params": [hex_of(tx.encoded)],
            }
            for place, tx in enumerate(transactions)
        ]
    ).encode()


def read_answers(body: bytes, count: int) -> list[str | None]:
    """Per transaction why it was refused, None if it was taken. ValueError for what is no answer."""
    answers: Any = json.loads(body)
    if not isinstance(answers, list):
        raise ValueError(f"no answer to a batch: {body[:200].decode('utf-8', 'replace')}")
    reasons: list[str | None] = ["not answered"] * count
    for each in answers:
        place = each.get("id") if isinstance(each, dict) else None
        if type(place) is not int or not 0 <= place < count:
            raise ValueError("an answer to something that was not asked")
        error = each.get("error")
        reasons[place] = None if error is None else str(error.get("message", "refused"))
    return reasons


def _is_known(reason: str) -> bool:
    return any(words in reason.lower() for words in KNOWN_WORDS)
