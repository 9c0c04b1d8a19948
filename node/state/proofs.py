"""Answers for eth_getProof, from the trie rows of any kept state."""

from collections.abc import Sequence

from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.ids import Address
from node.primitives.state import AccountProof, StorageProof
from node.state.flat import NO_BIRTH, AccountRow, FlatView, RowReader, read_account
from node.storage import schema
from node.trie.nodes import EMPTY_ROOT
from node.trie.proof import prove

_NO_ACCOUNT = AccountRow(0, 0, EMPTY_HASH, EMPTY_ROOT, NO_BIRTH)


def account_proof(read: RowReader, address: Address, slots: Sequence[int]) -> AccountProof:
    """Prove an account and some of its slots in the state that `read` answers for."""
    row = read_account(read, address) or _NO_ACCOUNT
    view = FlatView(read)
    proofs = []
    for slot in slots:
        nodes: tuple[bytes, ...] = ()
        if row.has_storage:
            prefix = schema.storage_node_prefix(address, row.birth)
            nodes = _prove(read, prefix, slot.to_bytes(32, "big"))
        proofs.append(StorageProof(slot, view.storage(address, slot), nodes))
    return AccountProof(
        address,
        row.nonce,
        row.balance,
        row.code_hash,
        row.storage_root,
        _prove(read, schema.ACCOUNT_NODE_PREFIX, address),
        tuple(proofs),
    )


def _prove(read: RowReader, prefix: bytes, preimage: bytes) -> tuple[bytes, ...]:
    return prove(lambda path: read(prefix + path.encode()), keccak256(preimage))
