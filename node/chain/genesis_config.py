"""The `config` section of genesis.json: which rules hold from which block, and who may seal.

What is refused here would either be refused by geth and Besu too, or make two of the three disagree. An
unknown key is refused as well: it could be a rule that the other nodes of the network follow.

Forks by block, in geth's names (Besu's `constantinopleFixBlock` too):
- A fork that is not named never comes. A network that skips some, as Besu's files do
  (`{"berlinBlock": 0}`), goes from one rule set straight to the next that is named.
- A config that names no fork at all has London's rules from block 0.
- `config.phoenix` marks a network of our own: `{"forkChoice": "eip3436" | "total-difficulty",
  "shanghaiBlock": N, "cancunBlock": N, "accountPermissioning": {...}}`. The fork choice is eip3436 there
  unless it says otherwise, and total-difficulty, geth's, on networks without the section.
- `accountPermissioning`: `{"ingress": address, "block": N, "sees": "whole" | "kind"}`: from block N on, each
  transaction is asked for at the ingress contract (node/permissioning/accounts.py). Its block counts as a
  fork, so that a node without the rule is no peer.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from node.chain.genesis_fields import Fields
from node.primitives.chain_spec import AccountPermissioningSpec, CliqueSpec, Fork, ForkChoice
from node.primitives.ids import BlockNumber

CHAIN_ID_MAX: Final = (1 << 63) - 37
"""EIP-2294: above it, v of a legacy transaction does not fit 64 bits."""
EPOCH_BLOCKS_DEFAULT: Final = 30_000
PERIOD_S_MAX: Final = 1 << 31

# geth's CheckConfigForkOrder (params/config.go, v1.13.15): this order; None changes nothing under PoA.
_FORK_KEYS: Final[tuple[tuple[str, Fork | None], ...]] = (
    ("homesteadBlock", Fork.HOMESTEAD),
    ("eip150Block", Fork.TANGERINE_WHISTLE),
    ("eip155Block", Fork.SPURIOUS_DRAGON),
    ("eip158Block", Fork.SPURIOUS_DRAGON),
    ("byzantiumBlock", Fork.BYZANTIUM),
    ("constantinopleBlock", Fork.CONSTANTINOPLE),
    ("petersburgBlock", Fork.PETERSBURG),
    ("istanbulBlock", Fork.ISTANBUL),
    ("muirGlacierBlock", None),
    ("berlinBlock", Fork.BERLIN),
    ("londonBlock", Fork.LONDON),
    ("arrowGlacierBlock", None),
    ("grayGlacierBlock", None),
)
_PHOENIX_KEYS: Final = frozenset({"forkchoice", "shanghaiblock", "cancunblock", "accountpermissioning"})
_PHOENIX_FORK_KEYS: Final = (("shanghaiBlock", Fork.SHANGHAI), ("cancunBlock", Fork.CANCUN))

_ENGINES_ELSEWHERE: Final = {
    "ethash": "proof of work is not supported: the network is sealed by authorities (config.clique)",
    "qbft": "QBFT networks are not supported by this version; config.clique is",
    "ibft": "IBFT networks are not supported; config.clique is",
    "ibft2": "IBFT 2.0 networks are not supported; config.clique is",
    "istanbul": "Istanbul BFT networks are not supported; config.clique is",
    "aura": "AuRa networks are not supported; config.clique is",
}
_MERGE_REASON: Final = "the network would leave Clique for proof of stake, which is not supported"
_TIME_REASON: Final = (
    "Clique of geth and Besu stops at London; on a network of our own, "
    "config.phoenix.shanghaiBlock and config.phoenix.cancunBlock enable the later EVM rules by block"
)
_REFUSED: Final = {
    "terminalTotalDifficulty": _MERGE_REASON,
    "mergeNetsplitBlock": _MERGE_REASON,
    "mergeForkBlock": _MERGE_REASON,
    "preMergeForkBlock": _MERGE_REASON,
    "daoForkBlock": "the DAO fork rewrote accounts of Ethereum's main network and has no place elsewhere",
    "shanghaiTime": _TIME_REASON,
    "cancunTime": _TIME_REASON,
    "pragueTime": _TIME_REASON,
    "osakaTime": _TIME_REASON,
    "verkleTime": _TIME_REASON,
    "shanghaiBlock": "stands in config.phoenix: other clients know no such key",
    "cancunBlock": "stands in config.phoenix: other clients know no such key",
}
# Carry no rule: notes to readers, peers' addresses, or flags of forks that are refused or absent.
_WITHOUT_EFFECT: Final = frozenset(
    {"daoforksupport", "eip150hash", "discovery", "comment", "isdev", "constantinoplefixblock"}
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the config section says, as far as it could be read."""

    chain_id: int
    forks: tuple[tuple[BlockNumber, Fork], ...]
    fork_id_blocks: tuple[BlockNumber, ...]
    engine: CliqueSpec
    zero_base_fee: bool
    account_permissioning: AccountPermissioningSpec | None = None

    @property
    def is_london_at_genesis(self) -> bool:
        """Whether the genesis header has a base fee."""
        return max(fork for block, fork in self.forks if block == 0) >= Fork.LONDON


