"""Gas limit and base fee from one block to the next: what a header must state, and what a builder may choose.

Pure; Yellow Paper 4.4.4 (gas limit) and EIP-1559 (base fee and the doubling of the limit at its fork).
"""

from typing import Final

from node.primitives.block import Header
from node.primitives.chain_spec import ChainSpec, Fork

GAS_LIMIT_MIN: Final = 5_000
GAS_LIMIT_MAX: Final = (1 << 63) - 1
GAS_LIMIT_BOUND_DIVISOR: Final = 1_024
BASE_FEE_INITIAL: Final = 1_000_000_000
"""wei; in the first block of London."""
BASE_FEE_CHANGE_DENOMINATOR: Final = 8
ELASTICITY: Final = 2


def base_fee_after(spec: ChainSpec, parent: Header) -> int | None:
    """wei per gas that the block after `parent` burns; None before London.

    With `zero_base_fee` (Besu's ZeroBaseFeeMarket) it is 0 in every block but genesis, whose header is as
    genesis.json says.
    """
    if spec.fork_at(parent.number + 1) < Fork.LONDON:
        return None
    if spec.zero_base_fee:
        return 0
    if parent.base_fee_per_gas is None:
        return BASE_FEE_INITIAL
    return _next_base_fee(parent.gas_used, parent.gas_limit // ELASTICITY, parent.base_fee_per_gas)


def _next_base_fee(gas_used: int, target: int, base_fee: int) -> int:
    if gas_used == target:
        return base_fee
    change = base_fee * abs(gas_used - target) // target // BASE_FEE_CHANGE_DENOMINATOR
    # Upwards at least 1 wei, so that a fee of 0 can rise again.
    return base_fee + max(change, 1) if gas_used > target else base_fee - change


def gas_limit_basis(spec: ChainSpec, parent: Header) -> int:
    """What the next block's gas limit is measured against: the parent's, doubled where London begins."""
    begins = spec.fork_at(parent.number + 1) >= Fork.LONDON and parent.base_fee_per_gas is None
    return parent.gas_limit * (ELASTICITY if begins else 1)


def gas_limit_after(spec: ChainSpec, parent: Header, target: int) -> int:
    """The limit closest to `target` that the block after `parent` may have."""
    basis = gas_limit_basis(spec, parent)
    # The bound itself is out of reach: the difference must stay below it.
    step = basis // GAS_LIMIT_BOUND_DIVISOR - 1
    target = min(max(target, GAS_LIMIT_MIN), GAS_LIMIT_MAX)
    return min(max(target, basis - step), basis + step)
