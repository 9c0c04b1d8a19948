"""Claim + proof -> value. Pure: whatever a value is taken from hashes up to a root in a verified header.

What is not proved is not looked at: of an eth_getProof answer only the nodes count, never the numbers that
stand beside them. All functions raise a ChainError for what does not fit: that is the upstream's lie.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node.light.errors import InvalidClaim
from node.primitives import rlp
from node.primitives.block import Block, Body, Header
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import Address, Hash32, hex_of
from node.primitives.receipt import Receipt, encode_receipts, merge_blooms
from node.primitives.state import Account
from node.primitives.transaction import Transaction
from node.trie.nodes import EMPTY_ROOT
from node.trie.ordered_root import ordered_root
from node.trie.proof import prove, verify_proof
from node.trie.tree import update


@dataclass(frozen=True, slots=True)
class ProofClaim:
    """The nodes of one eth_getProof answer, unproved."""

    address: Address
    nodes: tuple[bytes, ...]
    slots: tuple[tuple[int, tuple[bytes, ...]], ...] = ()
    """(slot, nodes), in the order asked for."""


@dataclass(frozen=True, slots=True)
class ProvedAccount:
    """An account under a state root, or that there is none."""

    account: Account | None
    storage_root: Hash32


NO_ACCOUNT = ProvedAccount(None, EMPTY_ROOT)


def account_of(state_root: Hash32, address: Address, nodes: Sequence[bytes]) -> ProvedAccount:
    """The account, or that it does not exist, under a header's state root."""
    leaf = verify_proof(state_root, keccak256(address), nodes)
    if leaf is None:
        return NO_ACCOUNT
    nonce, balance, storage_root, code_hash = rlp.as_list(rlp.decode(leaf), 4)
    account = Account(rlp.as_uint(nonce, 64), rlp.as_uint(balance), Hash32(rlp.as_bytes(code_hash, 32)))
    return ProvedAccount(account, Hash32(rlp.as_bytes(storage_root, 32)))


def slot_of(storage_root: Hash32, slot: int, nodes: Sequence[bytes]) -> int:
    """The value of a slot under an account's storage root; 0 where nothing is stored."""
    if storage_root == EMPTY_ROOT:
        return 0  # nothing to prove; clients disagree on whether a node stands for nothing
    leaf = verify_proof(storage_root, keccak256(slot.to_bytes(32, "big")), nodes)
    return 0 if leaf is None else rlp.as_uint(rlp.decode(leaf))


def verify_code(code_hash: Hash32, code: bytes) -> None:
    """InvalidClaim unless this is the code with that hash."""
    if keccak256(code) != code_hash:
        raise InvalidClaim(
            f"{len(code)} bytes of code hash to {hex_of(keccak256(code))}, not {hex_of(code_hash)}"
        )


def block_of(header: Header, transactions: Sequence[Transaction]) -> Block:
    """The block of a verified header with these transactions; InvalidClaim when they are others."""
    root = ordered_root([tx.encoded for tx in transactions])
    if root != header.transactions_root:
        raise InvalidClaim(
            f"the transactions of block {header.number} have the root {hex_of(root)}, its header"
            f" {hex_of(header.transactions_root)}"
        )
    return Block(header, Body(tuple(transactions)))


def verify_receipts(header: Header, receipts: Sequence[Receipt]) -> None:
    """InvalidClaim unless these are all receipts of a verified header's block."""
    root = ordered_root(encode_receipts(receipts))
    if root != header.receipts_root:
        raise InvalidClaim(
            f"the receipts of block {header.number} have the root {hex_of(root)}, its header"
            f" {hex_of(header.receipts_root)}"
        )
    if merge_blooms(receipt.bloom for receipt in receipts) != header.logs_bloom:
        raise InvalidClaim(f"block {header.number} has another bloom than its receipts together")


def prove_item(items: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The nodes that show one item of a list (transactions, receipts) under the list's root."""
    rows: dict[str, bytes | None] = {}
    found = update(rows.get, {rlp.encode_uint(place): item for place, item in enumerate(items)})
    rows.update(found.rows)
    return prove(rows.get, rlp.encode_uint(index))


def item_of(root: Hash32, index: int, nodes: Sequence[bytes]) -> bytes:
    """The item at this place of a list with that root; InvalidClaim where the list ends before."""
    item = verify_proof(root, rlp.encode_uint(index), nodes)
    if item is None:
        raise InvalidClaim(f"the list has no item {index}")
    return item


def is_codeless(account: Account | None) -> bool:
    """Whether there is no code to fetch."""
    return account is None or account.code_hash == EMPTY_HASH
