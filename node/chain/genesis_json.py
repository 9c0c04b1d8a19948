"""genesis.json, as geth and Besu write it, into a ChainSpec; every problem is reported at once.

    spec = load_genesis(Path("genesis.json"))   # ConfigError lists all problems, each with its JSON path

The rules of `config` are in `genesis_config`; here stand the header fields, the allocation and what Clique
demands of the genesis header.
"""

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from consensus.gas import BASE_FEE_INITIAL, GAS_LIMIT_MAX, GAS_LIMIT_MIN
from node.chain.genesis_config import Rules, read_rules
from node.chain.genesis_fields import Fields, Json, Object, address_of_key, from_mapping, word
from node.primitives.block import EXTRA_DATA_BYTES_MAX
from node.primitives.chain_spec import ChainSpec, GenesisAccount, GenesisHeader
from node.primitives.errors import ConfigError
from node.primitives.ids import ZERO_ADDRESS, Address, hex_of

GENESIS_BYTES_MAX: Final = 1 << 30
"""An allocation of some million accounts; more is no genesis.json."""
VANITY_BYTES: Final = 32
SEAL_BYTES: Final = 65


def load_genesis(path: Path) -> ChainSpec:
    """Read a genesis.json. ConfigError names the file in front of every problem."""
    try:
        if path.stat().st_size > GENESIS_BYTES_MAX:
            raise ConfigError([f"{path}: more than {GENESIS_BYTES_MAX} bytes is no genesis.json"])
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}"]) from error
    try:
        return parse_genesis(text)
    except ConfigError as error:
        raise ConfigError([f"{path}: {problem}" for problem in error.problems]) from error


def parse_genesis(source: str | bytes | Mapping[str, object]) -> ChainSpec:
    """A genesis.json as text, or as the mapping that json.loads would give. ConfigError with all problems."""
    problems: list[str] = []
    top = Fields(_parse(source), "", problems)
    config = top.object("config")
    if config is None:
        if not top.has("config"):
            top.problem("config", "is missing")
        config = Fields(Object([]), "config", [])
    rules = read_rules(config)
    header = _read_header(top, rules)
    alloc = _read_alloc(top)
    asked = rules.account_permissioning
    if asked is not None and not alloc.get(asked.ingress, GenesisAccount()).code:
        place, problem = "config.phoenix.accountPermissioning", "has no code in alloc: it could allow nothing"
        top.problem(place, f"the ingress {hex_of(asked.ingress)} {problem}")
    if problems:
        raise ConfigError(problems)
    return ChainSpec(
        chain_id=rules.chain_id,
        forks=rules.forks,
        engine=rules.engine,
        genesis=header,
        alloc=alloc,
        zero_base_fee=rules.zero_base_fee,
        account_permissioning=asked,
        fork_id_blocks=rules.fork_id_blocks,
    )


def _parse(source: str | bytes | Mapping[str, object]) -> Object:
    if isinstance(source, Mapping):
        return from_mapping(source)
    try:
        value: Json = json.loads(source, object_pairs_hook=Object)
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"not JSON: {error}"]) from error
    if not isinstance(value, Object):
        raise ConfigError(["an object with config, alloc and header fields is expected"])
    return value


# --- the header


def _read_header(top: Fields, rules: Rules) -> GenesisHeader:
    extra_data = top.data("extraData")
    _check_signers(top, extra_data)
    gas_limit = top.uint("gasLimit")
    if top.has("gasLimit") and not GAS_LIMIT_MIN <= gas_limit <= GAS_LIMIT_MAX:
        top.problem("gasLimit", f"{gas_limit} is not between {GAS_LIMIT_MIN} and {GAS_LIMIT_MAX}")
    gas_used = top.uint("gasUsed", default=0)
    if gas_used > gas_limit:
        top.problem("gasUsed", f"{gas_used} is more than the gas limit {gas_limit}")
    if top.uint("number", default=0):
        top.problem("number", "the genesis block has number 0")
    for key in ("excessBlobGas", "blobGasUsed"):
        if top.has(key):
            top.problem(key, "belongs to Cancun headers, which no Clique network has")
    return GenesisHeader(
        extra_data=extra_data,
        difficulty=top.uint("difficulty", bits=256),
        gas_limit=gas_limit,
        timestamp=top.uint("timestamp", default=0),
        nonce=top.uint("nonce", default=0),
        mix_hash=top.hash32("mixHash"),
        beneficiary=top.address("coinbase"),
        gas_used=gas_used,
        parent_hash=top.hash32("parentHash"),
        base_fee_per_gas=_read_base_fee(top, rules),
    )


