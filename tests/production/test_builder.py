"""Filling a block: what is taken, in which order, and when it stops."""

from collections.abc import Sequence
from typing import Any

import pytest

from consensus.clique.extra_data import unsealed
from consensus.effects import BuildBlock
from consensus.headers import verify_header
from node.chain.execution import BuiltBlock
from node.chain.validation import verify_body
from node.config.settings import ProductionSettings
from node.execution.executor import BlockContext, BlockSession, ExecutionInterrupted, Interrupted
from node.execution.py_evm import PyEvmExecutor
from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH, Address
from node.primitives.receipt import Receipt
from node.primitives.state import StateView
from node.primitives.transaction import Transaction
from node.production import builder as builder_module
from node.production.builder import BlockBuilder, BlockInProgress
from tests.chain.harness import (
    ACCOUNTS,
    ETHER,
    GWEI,
    KEYS,
    ChainMaker,
    Offer,
    make_spec,
    seal,
    sign,
    take,
    transfer,
)

A, B, C = ACCOUNTS[:3]


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class TimedExecutor(PyEvmExecutor):
    """py-evm in which each transaction takes as many seconds as its value says in wei."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def begin(self, context: BlockContext, parent: StateView) -> BlockSession:
        return _TimedSession(super().begin(context, parent), self._clock)


class _TimedSession:
    def __init__(self, inner: BlockSession, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock

    @property
    def gas_used(self) -> int:
        return self._inner.gas_used

    def apply(self, tx: Transaction, interrupted: Interrupted | None = None) -> Receipt:
        for _ in range(tx.value):
            self._clock.now += 1.0
            if interrupted is not None and interrupted():
                raise ExecutionInterrupted
        return self._inner.apply(tx)

    def finish(self) -> Any:
        return self._inner.finish()


class Workshop:
    """A chain at genesis and a builder on it."""

    def __init__(self, maker: ChainMaker | None = None, **settings: Any) -> None:
        self.clock = Clock()
        self.maker = maker or ChainMaker(executor=TimedExecutor(self.clock))
        options = ProductionSettings(**{"build_budget_s": 10.0, **settings})
        self.builder = BlockBuilder(
            self.maker.reader,
            self.maker.chain.state,
            self.maker.executor,
            options,
            monotonic=self.clock,
        )

    def begin(self, **changes: Any) -> BlockInProgress:
        parent = self.maker.head
        fields: dict[str, Any] = {
            "parent": parent,
            "timestamp": parent.timestamp + 2,
            "author": KEYS[0].address,
            "beneficiary": ZERO_ADDRESS,
            "nonce": bytes(8),
            "difficulty": 2,
            "extra_data": unsealed(b"test"),
            "mix_hash": ZERO_HASH,
            "allow_empty": True,
        }
        return self.builder.begin(BuildBlock(**(fields | changes)))

    def build(self, *offers: Sequence[Transaction]) -> BuiltBlock:
        progress = self.begin()
        for offer in offers:
            progress.fill(Offer(offer), never)
        return progress.finish()


def never() -> bool:
    return False


def taken(built: BuiltBlock) -> list[Transaction]:
    return list(built.block.transactions)


def quick(account: Any, nonce: int, **fields: Any) -> Transaction:
    """A transfer that takes no time."""
    return sign(account, **{"nonce": nonce, "value": 0, "to": Address(b"\x99" * 20), **fields})


def test_a_built_block_is_valid_but_for_its_seal() -> None:
    shop = Workshop()
    built = shop.build([quick(A, 0), quick(B, 0), quick(A, 1)])
    header = built.block.header
    verify_header(shop.maker.spec, shop.maker.head, header)
    verify_body(header, built.block.body)
    assert [tx.nonce for tx in taken(built)] == [0, 0, 1]
    take(shop.maker.chain, [seal(built.block, KEYS[0])])
    assert shop.maker.head.gas_used == 63_000


def test_fees_go_to_the_author() -> None:
    shop = Workshop()
    built = shop.build([quick(A, 0, maxPriorityFeePerGas=7 * GWEI)])
    account = built.outcome.changes.accounts[KEYS[0].address]
    assert account is not None
    assert account.balance == 21_000 * 7 * GWEI


def test_a_sender_with_a_transaction_that_cannot_be_is_skipped_and_the_others_are_not() -> None:
    broke = quick(A, 1, value=2000 * ETHER)
    offer = Offer([quick(A, 0), broke, quick(A, 2), quick(B, 0)])
    shop = Workshop(ChainMaker())
    progress = shop.begin()
    progress.fill(offer, never)
    assert taken(progress.finish()) == [quick(A, 0), quick(B, 0)]
    assert offer.skipped == {broke.sender}


def test_a_pool_that_lags_behind_the_head_costs_a_sender_nothing() -> None:
    shop = Workshop(ChainMaker())
    shop.maker.extend([transfer(A, 0), transfer(A, 1)])
    assert [tx.nonce for tx in taken(shop.build([transfer(A, n) for n in range(5)]))] == [2, 3, 4]


def test_what_is_offered_again_is_taken_once() -> None:
    first = [quick(A, 0), quick(B, 0)]
    built = Workshop().build(first, [*first, quick(A, 1), quick(C, 0)])
    assert [(tx.sender, tx.nonce) for tx in taken(built)] == [
        (tx.sender, tx.nonce) for tx in (*first, quick(A, 1), quick(C, 0))
    ]


def test_the_block_ends_where_its_gas_does() -> None:
    shop = Workshop(ChainMaker(make_spec(gas_limit=100_000)), gas_limit_target=100_000)
    big, small = quick(A, 0, gas=90_000), quick(B, 0)
    built = shop.build([small, big, quick(A, 1), quick(C, 0), *[quick(C, n) for n in range(1, 9)]])
    assert taken(built) == [small, *[quick(C, n) for n in range(3)]], (
        "what does not fit takes its sender along"
    )
    assert built.block.header.gas_used <= built.block.header.gas_limit


def test_the_block_ends_where_its_bytes_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder_module, "BLOCK_BYTES_MAX", 350)
    built = Workshop().build([quick(A, 0), quick(A, 1), quick(B, 0), quick(C, 0)])
    assert sum(len(tx.encoded) for tx in taken(built)) <= 350
    assert len(taken(built)) == 3


def test_execution_stops_when_its_time_is_up() -> None:
    shop = Workshop()
    built = shop.build([quick(A, n, value=4) for n in range(5)])
    assert len(taken(built)) == 2, "the third would end after 12 of 10 seconds"
    assert shop.clock.now <= 11


def test_the_time_of_several_fills_counts_together() -> None:
    shop = Workshop()
    progress = shop.begin()
    progress.fill(Offer([quick(A, 0, value=6)]), never)
    assert progress.has_room
    progress.fill(Offer([quick(B, 0, value=6)]), never)
    assert not progress.has_room
    assert taken(progress.finish()) == [quick(A, 0, value=6)]


def test_a_transaction_that_never_ends_in_time_is_given_up() -> None:
    shop = Workshop()
    endless, plain = quick(A, 0, value=1000), quick(B, 0)
    for _ in range(2):
        assert taken(shop.build([endless, plain])) == [], "it eats the whole block"
    assert taken(shop.build([endless, plain])) == [plain]


def test_a_transaction_that_began_late_is_not_blamed() -> None:
    shop = Workshop()
    for _ in range(5):
        assert len(taken(shop.build([quick(A, 0, value=8), quick(B, 0, value=6)]))) == 1
    assert taken(shop.build([quick(B, 0, value=6)])) == [quick(B, 0, value=6)]


def test_a_build_that_is_called_off_ends_inside_a_transaction() -> None:
    shop = Workshop(build_budget_s=1e9)
    progress = shop.begin()
    progress.fill(Offer([quick(A, 0, value=1000), quick(B, 0)]), lambda: shop.clock.now >= 3)
    assert (shop.clock.now, progress.is_empty) == (3, True)
    assert taken(shop.build([quick(A, 0, value=20)])) != [], "nor is the transaction blamed"


@pytest.mark.parametrize(
    ("target", "expected"),
    [(60_000_000, 30_029_295), (30_000_000, 30_000_000), (1_000_000, 29_970_705)],
)
def test_the_gas_limit_moves_towards_the_target(target: int, expected: int) -> None:
    assert Workshop(gas_limit_target=target).build([]).block.header.gas_limit == expected


def test_a_free_network_takes_transactions_without_a_price() -> None:
    shop = Workshop(ChainMaker(make_spec(zeroBaseFee=True)))
    free = quick(A, 0, maxFeePerGas=0, maxPriorityFeePerGas=0)
    built = shop.build([free])
    assert (taken(built), built.block.header.base_fee_per_gas) == ([free], 0)
    take(shop.maker.chain, [seal(built.block, KEYS[0])])


def test_a_block_is_built_on_a_durable_parent_only() -> None:
    shop = Workshop(ChainMaker())
    stranger = shop.maker.unimported(shop.maker.head)
    with pytest.raises(AssertionError, match="not durable"):
        shop.begin(parent=stranger.header)