def read_rules(config: Fields) -> Rules:
    """Read the section; its problems go where `config` collects them."""
    named = _read_fork_blocks(config)
    own_network = config.object("phoenix")
    forks, fork_id_blocks = _schedule(named)
    zero_base_fee = config.boolean("zeroBaseFee")
    if zero_base_fee and forks[-1][1] < Fork.LONDON:
        config.problem("zeroBaseFee", "there is no base fee without londonBlock")
    _refuse_what_is_not_understood(config)
    permissioning = None if own_network is None else _read_account_permissioning(own_network)
    if permissioning is not None:
        fork_id_blocks = tuple(sorted({*fork_id_blocks, permissioning.from_block}))
    return Rules(
        _read_chain_id(config),
        forks,
        fork_id_blocks,
        _read_engine(config, own_network),
        zero_base_fee,
        permissioning,
    )


def _read_chain_id(config: Fields) -> int:
    chain_id = config.uint("chainId", bits=256)
    if config.has("chainId"):
        if chain_id == 0:
            config.problem("chainId", "0 protects no transaction against replay on other networks")
        elif chain_id > CHAIN_ID_MAX:
            config.problem("chainId", f"{chain_id} is above {CHAIN_ID_MAX} (EIP-2294)")
    return chain_id


# --- forks


def _read_fork_blocks(config: Fields) -> list[tuple[str, BlockNumber, Fork | None]]:
    """(key, block, rules) of each fork that is named, in the order of the rules."""
    named: list[tuple[str, BlockNumber, Fork | None]] = []
    for key, fork in _FORK_KEYS:
        spelling = _spelling(config, key)
        if config.has(spelling):
            named.append((spelling, config.uint(spelling), fork))
    if config.has("petersburgBlock") and config.has("constantinopleFixBlock"):
        config.problem("constantinopleFixBlock", "is Besu's name for petersburgBlock; give one of them")
    blocks = {key: block for key, block, _ in named}
    if blocks.get("eip155Block") != blocks.get("eip158Block"):
        config.problem("eip158Block", "eip155Block and eip158Block are one fork here and need one block")
    if not named:
        named.append(("londonBlock", 0, Fork.LONDON))
    named += _read_own_forks(config)
    for (earlier, earlier_block, _), (later, later_block, _) in pairwise(named):
        if later_block < earlier_block:
            config.problem(
                later, f"block {later_block} comes before {earlier}, which is block {earlier_block}"
            )
    return named


def _read_own_forks(config: Fields) -> list[tuple[str, BlockNumber, Fork | None]]:
    section = config.object("phoenix")
    if section is None:
        return []
    named: list[tuple[str, BlockNumber, Fork | None]] = []
    for key, fork in _PHOENIX_FORK_KEYS:
        if section.has(key):
            named.append((f"phoenix.{key}", section.uint(key), fork))
    if section.has("cancunBlock") and not section.has("shanghaiBlock"):
        section.problem("cancunBlock", "Cancun builds on Shanghai: shanghaiBlock is missing")
    names_any = any(config.has(_spelling(config, key)) for key, _ in _FORK_KEYS)
    if named and names_any and not config.has("londonBlock"):
        section.problem(
            named[0][0].removeprefix("phoenix."), "builds on London: config.londonBlock is missing"
        )
    for key in section.names():
        if key.lower() not in _PHOENIX_KEYS:
            section.problem(key, "is not an option of a network of our own")
    return named


def _spelling(config: Fields, key: str) -> str:
    if key == "petersburgBlock" and not config.has(key):
        return "constantinopleFixBlock" if config.has("constantinopleFixBlock") else key
    return key


