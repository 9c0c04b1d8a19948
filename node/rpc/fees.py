"""What blocks paid: suggested prices and fee history. Pure but for the ChainBackend it reads.

A permissioned network often runs at price zero; the suggestion is then zero, and never less than the pool
asks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from node.execution.executor import Interrupted
from node.primitives.block import Block, Header
from node.rpc.backend import ChainBackend, stop_if

SAMPLED_BLOCKS: Final = 20
SAMPLES_PER_BLOCK: Final = 3
SAMPLE_PERCENTILE: Final = 60
"""geth's gas price oracle: the 60th percentile of the three lowest tips of each of the last twenty blocks."""
HISTORY_BLOCKS_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class FeeHistory:
    """What eth_feeHistory answers, oldest block first."""

    oldest_block: int
    base_fees: list[int]
    """wei; one more than there are blocks: the next block's comes last."""
    gas_used_ratios: list[float]
    rewards: list[list[int]] | None
    """wei by block and percentile; None when no percentiles were asked for."""


def suggest_priority_fee(chain: ChainBackend, head: Header, minimum: int, interrupted: Interrupted) -> int:
    """wei per gas over the base fee that recent blocks took; at least `minimum`."""
    samples: list[int] = []
    header: Header | None = head
    for _ in range(SAMPLED_BLOCKS):
        stop_if(interrupted)
        if header is None or header.number == 0:
            break
        block = chain.block(header.hash) if header.gas_used else None
        if block is not None:
            samples += sorted(_tips(block))[:SAMPLES_PER_BLOCK]
        header = chain.header(header.parent_hash)
    if not samples:
        return minimum
    samples.sort()
    return max(minimum, samples[(len(samples) - 1) * SAMPLE_PERCENTILE // 100])


def fee_history(
    chain: ChainBackend, newest: Header, count: int, percentiles: Sequence[float], interrupted: Interrupted
) -> FeeHistory:
    """The `count` blocks up to `newest`, as far as there are any; at most HISTORY_BLOCKS_MAX."""
    headers: list[Header] = []
    header: Header | None = newest
    while header is not None and len(headers) < min(count, HISTORY_BLOCKS_MAX):
        stop_if(interrupted)
        headers.append(header)
        header = chain.header(header.parent_hash) if header.number else None
    headers.reverse()
    rewards = None
    if percentiles:
        rewards = [_rewards(chain, header, percentiles, interrupted) for header in headers]
    return FeeHistory(
        headers[0].number,
        [header.base_fee_per_gas or 0 for header in headers] + [chain.next_base_fee(newest) or 0],
        [header.gas_used / header.gas_limit if header.gas_limit else 0.0 for header in headers],
        rewards,
    )


def _tips(block: Block) -> list[int]:
    base_fee = block.header.base_fee_per_gas or 0
    return [tx.effective_priority_fee(base_fee) for tx in block.transactions]


def _rewards(
    chain: ChainBackend, header: Header, percentiles: Sequence[float], interrupted: Interrupted
) -> list[int]:
    """Tips at these percentiles of the block's gas, cheapest first; zeros for an empty block."""
    stop_if(interrupted)
    block = chain.block(header.hash) if header.gas_used else None
    receipts = chain.receipts(header.hash) if block is not None else None
    if block is None or not receipts:
        return [0] * len(percentiles)
    cumulative = [0, *(receipt.cumulative_gas_used for receipt in receipts)]
    by_tip = sorted(
        zip(_tips(block), (after - before for before, after in pairwise(cumulative)), strict=True)
    )
    rewards = []
    index, gas = 0, by_tip[0][1]
    for percentile in percentiles:
        threshold = int(header.gas_used * percentile / 100)
        while gas < threshold and index < len(by_tip) - 1:
            index += 1
            gas += by_tip[index][1]
        rewards.append(by_tip[index][0])
    return rewards
