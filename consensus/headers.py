"""Header rules that no engine changes: links, gas, base fee, time. Pure; `now` is an argument.

Shared by the chain's one door, by sync and by the light client. What a seal, extra data, difficulty, vote or
minimum time between blocks must be is the engine's business (`consensus.rules.SealRules`). Every error
carries the numbers that contradict each other.
"""

from typing import Final

from consensus.errors import FutureBlock, InvalidHeader
from consensus.gas import (
    GAS_LIMIT_BOUND_DIVISOR,
    GAS_LIMIT_MAX,
    GAS_LIMIT_MIN,
    base_fee_after,
    gas_limit_basis,
)
from node.primitives.block import EMPTY_OMMERS_HASH, Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.ids import hex_of

FUTURE_ALLOWANCE_S: Final = 1.0
"""How far two honest clocks may lie apart. geth allows 0, Besu 10; sealing slots are whole seconds."""


def verify_header(spec: ChainSpec, parent: Header, header: Header) -> None:
    """Check the header against its parent; InvalidHeader names what contradicts what."""
    if header.number != parent.number + 1:
        raise InvalidHeader(f"number {header.number} after {parent.number}")
    if header.parent_hash != parent.hash:
        raise InvalidHeader(
            f"parent hash {hex_of(header.parent_hash)} where {hex_of(parent.hash)} is expected"
        )
    if header.timestamp < parent.timestamp:
        raise InvalidHeader(f"second {header.timestamp} is before the parent's, {parent.timestamp}")
    if header.ommers_hash != EMPTY_OMMERS_HASH:
        raise InvalidHeader(f"ommers hash {hex_of(header.ommers_hash)}; blocks have no ommers here")
    _verify_gas(spec, parent, header)
    base_fee = base_fee_after(spec, parent)
    if header.base_fee_per_gas != base_fee:
        raise InvalidHeader(f"base fee {header.base_fee_per_gas} where {base_fee} is expected")


def _verify_gas(spec: ChainSpec, parent: Header, header: Header) -> None:
    if not GAS_LIMIT_MIN <= header.gas_limit <= GAS_LIMIT_MAX:
        raise InvalidHeader(
            f"gas limit {header.gas_limit} is not between {GAS_LIMIT_MIN} and {GAS_LIMIT_MAX}"
        )
    basis = gas_limit_basis(spec, parent)
    bound = basis // GAS_LIMIT_BOUND_DIVISOR
    if abs(header.gas_limit - basis) >= bound:
        raise InvalidHeader(f"gas limit {header.gas_limit} is not less than {bound} away from {basis}")
    if header.gas_used > header.gas_limit:
        raise InvalidHeader(f"gas used {header.gas_used} is above the gas limit {header.gas_limit}")


def verify_not_future(header: Header, now: float) -> None:
    """FutureBlock when the header's second lies ahead of `now` (Unix time) by more than clocks may differ."""
    if header.timestamp > now + FUTURE_ALLOWANCE_S:
        raise FutureBlock(header.ref, header.timestamp, now)