def _schedule(
    named: list[tuple[str, BlockNumber, Fork | None]],
) -> tuple[tuple[tuple[BlockNumber, Fork], ...], tuple[BlockNumber, ...]]:
    """Rules by first block, the newest where several share one; and all blocks above 0 for the fork id."""
    newest: dict[BlockNumber, Fork] = {0: Fork.FRONTIER}
    for _, block, fork in named:
        if fork is not None:
            newest[block] = max(fork, newest.get(block, fork))
    rules = {fork for _, _, fork in named}
    if Fork.CONSTANTINOPLE in rules and Fork.PETERSBURG not in rules:
        # geth: Petersburg comes with Constantinople unless the file gives it a block of its own.
        newest = {b: Fork.PETERSBURG if f is Fork.CONSTANTINOPLE else f for b, f in newest.items()}
    return tuple(sorted(newest.items())), tuple(sorted({block for _, block, _ in named if block > 0}))


# --- the engine


def _read_engine(config: Fields, own_network: Fields | None) -> CliqueSpec:
    for key, reason in _ENGINES_ELSEWHERE.items():
        if config.has(key):
            config.problem(key, reason)
    clique = config.object("clique")
    if clique is None:
        if not config.has("clique"):
            config.problem("clique", 'is missing; e.g. {"period": 2, "epoch": 30000}')
        return CliqueSpec(period_s=0)
    period = _either(clique, "period", "blockperiodseconds", None)
    epoch = _either(clique, "epoch", "epochlength", EPOCH_BLOCKS_DEFAULT)
    if period > PERIOD_S_MAX:
        clique.problem("period", f"{period} s is more than {PERIOD_S_MAX} s")
    if epoch == 0:
        clique.problem("epoch", "0; votes are reset every so many blocks, so it is at least 1")
    if not clique.boolean("createemptyblocks", default=True):
        clique.problem("createemptyblocks", "is a choice of each validator: production.empty_blocks")
    for key in clique.names():
        if key.lower() not in {"period", "epoch", "blockperiodseconds", "epochlength", "createemptyblocks"}:
            clique.problem(key, "is not an option of Clique; it may be a rule that others follow")
    return CliqueSpec(period, max(epoch, 1), _read_fork_choice(own_network))


def _either(clique: Fields, geth_key: str, besu_key: str, default: int | None) -> int:
    """The value under geth's or Besu's name; both may stand there when they agree."""
    if clique.has(geth_key) and clique.has(besu_key):
        if clique.uint(geth_key) != clique.uint(besu_key):
            clique.problem(besu_key, f"{clique.raw(besu_key)} contradicts {geth_key}: {clique.raw(geth_key)}")
        return clique.uint(geth_key)
    return clique.uint(besu_key if clique.has(besu_key) else geth_key, default=default)


def _read_fork_choice(own_network: Fields | None) -> ForkChoice:
    if own_network is None:
        return ForkChoice.TOTAL_DIFFICULTY
    value = own_network.raw("forkChoice")
    if value is None:
        return ForkChoice.TOTAL_ORDER
    for choice in ForkChoice:
        if value == choice.value:
            return choice
    names = " or ".join(f'"{choice.value}"' for choice in ForkChoice)
    own_network.problem("forkChoice", f"{value!r} is none; it is {names}")
    return ForkChoice.TOTAL_ORDER


# --- the rest


def _read_account_permissioning(own_network: Fields) -> AccountPermissioningSpec | None:
    section = own_network.object("accountPermissioning")
    if section is None:
        return None
    if not section.has("ingress"):
        section.problem("ingress", "is missing: the address, of genesis, that is asked")
    block = section.uint("block", default=1)
    if block < 1:
        section.problem("block", "0; block 0 has no transactions, so the first that is checked is 1 or more")
    sees = section.raw("sees") or "whole"
    if sees not in ("whole", "kind"):
        section.problem("sees", f'{sees!r} is none; it is "whole" or "kind"')
    for key in section.names():
        if key.lower() not in {"ingress", "block", "sees"}:
            section.problem(key, "is not known here; it may be a rule that others follow")
    return AccountPermissioningSpec(section.address("ingress"), max(block, 1), sees == "whole")


def _refuse_what_is_not_understood(config: Fields) -> None:
    for key, reason in _REFUSED.items():
        if config.has(key):
            config.problem(key, reason)
    if config.boolean("terminalTotalDifficultyPassed"):
        config.problem("terminalTotalDifficultyPassed", _MERGE_REASON)
    understood = {key.lower() for key, _ in _FORK_KEYS} | {key.lower() for key in _REFUSED}
    understood |= _WITHOUT_EFFECT | set(_ENGINES_ELSEWHERE)
    understood |= {"chainid", "clique", "phoenix", "zerobasefee", "terminaltotaldifficultypassed"}
    for key in config.names():
        if key.lower() not in understood and config.has(key):
            config.problem(key, "is not understood here; it may be a rule that other nodes follow")
