"""Does the durable state hold together? Every row against the trie, every node against its hash, and back.

For a stopped node whose disk is under suspicion, and for tests that have pulled the plug. Memory stays
bounded; time is about 0.2 ms per account and slot.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from node.primitives import rlp
from node.primitives.block import BlockRef
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.errors import StorageError
from node.primitives.ids import Address, Hash32
from node.state.flat import AccountRow, decode_account
from node.state.history import read_state_block
from node.storage import schema
from node.storage.blocks import decode_ref
from node.storage.kv import Reader, prefix_stop
from node.trie import tree
from node.trie.nodes import root_of
from node.trie.proof import InvalidProof, prove, verify_proof


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found to be whole."""

    base: BlockRef
    root: Hash32
    accounts: int
    slots: int


def audit(kv: Reader) -> Audit:
    """Check the base's state; StorageError names the first thing that is wrong."""
    base_row = kv.get(schema.STATE_BASE_KEY)
    if base_row is None:
        raise StorageError("the database holds no state yet")
    base = decode_ref(base_row)
    block = read_state_block(kv, base.number)
    if block is None or block[0] != base.hash:
        raise StorageError(f"the state's base is {base}, but the state kept at its number is another's")
    accounts = slots = 0
    trie = _Trie(kv, schema.ACCOUNT_NODE_PREFIX, block[1], "the account trie")
    for key, value in _rows(kv, b"a"):
        address, row = Address(key[1:]), decode_account(value)
        trie.check(address, row.leaf)
        _check_code(kv, address, row)
        if row.has_storage:
            slots += _check_storage(kv, address, row)
        accounts += 1
    trie.check_whole(accounts)
    return Audit(base, block[1], accounts, slots)


class _Trie:
    """One trie, held against the rows it must prove."""

    def __init__(self, kv: Reader, prefix: bytes, root: Hash32, name: str) -> None:
        self._kv, self._prefix, self._root, self._name = kv, prefix, root, name

    def check(self, preimage: bytes, leaf: bytes) -> None:
        key = keccak256(preimage)
        try:
            found = verify_proof(self._root, key, prove(self._read, key))
        except InvalidProof as error:
            raise StorageError(f"{self._name}, on the way to 0x{preimage.hex()}: {error}") from error
        if found != leaf:
            raise StorageError(f"{self._name} says something else than the row of 0x{preimage.hex()}")

    def check_whole(self, rows: int) -> None:
        if root_of(self._read("")) != self._root:
            raise StorageError(f"{self._name} has not the root 0x{self._root.hex()}")
        leaves = sum(1 for _ in tree.leaves(self._read))
        if leaves != rows:
            raise StorageError(f"{self._name} has {leaves} leaves, and there are {rows} rows")

    def _read(self, path: str) -> bytes | None:
        return self._kv.get(self._prefix + path.encode())


def _check_storage(kv: Reader, address: Address, row: AccountRow) -> int:
    prefix = schema.storage_node_prefix(address, row.birth)
    trie = _Trie(kv, prefix, row.storage_root, f"the storage trie of 0x{address.hex()}")
    slot_prefix = schema.slot_prefix(address, row.birth)
    count = 0
    for key, value in _rows(kv, slot_prefix):
        trie.check(key[len(slot_prefix) :], rlp.encode_bytes(value))
        count += 1
    trie.check_whole(count)
    return count


def _check_code(kv: Reader, address: Address, row: AccountRow) -> None:
    if row.code_hash == EMPTY_HASH:
        return
    code = kv.get(schema.code_key(row.code_hash))
    if code is None or keccak256(code) != row.code_hash:
        raise StorageError(f"the code of 0x{address.hex()} is missing, or other code than its hash says")


def _rows(kv: Reader, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    return kv.iterate(prefix, prefix_stop(prefix))
