"""What differs between forks outside the instruction table: prices of calls, creations and refunds."""

from dataclasses import dataclass
from functools import cache

from node.primitives.chain_spec import Fork


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Gas prices and switches of one fork, Byzantium or later."""

    fork: Fork
    access_lists: bool
    """Cold and warm prices (EIP-2929)."""
    call_gas: int
    """CALL and its relatives, before surcharges."""
    cold_account_gas: int
    """Surcharge of the first touch of an account in a transaction."""
    cold_slot_gas: int
    selfdestruct_refund: int
    """24,000 until EIP-3529."""
    init_code_bytes_max: int | None
    """EIP-3860; with it, init code costs 2 gas per word."""
    reserve_ef_prefix: bool
    """EIP-3541."""
    selfdestruct_only_new: bool
    """EIP-6780."""


@cache
def schedule_of(fork: Fork) -> Schedule:
    """The schedule of a fork."""
    berlin, london = fork >= Fork.BERLIN, fork >= Fork.LONDON
    return Schedule(
        fork=fork,
        access_lists=berlin,
        call_gas=100 if berlin else 700,
        cold_account_gas=2500 if berlin else 0,
        cold_slot_gas=2000 if berlin else 0,
        selfdestruct_refund=0 if london else 24_000,
        init_code_bytes_max=49_152 if fork >= Fork.SHANGHAI else None,
        reserve_ef_prefix=london,
        selfdestruct_only_new=fork >= Fork.CANCUN,
    )
