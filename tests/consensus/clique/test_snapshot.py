"""Snapshots: what they share, and their bytes on disk."""

import pytest

from consensus.clique.rules import CliqueRules
from consensus.clique.snapshot import CliqueSnapshot, decode_snapshot, encode_snapshot
from consensus.validators import validators_of
from consensus.votes import Vote, votes_of
from node.primitives import rlp
from node.primitives.chain_spec import CliqueSpec
from tests.consensus import chains

A, B, C, D = (chains.address(name) for name in "ABCD")
FULL = CliqueSnapshot(
    number=7,
    signers=validators_of([A, B, C]),
    recents=(B, A),
    votes=votes_of([Vote(A, D, True, 5), Vote(C, B, False, 6), Vote(A, B, False, 7)]),
    author=A,
    turn_distance=1,
)


def test_bytes_on_disk_and_back() -> None:
    decoded = decode_snapshot(encode_snapshot(FULL))
    assert decoded == FULL
    assert list(decoded.votes) == [Vote(A, D, True, 5), Vote(C, B, False, 6), Vote(A, B, False, 7)]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\xc0",
        encode_snapshot(FULL) + b"\0",
        encode_snapshot(FULL)[:-1],
        rlp.encode([2, 7, [], [], [], b"", 0]),
        rlp.encode([1, 7, [A[:19]], [], [], b"", 0]),
        rlp.encode([1, 7, [A], [], [[A, B, 1]], b"", 0]),
    ],
)
def test_anything_else_is_refused(broken: bytes) -> None:
    with pytest.raises(rlp.RlpError):
        decode_snapshot(broken)


def test_a_block_without_a_vote_shares_signers_and_votes() -> None:
    after = FULL.after(C, chains.address("0"), authorise=False, clear_votes=False)
    assert after.signers is FULL.signers
    assert after.votes is FULL.votes


def test_recent_authors_by_number() -> None:
    assert FULL.recent_authors() == {6: B, 7: A}


def test_recents_never_outgrow_the_window() -> None:
    rules = CliqueRules(CliqueSpec(period_s=2))
    parent = chains.genesis("ABCDEFG")
    state = rules.initial(parent)
    for author in "BCDEFGA" * 3:
        header = chains.child(rules, state, parent, author)
        state, parent = rules.advance(state, parent, header), header
        assert len(state.recents) == min(state.number, state.limit)
