"""Keys with short names and Clique headers sealed by them, the same in every run.

A, B, C, ... are in ascending order of their addresses, so that A's index is 0, B's is 1 and so on as long as
the signers are the first letters.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from string import ascii_uppercase

from consensus.clique.extra_data import seal_hash, sealed, unsealed
from consensus.clique.rules import IN_TURN, NONCE_AUTHORISE, NONCE_DROP, OUT_OF_TURN, CliqueRules
from consensus.clique.snapshot import CliqueSnapshot
from node.primitives.block import EMPTY_OMMERS_HASH, Header
from node.primitives.crypto import PrivateKey, keccak256
from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH, Address

GENESIS_TIME = 1_700_000_000
"""Seconds."""


@cache
def _keys() -> dict[str, PrivateKey]:
    keys = [PrivateKey(keccak256(b"phoenix test signer %d" % i)) for i in range(len(ascii_uppercase))]
    return dict(zip(ascii_uppercase, sorted(keys, key=lambda key: key.address), strict=True))


def key(name: str) -> PrivateKey:
    """The key called A, B, C, ..."""
    return _keys()[name]


def address(name: str) -> Address:
    """The address of the key called A, B, C, ...; the zero address for "0"."""
    return ZERO_ADDRESS if name == "0" else key(name).address


def name_of(address: Address) -> str:
    """Inverse of `address`."""
    if address == ZERO_ADDRESS:
        return "0"
    return next(name for name, known in _keys().items() if known.address == address)


def genesis(signers: str | Sequence[str]) -> Header:
    """Block 0 of a chain with these signers."""
    return Header(
        parent_hash=ZERO_HASH,
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=ZERO_ADDRESS,
        state_root=ZERO_HASH,
        transactions_root=ZERO_HASH,
        receipts_root=ZERO_HASH,
        logs_bloom=bytes(256),
        difficulty=1,
        number=0,
        gas_limit=30_000_000,
        gas_used=0,
        timestamp=GENESIS_TIME,
        extra_data=unsealed(b"", sorted(address(name) for name in signers)),
        mix_hash=ZERO_HASH,
        nonce=bytes(8),
        base_fee_per_gas=0,
    )


def child(
    rules: CliqueRules,
    state: CliqueSnapshot,
    parent: Header,
    author: str,
    *,
    vote: tuple[str, bool] | None = None,
    after_s: int = 2,
    salt: bytes = b"",
) -> Header:
    """A header as `author` would make and seal it, valid unless the author or the time is wrong.

    A stranger takes the difficulty of a signer out of turn. Different salts give different headers.
    """
    number = parent.number + 1
    in_turn = state.distance(number, address(author)) == 0
    target, authorise = vote or ("0", False)
    listed = state.signers if rules.is_checkpoint(number) else ()
    header = replace(
        parent,
        parent_hash=parent.hash,
        number=number,
        timestamp=parent.timestamp + after_s,
        beneficiary=address(target),
        nonce=NONCE_AUTHORISE if authorise else NONCE_DROP,
        difficulty=IN_TURN if in_turn else OUT_OF_TURN,
        extra_data=unsealed(salt, listed),
    )
    return seal(header, author)


def seal(header: Header, author: str) -> Header:
    """The header with the author's seal in place of whatever stands there."""
    return sealed(header, key(author).sign(seal_hash(header)))
