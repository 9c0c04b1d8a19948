"""The rules of EIP-225 for headers: `SealRules` over Clique snapshots.

Not judged here: gas limit and base fee (`consensus.headers`), a time in the future (the caller's clock).
"""

from typing import Final

from consensus.clique import errors
from consensus.clique.extra_data import listed_signers, recover_author, signer_bytes
from consensus.clique.snapshot import CliqueSnapshot, decode_snapshot, encode_snapshot
from node.primitives.block import EMPTY_OMMERS_HASH, Header
from node.primitives.chain_spec import CliqueSpec
from node.primitives.ids import ZERO_ADDRESS, ZERO_HASH, Address, BlockNumber, Hash32

IN_TURN: Final = 2
"""Difficulty of a block whose author is in turn."""
OUT_OF_TURN: Final = 1
NONCE_AUTHORISE: Final = b"\xff" * 8
NONCE_DROP: Final = bytes(8)
AUTHORS_REMEMBERED: Final = 4096
"""Authors of so many headers are kept at least, of twice as many at most: about 1 MB."""


class CliqueRules:
    """What a header must be at its place; may be used from several threads.

    Pure but for a bounded memory of recovered authors, which shows in speed alone.
    """

    def __init__(self, spec: CliqueSpec, authors_remembered: int = AUTHORS_REMEMBERED) -> None:
        self._spec = spec
        self._authors_remembered = authors_remembered
        # Two generations instead of a strict order of use: no lock, and nothing is ever searched for.
        self._authors: dict[Hash32, Address] = {}
        self._older_authors: dict[Hash32, Address] = {}

    def initial(self, checkpoint: Header) -> CliqueSnapshot:
        """The snapshot after genesis or after a checkpoint that is trusted: its signers, and no past."""
        return CliqueSnapshot(number=checkpoint.number, signers=listed_signers(checkpoint))

    def advance(self, state: CliqueSnapshot, parent: Header, header: Header) -> CliqueSnapshot:
        """Verify a header against the snapshot after its parent; InvalidSeal, or the snapshot after it."""
        assert state.number == parent.number, "the state belongs to another block than the parent"
        if header.parent_hash != parent.hash or header.number != parent.number + 1:
            raise errors.WrongParent(header.number, header.parent_hash, parent.hash)
        self._verify_form(header)
        if header.timestamp < parent.timestamp + self._spec.period_s:
            raise errors.TooEarly(header.timestamp, parent.timestamp + self._spec.period_s)
        checkpoint = self.is_checkpoint(header.number)
        if checkpoint and signer_bytes(header) != b"".join(state.signers):
            got = len(signer_bytes(header)) // 20
            raise errors.WrongCheckpointSigners(header.number, got, len(state.signers))
        # Recovery costs more than all else together, so it comes after everything that can fail without it.
        author = self.author(header)
        _verify_author(state, header, author)
        authorise = header.nonce == NONCE_AUTHORISE
        return state.after(author, header.beneficiary, authorise, clear_votes=checkpoint)

    def author(self, header: Header) -> Address:
        """Who sealed the header: recovered once for each header hash, as far back as the memory goes."""
        key = header.hash
        author = self._authors.get(key) or self._older_authors.get(key)
        if author is None:
            author = recover_author(header)
            if len(self._authors) >= self._authors_remembered:
                self._older_authors, self._authors = self._authors, {}
            self._authors[key] = author
        return author

    def turn_distance(self, state: CliqueSnapshot) -> int:
        """How long it was not the last author's turn, in blocks: breaks ties between branches."""
        return state.turn_distance

    def validators(self, state: CliqueSnapshot) -> tuple[Address, ...]:
        """Who may sign the next block, but for those who signed recently; ascending."""
        return state.signers.addresses

    def encode_state(self, state: CliqueSnapshot) -> bytes:
        """The snapshot as bytes for the disk."""
        return encode_snapshot(state)

    def decode_state(self, encoded: bytes) -> CliqueSnapshot:
        """Inverse of encode_state; RlpError for anything else."""
        return decode_snapshot(encoded)

    def is_checkpoint(self, number: BlockNumber) -> bool:
        """Whether the block resets votes and lists the signers."""
        return number % self._spec.epoch_blocks == 0

    def _verify_form(self, header: Header) -> None:
        """What a header must be whatever its parent."""
        between = len(signer_bytes(header))
        if header.nonce not in (NONCE_AUTHORISE, NONCE_DROP):
            raise errors.InvalidVoteNonce(header.nonce)
        if self.is_checkpoint(header.number):
            if header.beneficiary != ZERO_ADDRESS or header.nonce != NONCE_DROP:
                raise errors.CheckpointVote(header.number, header.beneficiary, header.nonce)
        elif between:
            raise errors.UnexpectedSigners(header.number, between)
        if header.mix_hash != ZERO_HASH:
            raise errors.NonZeroMixHash(header.mix_hash)
        if header.ommers_hash != EMPTY_OMMERS_HASH:
            raise errors.HasOmmers(header.ommers_hash)


def _verify_author(state: CliqueSnapshot, header: Header, author: Address) -> None:
    """The author is a signer, has not signed recently, and states its turn in the difficulty."""
    distance = state.distance(header.number, author)
    if distance is None:
        raise errors.UnknownSigner(author, len(state.signers))
    last = state.last_signed(author)
    if last is not None:
        raise errors.SignedRecently(author, header.number, last, state.limit)
    expected = IN_TURN if distance == 0 else OUT_OF_TURN
    if header.difficulty != expected:
        raise errors.WrongDifficulty(header.difficulty, expected, author)
