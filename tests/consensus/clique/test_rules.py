"""Each rule of a header, one broken at a time; everything else about the header is right, seal included."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from eth_account import Account

from consensus.clique import errors
from consensus.clique.extra_data import recover_author, seal_hash, sealed, unsealed
from consensus.clique.rules import CliqueRules
from consensus.clique.snapshot import CliqueSnapshot
from consensus.errors import InvalidSeal
from node.primitives.block import Header
from node.primitives.chain_spec import CliqueSpec
from node.primitives.crypto import keccak256
from node.primitives.errors import ChainError
from node.primitives.ids import Address, Hash32
from tests.consensus import chains

EPOCH = 4
RULES = CliqueRules(CliqueSpec(period_s=2, epoch_blocks=EPOCH))


def grow(authors: str, signers: str = "ABC") -> tuple[CliqueSnapshot, Header]:
    """The state and header after blocks by these authors."""
    parent = chains.genesis(signers)
    state = RULES.initial(parent)
    for author in authors:
        header = chains.child(RULES, state, parent, author)
        state, parent = RULES.advance(state, parent, header), header
    return state, parent


def refused(authors: str, author: str, change: Callable[[Header], Header], after_s: int = 2) -> InvalidSeal:
    """Why the next block is refused with a change that its author made before sealing it."""
    state, parent = grow(authors)
    header = chains.seal(change(chains.child(RULES, state, parent, author, after_s=after_s)), author)
    with pytest.raises(InvalidSeal) as caught:
        RULES.advance(state, parent, header)
    assert isinstance(caught.value, ChainError)
    return caught.value


def unchanged(header: Header) -> Header:
    return header


def test_a_right_header_is_taken() -> None:
    state, _ = grow("BCAB")
    assert (state.number, state.author, state.turn_distance) == (4, chains.address("B"), 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda header: replace(header, parent_hash=Hash32(b"\1" * 32)), errors.WrongParent),
        (lambda header: replace(header, number=3), errors.WrongParent),
        (lambda header: replace(header, extra_data=bytes(96)), errors.ShortExtraData),
        (lambda header: replace(header, nonce=b"\0" * 7 + b"\1"), errors.InvalidVoteNonce),
        (lambda header: replace(header, mix_hash=Hash32(b"\1" * 32)), errors.NonZeroMixHash),
        (lambda header: replace(header, ommers_hash=keccak256(b"ommers")), errors.HasOmmers),
        (lambda header: replace(header, difficulty=1), errors.WrongDifficulty),
        (lambda header: replace(header, difficulty=3), errors.WrongDifficulty),
        (
            lambda header: replace(header, extra_data=unsealed(b"", [chains.address("A")])),
            errors.UnexpectedSigners,
        ),
    ],
)
def test_one_wrong_field_in_an_ordinary_block(
    change: Callable[[Header], Header], reason: type[InvalidSeal]
) -> None:
    assert type(refused("", "B", change)) is reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda header: replace(header, beneficiary=chains.address("A")), errors.CheckpointVote),
        (lambda header: replace(header, nonce=b"\xff" * 8), errors.CheckpointVote),
        (lambda header: replace(header, extra_data=unsealed(b"")), errors.WrongCheckpointSigners),
        (
            lambda header: replace(header, extra_data=unsealed(b"", map(chains.address, "AB"))),
            errors.WrongCheckpointSigners,
        ),
        (
            lambda header: replace(header, extra_data=unsealed(b"", map(chains.address, "ACB"))),
            errors.WrongCheckpointSigners,
        ),
        (
            lambda header: replace(header, extra_data=unsealed(b"", map(chains.address, "ABD"))),
            errors.WrongCheckpointSigners,
        ),
        (
            lambda header: replace(header, extra_data=header.extra_data[:-65] + bytes(5 + 65)),
            errors.WrongCheckpointSigners,
        ),
    ],
)
def test_one_wrong_field_in_a_checkpoint(
    change: Callable[[Header], Header], reason: type[InvalidSeal]
) -> None:
    assert type(refused("BCA", "B", change)) is reason


def test_difficulty_two_out_of_turn_is_refused() -> None:
    error = refused("", "C", lambda header: replace(header, difficulty=2))
    assert isinstance(error, errors.WrongDifficulty)
    assert (error.got, error.expected, error.author) == (2, 1, chains.address("C"))


def test_a_block_before_its_slot_is_refused() -> None:
    error = refused("", "B", unchanged, after_s=1)
    assert isinstance(error, errors.TooEarly)
    assert error.earliest - error.timestamp == 1


def test_a_stranger_is_refused() -> None:
    error = refused("", "D", unchanged)
    assert isinstance(error, errors.UnknownSigner)
    assert (error.author, error.signers) == (chains.address("D"), 3)


def test_who_signed_the_block_before_is_refused() -> None:
    error = refused("BC", "C", unchanged)
    assert isinstance(error, errors.SignedRecently)
    assert (error.number, error.last, error.limit) == (3, 2, 2)


def test_a_seal_of_nobody_is_refused() -> None:
    state, parent = grow("")
    header = chains.child(RULES, state, parent, "B")
    for seal in (bytes(65), b"\xff" * 64 + b"\0", header.extra_data[-65:-1] + b"\2"):
        with pytest.raises(errors.UnrecoverableSeal):
            RULES.advance(state, parent, sealed(header, seal))


def test_a_seal_over_another_header_has_another_author() -> None:
    state, parent = grow("")
    header = chains.child(RULES, state, parent, "B")
    with pytest.raises(errors.UnknownSigner):
        RULES.advance(state, parent, replace(header, gas_used=1))


def test_with_an_even_number_of_signers_the_window_is_half_and_one() -> None:
    state, _ = grow("BCDAB", "ABCD")
    free = [name for name in "ABCD" if state.last_signed(chains.address(name)) is None]
    assert free == ["C", "D"]
    assert state.last_signed(chains.address("A")) == 4


def test_a_new_signer_widens_the_window_at_once() -> None:
    """With three signers one block has to lie between; the block that admits a fourth makes it two."""
    rules = CliqueRules(CliqueSpec(period_s=2))
    parent = chains.genesis("ABC")
    state = rules.initial(parent)
    for author, vote in (("B", ("D", True)), ("C", ("D", True))):
        header = chains.child(rules, state, parent, author, vote=vote)
        state, parent = rules.advance(state, parent, header), header
    assert len(state.signers) == 4
    assert state.last_signed(chains.address("B")) == 1
    assert state.last_signed(chains.address("A")) is None


def test_a_dropped_signer_narrows_the_window_at_once() -> None:
    rules = CliqueRules(CliqueSpec(period_s=2))
    parent = chains.genesis("ABCD")
    state = rules.initial(parent)
    for author in "BCA":
        header = chains.child(rules, state, parent, author, vote=("D", False))
        state, parent = rules.advance(state, parent, header), header
    assert len(state.signers) == 3
    assert state.last_signed(chains.address("C")) is None
    assert state.last_signed(chains.address("A")) == 3


def test_of_one_signer_nothing_is_recent() -> None:
    state, _ = grow("AAA", "A")
    assert state.last_signed(chains.address("A")) is None


def test_a_chain_without_signers_is_at_its_end() -> None:
    state, parent = grow("", "A")
    header = chains.child(RULES, state, parent, "A", vote=("A", False))
    state, parent = RULES.advance(state, parent, header), header
    with pytest.raises(errors.UnknownSigner):
        RULES.advance(state, parent, chains.child(RULES, state, parent, "A"))


def test_turn_distance_counts_blocks_since_the_authors_turn() -> None:
    """Block 1 is B's turn; C's is the next, A's was the one before."""
    for author, distance in (("B", 0), ("A", 1), ("C", 2)):
        state, _ = grow(author)
        assert RULES.turn_distance(state) == distance


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (b"", "at least one"),
        (bytes(19), "20 bytes"),
        (chains.address("A") * 2, "twice"),
    ],
)
def test_a_genesis_has_to_list_signers(listed: bytes, reason: str) -> None:
    genesis = replace(chains.genesis("A"), extra_data=bytes(32) + listed + bytes(65))
    with pytest.raises(errors.MalformedSigners, match=reason):
        RULES.initial(genesis)