def _read_base_fee(top: Fields, rules: Rules) -> int | None:
    # geth and Besu put the default into block 0 even where zeroBaseFee rules all blocks after it.
    base_fee = top.uint("baseFeePerGas", bits=256, default=BASE_FEE_INITIAL)
    if rules.is_london_at_genesis:
        return base_fee
    if top.has("baseFeePerGas"):
        # geth drops it, Besu hashes it into block 0: two networks out of one file.
        top.problem("baseFeePerGas", "there is no base fee in block 0 unless londonBlock is 0")
    return None


def _check_signers(top: Fields, extra_data: bytes) -> None:
    """EIP-225: 32 bytes of vanity, the first signers in ascending order, 65 bytes for a seal."""
    if not top.has("extraData"):
        top.problem("extraData", "is missing; Clique's first signers stand in it")
        return
    listed = len(extra_data) - VANITY_BYTES - SEAL_BYTES
    if len(extra_data) > EXTRA_DATA_BYTES_MAX:
        top.problem("extraData", f"{len(extra_data)} bytes; at most {EXTRA_DATA_BYTES_MAX}")
    elif listed == 0:
        top.problem("extraData", "names no signer, so nobody could make block 1")
    elif listed < 0 or listed % 20:
        top.problem(
            "extraData",
            f"{len(extra_data)} bytes; Clique needs {VANITY_BYTES} of vanity, 20 for each signer"
            f" and {SEAL_BYTES} for a seal",
        )
    else:
        _check_signer_list(top, extra_data[VANITY_BYTES:-SEAL_BYTES])


def _check_signer_list(top: Fields, listed: bytes) -> None:
    signers = [Address(listed[i : i + 20]) for i in range(0, len(listed), 20)]
    if ZERO_ADDRESS in signers:
        top.problem("extraData", "the zero address is no signer: it has no key")
    for earlier, later in pairwise(signers):
        if later == earlier:
            top.problem("extraData", f"signer {hex_of(later)} is listed twice")
        elif later < earlier:
            top.problem(
                "extraData",
                f"signer {hex_of(later)} stands after {hex_of(earlier)}; signers ascend (EIP-225)",
            )


# --- the allocation


def _read_alloc(top: Fields) -> dict[Address, GenesisAccount]:
    section = top.object("alloc")
    if section is None:
        if not top.has("alloc"):
            top.problem("alloc", "is missing; {} is an allocation too")
        return {}
    alloc: dict[Address, GenesisAccount] = {}
    for key in section.names():
        address = address_of_key(key)
        if address is None:
            section.problem(key, "is no address; that has 20 bytes in hex")
        elif address in alloc:
            section.problem(key, "the address is allocated twice")
        else:
            alloc[address] = _read_account(section, key)
    return alloc


def _read_account(section: Fields, key: str) -> GenesisAccount:
    entry = section.object(key)
    if entry is None:
        if not section.has(key):
            section.problem(key, "is null")
        return GenesisAccount()
    return GenesisAccount(
        balance=entry.uint("balance", bits=256, default=0),
        nonce=entry.uint("nonce", default=0),
        code=entry.data("code"),
        storage=_read_storage(entry),
    )


def _read_storage(entry: Fields) -> dict[int, int]:
    section = entry.object("storage")
    if section is None:
        return {}
    storage: dict[int, int] = {}
    for key in section.names():
        slot, value = word(key), word(section.raw(key))
        if slot is None:
            section.problem(key, "is no slot; that has at most 32 bytes in hex")
        elif value is None:
            section.problem(key, "a value of at most 32 bytes in hex is expected")
        elif slot in storage:
            section.problem(key, "the slot is given twice")
        else:
            storage[slot] = value
    # A slot that holds zero is a slot that holds nothing.
    return {slot: value for slot, value in storage.items() if value}
