"""The state as plain dicts, random changes to it, and its root by py-trie."""

import random
from dataclasses import dataclass, field

import rlp
from trie import HexaryTrie

from node.primitives.block import BlockRef
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.state import Account, StateChanges
from node.trie.nodes import EMPTY_ROOT
from node.trie.proof import verify_proof

ADDRESSES = [keccak256(b"address %d" % i)[:20] for i in range(24)]
SLOTS = [*range(6), *(int.from_bytes(keccak256(b"slot %d" % i)) for i in range(6))]
CODES = {keccak256(code): code for code in (b"\x00", b"\x60\x01" * 40, b"\xfe" * 3000)}
NO_GENESIS = keccak256(b"no parent")


def _root(content):
    trie = HexaryTrie({})
    for key, value in content.items():
        trie[keccak256(key)] = value
    return trie.root_hash


@dataclass
class Model:
    """All accounts with all their slots."""

    accounts: dict = field(default_factory=dict)
    storage: dict = field(default_factory=dict)
    """Slots that are not zero, by address; accounts without any are absent."""

    def after(self, changes):
        """A new model with the changes applied, exactly as StateChanges documents them."""
        accounts, storage = dict(self.accounts), {a: dict(slots) for a, slots in self.storage.items()}
        for address in changes.wiped:
            storage.pop(address, None)
        for address, account in changes.accounts.items():
            if account is None:
                accounts.pop(address, None)
                storage.pop(address, None)
            else:
                accounts[address] = account
        for address, slots in changes.storage.items():
            merged = storage.get(address, {}) | dict(slots)
            storage[address] = {slot: value for slot, value in merged.items() if value}
        return Model(accounts, {address: slots for address, slots in storage.items() if slots})

    @property
    def root(self):
        """By py-trie, from nothing."""
        return _root({address: self.leaf(address) for address in self.accounts})

    def storage_root(self, address):
        """By py-trie, from nothing."""
        slots = self.storage.get(address, {})
        return (
            _root({slot.to_bytes(32): rlp.encode(value) for slot, value in slots.items()})
            if slots
            else EMPTY_ROOT
        )

    def leaf(self, address):
        """The account's value in the account trie."""
        account = self.accounts[address]
        return rlp.encode([account.nonce, account.balance, self.storage_root(address), account.code_hash])

    def check_view(self, view):
        """The view says what the model says, also of what is absent."""
        for address in ADDRESSES:
            account = self.accounts.get(address)
            for slot in SLOTS:
                assert view.storage(address, slot) == self.storage.get(address, {}).get(slot, 0)
            assert view.account(address) == account
            if account is not None:
                assert view.code(account.code_hash) == CODES.get(account.code_hash, b"")

    def check_proofs(self, store, block_hash, root):
        """Every account's and slot's proof verifies under the root, and shows what the model says."""
        for address in ADDRESSES:
            proof = store.proof(block_hash, address, SLOTS)
            leaf = self.leaf(address) if address in self.accounts else None
            assert verify_proof(root, keccak256(address), proof.nodes) == leaf
            expected = self.accounts.get(address, Account(0, 0, EMPTY_HASH))
            assert (proof.nonce, proof.balance, proof.code_hash) == expected
            assert proof.storage_root == self.storage_root(address)
            for slot in proof.storage:
                value = verify_proof(proof.storage_root, keccak256(slot.slot.to_bytes(32)), slot.nodes)
                assert (rlp.decode(value, rlp.sedes.big_endian_int) if value else 0) == slot.value
                assert slot.value == self.storage.get(address, {}).get(slot.slot, 0)


def draw_changes(draw: random.Random, model: Model) -> StateChanges:
    """A block's changes: transfers, storage writes and clears, destruction, re-creation in the same block."""
    accounts, storage, wiped = {}, {}, set()
    for address in draw.sample(ADDRESSES, draw.randint(0, 8)):
        fate = draw.random()
        known = model.accounts.get(address)
        if fate < 0.15:
            accounts[address] = None
            if draw.random() < 0.8:
                wiped.add(address)
            continue
        code_hash = known.code_hash if known and draw.random() < 0.9 else draw.choice([EMPTY_HASH, *CODES])
        nonce = draw.choice([0, 1, 200, 2**64 - 1])
        accounts[address] = Account(nonce, draw.choice([0, 1, 10**18, 2**256 - 1]), code_hash)
        if fate < 0.3:
            wiped.add(address)
        if fate < 0.7:
            chosen = draw.sample(SLOTS, draw.randint(1, len(SLOTS)))
            storage[address] = {slot: draw.choice([0, 0, 1, 127, 128, 2**255]) for slot in chosen}
        elif fate < 0.8:
            storage[address] = dict.fromkeys(model.storage.get(address, {}), 0)
    codes = {account.code_hash for account in accounts.values() if account} - {EMPTY_HASH}
    return StateChanges(accounts, storage, frozenset(wiped), {code: CODES[code] for code in sorted(codes)})


def ref_of(number, label):
    """A block reference that stands for a block nobody needs to see."""
    return BlockRef(number, keccak256(f"block {number} {label}".encode()))
