"""Block 0: from a ChainSpec to the block, its state, and a database that begins with it.

A database belongs to one genesis for ever. Opening it with another one is refused with both hashes named, and
so is a genesis.json whose rules differ from those by which stored blocks were made.
"""

import hashlib
import json
from typing import Final

from node.chain.genesis_json import load_genesis, parse_genesis
from node.chain.validation import receipts_root, transactions_root
from node.primitives import rlp
from node.primitives.block import EMPTY_OMMERS_HASH, Block, BlockRef, Body, Header
from node.primitives.chain_spec import ChainSpec, Fork
from node.primitives.crypto import keccak256
from node.primitives.errors import ConfigError, StorageError
from node.primitives.ids import Address, BlockNumber, Hash32, hex_of
from node.primitives.receipt import EMPTY_BLOOM
from node.primitives.state import Account, StateChanges
from node.state.commit import state_root_of
from node.state.store import StateStore
from node.storage import blocks, schema
from node.storage.kv import Batch, KeyValue

_PERMISSIONING: Final = "phoenix.accountPermissioning"

__all__ = ["genesis_block", "genesis_changes", "load_genesis", "open_genesis", "parse_genesis"]


def genesis_changes(spec: ChainSpec) -> StateChanges:
    """The state after block 0, as changes to an empty one.

    Accounts that are empty are kept, as geth keeps them: EIP-161 removes what is touched, later.
    """
    accounts: dict[Address, Account | None] = {}
    codes: dict[Hash32, bytes] = {}
    for address, entry in spec.alloc.items():
        accounts[address] = Account(entry.nonce, entry.balance, keccak256(entry.code))
        if entry.code:
            codes[keccak256(entry.code)] = entry.code
    storage = {address: dict(entry.storage) for address, entry in spec.alloc.items() if entry.storage}
    return StateChanges(accounts=accounts, storage=storage, codes=codes)


def genesis_block(spec: ChainSpec, state_root: Hash32 | None = None) -> Block:
    """Block 0, with the hash that geth and Besu give it; `state_root`: its allocation's, if that is known."""
    stated = spec.genesis
    header = Header(
        parent_hash=stated.parent_hash,
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=stated.beneficiary,
        state_root=state_root_of(genesis_changes(spec)) if state_root is None else state_root,
        transactions_root=transactions_root(()),
        receipts_root=receipts_root(()),
        logs_bloom=EMPTY_BLOOM,
        difficulty=stated.difficulty,
        number=stated.number,
        gas_limit=stated.gas_limit,
        gas_used=stated.gas_used,
        timestamp=stated.timestamp,
        extra_data=stated.extra_data,
        mix_hash=stated.mix_hash,
        nonce=stated.nonce.to_bytes(8, "big"),
        base_fee_per_gas=stated.base_fee_per_gas,
    )
    return Block(header, Body())


def open_genesis(kv: KeyValue, state: StateStore, spec: ChainSpec) -> Header:
    """Write block 0 into a new database, or check that the database begins with it; its header.

    ConfigError when the database belongs to another genesis, or its blocks were made by other rules.
    """
    stored = blocks.read_genesis_hash(kv)
    if stored is None:
        return _write_genesis(kv, state, spec)
    digest = _alloc_digest(spec)
    known = kv.get(schema.ALLOC_KEY)
    is_known = known is not None and known[:32] == digest
    block = genesis_block(spec, Hash32(known[32:]) if known is not None and is_known else None)
    if stored != block.hash:
        raise ConfigError(
            [
                f"the database belongs to genesis {hex_of(stored)}, genesis.json gives {hex_of(block.hash)};"
                " nothing was changed: point data_dir elsewhere, or use the other genesis.json"
            ]
        )
    _check_rules(kv, spec)
    if not is_known:
        kv.write(Batch({schema.ALLOC_KEY: digest + block.header.state_root}), sync=True)
    return block.header


def _write_genesis(kv: KeyValue, state: StateStore, spec: ChainSpec) -> Header:
    block = genesis_block(spec)
    batch = Batch()
    root = state.initialise(batch, block.ref, genesis_changes(spec))
    assert root == block.header.state_root, "two ways to the genesis state root disagree"
    blocks.put_block(batch, block, (), block.header.difficulty)
    blocks.put_canonical(batch, block)
    blocks.put_head(batch, block.ref)
    blocks.put_genesis_hash(batch, block.hash)
    blocks.put_rules(batch, _encode_rules(spec))
    batch.put(schema.ALLOC_KEY, _alloc_digest(spec) + root)
    kv.write(batch, sync=True)
    state.flattened(block.ref)
    return block.header


def _alloc_digest(spec: ChainSpec) -> bytes:
    """What the allocation is known again by: its root takes a hash for each node of two tries to work out."""
    digest = hashlib.sha256()
    for address, entry in spec.alloc.items():
        slots = tuple(entry.storage.items())
        digest.update(rlp.encode((address, entry.nonce, entry.balance, entry.code, slots)))
    return digest.digest()


# --- the rules that stored blocks were made by


def _check_rules(kv: KeyValue, spec: ChainSpec) -> None:
    """Rules of the past cannot change; those of the future may, and are stored anew."""
    row, head = blocks.read_rules(kv), blocks.read_head(kv)
    if row is None or head is None:
        raise StorageError("the database has a genesis but no rules or no head")
    if row == _encode_rules(spec):
        return
    problems = _contradictions(json.loads(row), json.loads(_encode_rules(spec)), head)
    if problems:
        raise ConfigError(problems)
    batch = Batch()
    blocks.put_rules(batch, _encode_rules(spec))
    kv.write(batch, sync=True)


def _contradictions(stored: dict[str, object], given: dict[str, object], head: BlockRef) -> list[str]:
    """What block 1 to `head` were made by and the given rules would have made otherwise."""
    problems = []
    for name in stored.keys() | given.keys():
        was, is_now = stored.get(name), given.get(name)
        if name == "forks":
            was, is_now = _in_force(was, head.number), _in_force(is_now, head.number)
        elif name == _PERMISSIONING:
            was, is_now = (_in_force([] if each is None else [each], head.number) for each in (was, is_now))
        if was != is_now and head.number > 0:
            problems.append(
                f"genesis.json: {name} is {is_now}, but the blocks up to {head} were made with {was}"
            )
    return sorted(problems)


def _in_force(forks: object, head: BlockNumber) -> list[object]:
    assert isinstance(forks, list)
    return [entry for entry in forks if entry[0] <= head]


def rules_digest(spec: ChainSpec) -> Hash32:
    """What two nodes of one network must have in common."""
    return keccak256(_encode_rules(spec))


def _encode_rules(spec: ChainSpec) -> bytes:
    """All of the spec that decides whether a block is valid, as JSON. Fork choice is not part of it."""
    rules: dict[str, object] = {
        "chainId": spec.chain_id,
        "forks": [[number, Fork(fork).name] for number, fork in spec.forks],
        "clique.period": spec.engine.period_s,
        "clique.epoch": spec.engine.epoch_blocks,
        "zeroBaseFee": spec.zero_base_fee,
    }
    permissioning = spec.account_permissioning
    if permissioning is not None:
        sees = "whole" if permissioning.whole else "kind"
        rules[_PERMISSIONING] = [permissioning.from_block, hex_of(permissioning.ingress), sees]
    return json.dumps(rules, sort_keys=True).encode()
