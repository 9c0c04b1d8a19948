"""What one history is like: all of it is drawn from its seed, so that a seed is a history."""

from dataclasses import dataclass
from enum import Enum
from random import Random

from node.primitives.chain_spec import ForkChoice


class GuardRule(Enum):
    """What a signing guard refuses."""

    HEIGHT = "height"
    """A second block at a height, on whatever branch."""
    WEIGHT = "total difficulty"
    """A block whose branch is not heavier than that of the last block signed: so never two on one parent, and
    never a step back; but again at a height when a heavier branch has fewer blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Size, weather and rules of one history. Times are milliseconds, chances are per occasion."""

    signers: int
    spares: int = 0
    """Nodes that follow, and that the operators want to admit."""
    period_s: int = 2
    epoch_blocks: int = 30_000
    fork_choice: ForkChoice = ForkChoice.TOTAL_ORDER
    guard: GuardRule = GuardRule.WEIGHT
    empty_blocks: bool = True
    storm_ms: int = 60_000
    """How long faults happen before the network heals."""
    calm_ms: int = 60_000
    """How long it is watched afterwards."""
    lost_signers: int = 0
    """Signers that never come back after the storm."""
    delay_ms_max: int = 200
    build_ms_max: int = 300
    sign_ms_max: int = 20
    skew_ms_max: int = 0
    """Clocks are wrong by up to this, each way."""
    lead_ms: int = 500
    out_of_turn_lead_ms: int | None = None
    gives_way: bool = False
    """Engines hear of blocks that are here and not imported yet."""
    partition_chance: float = 0.0
    """Of the network being cut anew, each period."""
    reset_chance: float = 0.0
    """Of a message being lost with its connection, which comes back later."""
    duplicate_chance: float = 0.0
    no_transaction_chance: float = 0.5
    """Of a block waiting for a transaction, where empty blocks are switched off."""
    crash_chance: float = 0.0
    """Of a node stopping, for each node and period."""
    crash_when_signing_chance: float = 0.0
    """Of a node stopping after its guard has recorded a signature and before the block is imported."""
    refusal_chance: float = 0.0
    """Of the key store being out of reach when it is asked."""


def draw(random: Random) -> Options:
    """Any network in any weather, under rules that promise to survive it."""
    signers = random.randint(1, 9)
    guard = random.choice(list(GuardRule))
    tolerated = (signers - 1) // 2
    period_s = random.choice([0, 1, 2, 2, 5])
    return Options(
        signers=signers,
        spares=random.choice([0, 0, 1, 2]),
        period_s=period_s,
        epoch_blocks=random.choice([7, 30, 30_000]),
        guard=guard,
        empty_blocks=random.choice([True, True, False]),
        storm_ms=random.randint(10, 40) * max(period_s, 1) * 1000,
        calm_ms=0,
        # A guard by height can halt the network once signers are lost: see test_guard_rules.
        lost_signers=random.randint(0, tolerated) if guard is GuardRule.WEIGHT else 0,
        delay_ms_max=random.choice([50, 200, 1_500, 6_000]),
        build_ms_max=random.choice([10, 300, 1_500]),
        sign_ms_max=random.choice([0, 20, 700]),
        skew_ms_max=random.choice([0, 100, 400]),
        lead_ms=random.choice([100, 500, 1_000]),
        partition_chance=random.choice([0.0, 0.1, 0.3]),
        reset_chance=random.choice([0.0, 0.02, 0.2]),
        duplicate_chance=random.choice([0.0, 0.2]),
        crash_chance=random.choice([0.0, 0.02, 0.1]),
        crash_when_signing_chance=random.choice([0.0, 0.1]),
        refusal_chance=random.choice([0.0, 0.1]),
        out_of_turn_lead_ms=random.choice([None, 50, 250]),
        gives_way=random.choice([False, True]),
    )
