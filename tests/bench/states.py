"""Large states for benches: made once in a folder, opened by every row on a copy of its own.

A genesis.json of millions of accounts would be read, and its root computed, again in every process. Here a
small genesis is written as a node writes it, strangers are added to its state in the order of their place in
the trie, and block 0 gets the root that results. What a pipeline opens is then that database: its tables
hard-linked, for LevelDB never changes a table, and the rest copied.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from consensus.clique.rules import CliqueRules
from node.chain import opening
from node.chain.genesis_json import parse_genesis
from node.config.settings import StorageSettings
from node.execution.py_evm import PyEvmExecutor
from node.primitives.block import Block, Body, Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.errors import StorageError
from node.primitives.ids import Address, Hash32
from node.primitives.state import Account, StateChanges
from node.state import history
from node.state.commit import commit
from node.storage import blocks, schema
from node.storage.kv import Batch, KeyValue, prefix_stop
from node.storage.leveldb import LevelDB

ACCOUNTS_AT_ONCE: Final = 100_000
DATABASE, GENESIS_JSON = "state", "genesis.json"
HASHED_BYTES_MIN: Final = 32
"""Shorter trie nodes stand in their parents."""


def stranger(number: int) -> Address:
    """An account that nobody here has the key of."""
    return Address(keccak256(b"stranger %d" % number)[:20])


def make_state(folder: Path, genesis: dict[str, Any], strangers: int) -> None:
    """A database at block 0, with so many accounts of 1 wei beside those of the genesis."""
    (folder / GENESIS_JSON).write_text(json.dumps(genesis))
    spec = spec_of(folder)
    kv = LevelDB.open(folder / DATABASE, StorageSettings())
    chain = opening.open_chain(kv, spec, CliqueRules(spec.engine), PyEvmExecutor(), StorageSettings())
    small = chain.reader.head
    chain.state.close()
    root = _with_strangers(kv, small.state_root, strangers)
    _put_genesis(kv, small, replace(small, state_root=root))
    kv.close()


def spec_of(folder: Path) -> ChainSpec:
    """The rules, and the accounts but for the strangers."""
    return parse_genesis(json.loads((folder / GENESIS_JSON).read_text()))


def open_copy(folder: Path, place: Path, settings: StorageSettings) -> LevelDB:
    """The database of a folder, to be changed at will, in a new directory on the same disk."""
    place.mkdir(parents=True)
    for file in (folder / DATABASE).iterdir():
        if file.suffix in {".ldb", ".sst"}:
            os.link(file, place / file.name)
        elif file.name != "LOCK":
            shutil.copy2(file, place / file.name)
    # What a node compares with its genesis.json at the start, for minutes here, is taken as it is.
    opening.open_genesis = _stored_genesis
    return LevelDB.open(place, settings)


def nodes_by_hash(folder: Path) -> Iterator[tuple[bytes, bytes]]:
    """All trie nodes and code under their hashes, as clients without path keys have them."""
    kv = LevelDB.open(folder / DATABASE, StorageSettings())
    for prefix in (b"A", b"S", b"k"):
        for key, row in kv.iterate(prefix, prefix_stop(prefix)):
            if prefix == b"k" or len(row) >= HASHED_BYTES_MIN or key == prefix:
                yield keccak256(row), row
    kv.close()


def genesis_header(folder: Path) -> Header:
    """Block 0 of a folder's database."""
    kv = LevelDB.open(folder / DATABASE, StorageSettings())
    header = _stored_genesis(kv)
    kv.close()
    return header


def _stored_genesis(kv: KeyValue, *_: object) -> Header:
    stored = blocks.read_genesis_hash(kv)
    header = None if stored is None else blocks.read_header(kv, stored)
    if header is None:
        raise StorageError("the database has no genesis")
    return header


def _with_strangers(kv: KeyValue, root: Hash32, count: int) -> Hash32:
    """Neighbours in the trie come together, so that each node is made once or twice."""
    addresses = [stranger(number) for number in range(count)]
    addresses.sort(key=keccak256)
    for first in range(0, count, ACCOUNTS_AT_ONCE):
        part = addresses[first : first + ACCOUNTS_AT_ONCE]
        changes = StateChanges(accounts=dict.fromkeys(part, Account(0, 1, EMPTY_HASH)))
        made = commit(kv.get, root, changes, 0)
        kv.write(Batch(made.rows), sync=False)
        root = made.root
    return root


def _put_genesis(kv: KeyValue, old: Header, new: Header) -> None:
    batch, block = Batch(), Block(new, Body())
    blocks.delete_canonical(batch, Block(old, Body()))
    blocks.delete_block(batch, old.ref)
    blocks.put_block(batch, block, (), new.difficulty)
    blocks.put_canonical(batch, block)
    blocks.put_head(batch, new.ref)
    blocks.put_genesis_hash(batch, new.hash)
    history.put_state_block(batch, new.ref, new.state_root)
    batch.put(schema.STATE_BASE_KEY, blocks.encode_ref(new.ref))
    kv.write(batch, sync=True)
