"""Answers for eth_getProof, from the trie rows of any kept state."""

from collections.abc import Sequence

from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import Address
from node.primitives.state import AccountProof, StorageProof
from node.state.flat import NO_BIRTH, AccountRow, RowReader, decode_slot, read_account
from node.storage import schema
from node.trie.nodes import EMPTY_ROOT
from node.trie.proof import prove

_NO_ACCOUNT = AccountRow(0, 0, EMPTY_HASH, EMPTY_ROOT, NO_BIRTH)


def account_proof(
    read: RowReader, address: Address, slots: Sequence[int], at_hand: RowReader | None = None
) -> AccountProof:
    """Prove an account and some of its slots in the state that `read` answers for.

    `at_hand` answers more cheaply for another state: most of a trie's nodes are the same in both.
    """
    row = read_account(read, address) or _NO_ACCOUNT
    proofs = []
    for slot in slots:
        nodes: tuple[bytes, ...] = ()
        value = None
        if row.has_storage:
            key = slot.to_bytes(32, "big")
            nodes = _prove(read, schema.storage_node_prefix(address, row.birth), key, at_hand)
            value = read(schema.slot_prefix(address, row.birth) + key)
        proofs.append(StorageProof(slot, decode_slot(value), nodes))
    return AccountProof(
        address,
        row.nonce,
        row.balance,
        row.code_hash,
        row.storage_root,
        _prove(read, schema.ACCOUNT_NODE_PREFIX, address, at_hand),
        tuple(proofs),
    )


def _prove(read: RowReader, prefix: bytes, preimage: bytes, at_hand: RowReader | None) -> tuple[bytes, ...]:
    near = None if at_hand is None else lambda path: at_hand(prefix + path.encode())
    return prove(lambda path: read(prefix + path.encode()), keccak256(preimage), near)
