"""Leaves of accounts and slots made in C are those that Python makes, whatever an account has or loses."""

import random

import pytest

from node import native
from node.primitives.crypto import EMPTY_HASH, keccak256
from node.primitives.errors import StorageError
from node.primitives.state import Account, StateChanges
from node.state import commit as module
from node.state.commit import commit, leaves_of_slots_in_python
from node.trie.nodes import EMPTY_ROOT
from node.trie.rows import unpack_changes

built = pytest.mark.skipif(native.kernels is None, reason=f"kernels: {native.in_words()}")
KERNELS = native.kernels
ADDRESSES = [keccak256(b"%d" % number)[:20] for number in range(12)]


def in_python(patch):
    """Commits without these kernels."""
    patch.setattr(module, "kernels", None)
    patch.setattr(module, "_leaves_of_slots", leaves_of_slots_in_python)


def drawn_changes(draw, accounts):
    """A block's changes to `accounts`, which they are applied to."""
    changed, storage, wiped = {}, {}, set()
    for address in draw.sample(ADDRESSES, draw.randrange(1, 8)):
        fate = draw.randrange(6)
        if fate == 0:
            changed[address] = None
            if draw.random() < 0.7:
                wiped.add(address)
        elif fate == 1 and address in accounts:
            changed[address] = accounts[address]
        else:
            code = draw.choice([EMPTY_HASH, EMPTY_HASH, keccak256(b"code")])
            numbers = (
                draw.choice([0, 1, 127, 128, draw.getrandbits(64)]),
                draw.getrandbits(draw.choice([1, 8, 256])),
            )
            changed[address] = Account(*numbers, code)
            if draw.random() < 0.3:
                wiped.add(address)
            if draw.random() < 0.5:
                slots = [draw.randrange(5), draw.getrandbits(256)]
                storage[address] = {
                    slot: draw.choice([0, 1, 127, 128, draw.getrandbits(256)]) for slot in slots
                }
    for address, account in changed.items():
        accounts[address] = account
        if account is None:
            del accounts[address]
    return StateChanges(changed, storage, frozenset(wiped))


@built
@pytest.mark.parametrize("seed", range(40))
def test_a_commit_is_the_same_in_both_forms(seed, monkeypatch):
    draw = random.Random(seed)
    rows, accounts, root = {}, {}, EMPTY_ROOT
    for number in range(12):
        changes = drawn_changes(draw, accounts)
        in_c = commit(rows.get, root, changes, number)
        with monkeypatch.context() as patch:
            in_python(patch)
            expected = commit(rows.get, root, changes, number)
        assert in_c == expected
        root = in_c.root
        rows.update(in_c.rows)
        rows = {key: row for key, row in rows.items() if row is not None}


@built
@pytest.mark.parametrize(
    "account", [Account(1 << 64, 0, EMPTY_HASH), Account(0, 1 << 256, EMPTY_HASH), Account(-1, 0, EMPTY_HASH)]
)
def test_numbers_that_no_row_holds_are_refused_alike(account, monkeypatch):
    changes = StateChanges({ADDRESSES[0]: account})
    with pytest.raises(OverflowError):
        commit({}.get, EMPTY_ROOT, changes, 1)
    in_python(monkeypatch)
    with pytest.raises(OverflowError):
        commit({}.get, EMPTY_ROOT, changes, 1)


@built
def test_a_row_that_is_none_is_refused_in_words():
    row = {b"a" + ADDRESSES[0]: b"too short"}.get
    with pytest.raises(StorageError, match="an account row of 9 bytes"):
        commit(row, EMPTY_ROOT, StateChanges({ADDRESSES[0]: Account(1, 1, EMPTY_HASH)}), 1)


@built
def test_what_is_no_account_is_left_to_python():
    notes = ({}, {})
    strange = {b"short": Account(1, 1, EMPTY_HASH), ADDRESSES[0]: (1, 2), ADDRESSES[1]: Account(1, 1, b"x")}
    assert KERNELS.leaves_of_accounts(strange, {}, (), lambda key: None, *notes) == (b"", list(strange))
    assert notes == ({}, {})
    with pytest.raises(TypeError):
        KERNELS.leaves_of_accounts(
            {ADDRESSES[0]: Account("1", 1, EMPTY_HASH)}, {}, (), lambda key: None, *notes
        )
    with pytest.raises(TypeError):
        KERNELS.leaves_of_slots({1: 1}, b"p", lambda key: 7, *notes)
    with pytest.raises(OverflowError):
        KERNELS.leaves_of_slots({1: 1 << 256}, b"p", lambda key: None, *notes)


@built
def test_accounts_that_come_while_the_rows_are_read_are_not_looked_at():
    accounts = {ADDRESSES[0]: Account(1, 1, EMPTY_HASH)}

    def held(key):
        accounts.update(dict.fromkeys(ADDRESSES, Account(1, 1, EMPTY_HASH)))

    packed, left = KERNELS.leaves_of_accounts(accounts, {}, (), held, {}, {})
    assert (len(list(unpack_changes(packed))), left) == (1, [])