def test_a_genesis_lists_its_signers_in_any_order() -> None:
    listed = b"".join(map(chains.address, "CAB"))
    genesis = replace(chains.genesis("A"), extra_data=bytes(32) + listed + bytes(65))
    assert RULES.validators(RULES.initial(genesis)) == tuple(map(chains.address, "ABC"))


def test_verification_goes_on_from_a_trusted_checkpoint() -> None:
    """What a light client does: the checkpoint's signers, and no past before it."""
    full, checkpoint = grow("BCAB")
    light = RULES.initial(checkpoint)
    assert (light.number, light.signers) == (4, full.signers)
    header = chains.child(RULES, light, checkpoint, "C")
    assert RULES.advance(light, checkpoint, header).author == chains.address("C")


def test_an_author_is_recovered_once_while_it_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    recovered: list[int] = []

    def counting(header: Header) -> Address:
        recovered.append(header.number)
        return recover_author(header)

    monkeypatch.setattr("consensus.clique.rules.recover_author", counting)
    rules = CliqueRules(CliqueSpec(period_s=2), authors_remembered=3)
    parent = chains.genesis("ABC")
    state, headers = rules.initial(parent), []
    for author in "BCABCABCA":
        header = chains.child(rules, state, parent, author)
        state, parent = rules.advance(state, parent, header), header
        assert rules.author(header) == chains.address(author)
        headers.append(header)
    assert recovered == list(range(1, 10))
    assert [rules.author(header) for header in headers] == [chains.address(name) for name in "BCABCABCA"]
    assert len(recovered) > 9


def test_a_seal_of_another_library_is_the_same_seal() -> None:
    """eth-account signs the seal hash of our header, and we recover its account."""
    account = Account.from_key(chains.key("B").secret_bytes())
    state, parent = grow("")
    header = chains.child(RULES, state, parent, "B")
    signed = account.unsafe_sign_hash(seal_hash(header))
    seal = signed.r.to_bytes(32, "big") + signed.s.to_bytes(32, "big") + bytes((signed.v - 27,))
    assert sealed(header, seal) == header
    assert recover_author(header) == Address(bytes.fromhex(account.address[2:]))
