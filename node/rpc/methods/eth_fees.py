"""eth_: what a transaction should offer to pay."""

from itertools import pairwise
from typing import Any, Final

from node.execution.executor import Interrupted
from node.primitives.ids import Hash32
from node.rpc.backend import Backend
from node.rpc.blocks import NumberOrTag, Tag, find_header, read_number_or_tag
from node.rpc.fees import fee_history, suggest_priority_fee
from node.rpc.jsonrpc import Json, RpcError
from node.rpc.method import Method, Where
from node.rpc.params import BadValue, Param, read_count, read_list

PERCENTILES_MAX: Final = 100


def methods(backend: Backend) -> list[Method]:
    """gasPrice, maxPriorityFeePerGas, baseFee, feeHistory."""
    eth = _Fees(backend)
    history = (Param(read_count), Param(read_number_or_tag), Param(_read_percentiles, ()))
    return [
        Method("eth_gasPrice", eth.gas_price, (), Where.READ, eth.remembers),
        Method("eth_maxPriorityFeePerGas", eth.priority_fee, (), Where.READ, eth.remembers),
        Method("eth_baseFee", eth.base_fee),
        Method("eth_feeHistory", eth.history, history, Where.SCAN),
    ]


class _Fees:
    def __init__(self, backend: Backend) -> None:
        self._chain = backend.chain
        self._minimum = backend.pool.minimum_priority_fee if backend.pool else 0
        self._suggestion: tuple[Hash32, int] | None = None
        """The suggestion at a head; made once per head."""

    def remembers(self) -> bool:
        """Whether this head's suggestion has been made."""
        return self._suggestion is not None and self._suggestion[0] == self._chain.head.hash

    def gas_price(self, interrupted: Interrupted) -> Json:
        return hex(self._suggest(interrupted) + (self._chain.next_base_fee(self._chain.head) or 0))

    def priority_fee(self, interrupted: Interrupted) -> Json:
        return hex(self._suggest(interrupted))

    def base_fee(self) -> Json:
        """Of the block to come; null before London."""
        fee = self._chain.next_base_fee(self._chain.head)
        return None if fee is None else hex(fee)

    def history(
        self, interrupted: Interrupted, count: int, newest: NumberOrTag, percentiles: tuple[float, ...]
    ) -> Json:
        header = find_header(self._chain, newest)
        if header is None:
            raise RpcError(f"request beyond head block: requested {newest}, head {self._chain.head.number}")
        if newest is Tag.PENDING:
            count -= 1  # there is no pending block; the answer's last base fee is its
        if count <= 0:
            return {"oldestBlock": "0x0", "baseFeePerGas": [], "gasUsedRatio": []}
        history = fee_history(self._chain, header, count, percentiles, interrupted)
        fields: dict[str, Json] = {
            "oldestBlock": hex(history.oldest_block),
            "baseFeePerGas": [hex(fee) for fee in history.base_fees],
            "gasUsedRatio": history.gas_used_ratios,
        }
        if history.rewards is not None:
            fields["reward"] = [[hex(reward) for reward in row] for row in history.rewards]
        return fields

    def _suggest(self, interrupted: Interrupted) -> int:
        head = self._chain.head
        remembered = self._suggestion
        if remembered is None or remembered[0] != head.hash:
            fee = suggest_priority_fee(self._chain, head, self._minimum, interrupted)
            remembered = self._suggestion = (head.hash, fee)
        return remembered[1]


def _read_percentiles(value: Any) -> tuple[float, ...]:
    items = read_list(value)
    if len(items) > PERCENTILES_MAX:
        raise BadValue(f"{len(items)} percentiles where at most {PERCENTILES_MAX} are allowed")
    for item in items:
        if isinstance(item, bool) or not isinstance(item, int | float) or not 0 <= item <= 100:
            raise BadValue("invalid reward percentile: each is a number from 0 to 100")
    if any(later <= earlier for earlier, later in pairwise(items)):
        raise BadValue("invalid reward percentile: they must ascend")
    return tuple(float(item) for item in items)
