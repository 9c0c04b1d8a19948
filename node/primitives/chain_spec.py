"""What a network has agreed on before block 0: chain id, fork schedule, engine, genesis allocation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH, Address, BlockNumber, Hash32


class Fork(IntEnum):
    """Rule sets of the EVM and of transactions, oldest first; `fork >= Fork.BERLIN` asks for a rule."""

    FRONTIER = 0
    HOMESTEAD = 1
    TANGERINE_WHISTLE = 2
    SPURIOUS_DRAGON = 3
    BYZANTIUM = 4
    CONSTANTINOPLE = 5
    PETERSBURG = 6
    ISTANBUL = 7
    BERLIN = 8
    LONDON = 9
    SHANGHAI = 10
    """Own networks only: PUSH0, warm coinbase, init code limit; no withdrawals."""
    CANCUN = 11
    """Own networks only: transient storage, MCOPY, SELFDESTRUCT in the same transaction; no blobs."""


class ForkChoice(Enum):
    """How a Clique network chooses between two branches."""

    TOTAL_DIFFICULTY = "total-difficulty"
    """As geth does; ties keep the branch seen first. For networks shared with geth."""
    TOTAL_ORDER = "eip-3436"
    """EIP-3436: difficulty, then lower number, then most recent in-turn signer, then lower hash."""


@dataclass(frozen=True, slots=True)
class CliqueSpec:
    """Proof of authority by turns (EIP-225)."""

    period_s: int
    """Least seconds between two blocks; 0 seals only when there are transactions."""
    epoch_blocks: int = 30_000
    """Votes are reset, and the signer list stands in the header, every so many blocks."""
    fork_choice: ForkChoice = ForkChoice.TOTAL_DIFFICULTY


@dataclass(frozen=True, slots=True)
class AccountPermissioningSpec:
    """Which contract says what may stand in a block (node.permissioning.accounts)."""

    ingress: Address
    from_block: BlockNumber
    """The first block that is checked; 1 or more, so that a peer without the rule has another fork id."""
    whole: bool = True
    """Whether the contract sees the whole transaction, or only its kind."""


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """One entry of genesis.json's alloc."""

    balance: int = 0
    nonce: int = 0
    code: bytes = b""
    storage: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenesisHeader:
    """The header fields that genesis.json states; roots follow from the allocation."""

    extra_data: bytes
    difficulty: int
    gas_limit: int
    timestamp: int = 0
    nonce: int = 0
    mix_hash: Hash32 = ZERO_HASH
    beneficiary: Address = ZERO_ADDRESS
    number: BlockNumber = 0
    gas_used: int = 0
    parent_hash: Hash32 = ZERO_HASH
    base_fee_per_gas: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSpec:
    """A genesis.json that has been read and found to make sense."""

    chain_id: int
    forks: tuple[tuple[BlockNumber, Fork], ...]
    """(first block, rules), ascending in both; the first entry is at block 0."""
    engine: CliqueSpec
    """The union of engine specs; QBFT joins it."""
    genesis: GenesisHeader
    alloc: Mapping[Address, GenesisAccount]
    zero_base_fee: bool = False
    """Besu's zeroBaseFee: the base fee is 0 in every block after genesis."""
    account_permissioning: AccountPermissioningSpec | None = None
    fork_id_blocks: tuple[BlockNumber, ...] = ()
    """Every block above 0 at which genesis.json names a fork, ascending, once each: the input of EIP-2124.

    More than `forks` holds: forks that change nothing under this engine (glaciers) count for peers too.
    """

    def fork_at(self, number: BlockNumber) -> Fork:
        """The rules in force in block `number`."""
        fork = Fork.FRONTIER
        for first_block, rules in self.forks:
            if number < first_block:
                break
            fork = rules
        return fork
