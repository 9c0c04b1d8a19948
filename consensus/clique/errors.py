"""Why a header is no Clique header at its place. Each leaf carries the numbers that its sentence states."""

from consensus.errors import InvalidSeal
from node.primitives.ids import Address, BlockNumber, Hash32, hex_of


class WrongParent(InvalidSeal):
    """The header does not follow the one it is judged against."""

    def __init__(self, number: BlockNumber, parent_hash: Hash32, expected: Hash32) -> None:
        super().__init__(
            f"header {number} with parent {hex_of(parent_hash)} does not follow {hex_of(expected)}"
        )
        self.number = number
        self.parent_hash = parent_hash
        self.expected = expected


class ShortExtraData(InvalidSeal):
    """No room for vanity and seal."""

    def __init__(self, got: int, needed: int) -> None:
        super().__init__(f"{got} bytes of extra data where vanity and seal need {needed}")
        self.got = got
        self.needed = needed


class UnexpectedSigners(InvalidSeal):
    """Bytes between vanity and seal outside a checkpoint."""

    def __init__(self, number: BlockNumber, size: int) -> None:
        super().__init__(f"{size} bytes between vanity and seal, but block {number} is no checkpoint")
        self.number = number
        self.size = size


class MalformedSigners(InvalidSeal):
    """A checkpoint's signer list that is no list of addresses, or names nobody or somebody twice."""

    def __init__(self, size: int, reason: str) -> None:
        super().__init__(f"{size} bytes of signer list: {reason}")
        self.size = size
        self.reason = reason


class WrongCheckpointSigners(InvalidSeal):
    """A checkpoint lists other signers than the votes have made, or in another order."""

    def __init__(self, number: BlockNumber, got: int, expected: int) -> None:
        super().__init__(f"checkpoint {number} lists {got} signers, not the {expected} in force, ascending")
        self.number = number
        self.got = got
        self.expected = expected


class InvalidVoteNonce(InvalidSeal):
    """The nonce is neither of the two directions of a vote."""

    def __init__(self, nonce: bytes) -> None:
        super().__init__(
            f"nonce {hex_of(nonce)} is no vote: eight bytes 0xff to admit, eight zero bytes to drop"
        )
        self.nonce = nonce


class CheckpointVote(InvalidSeal):
    """A checkpoint carries a vote."""

    def __init__(self, number: BlockNumber, target: Address, nonce: bytes) -> None:
        super().__init__(f"checkpoint {number} votes about {hex_of(target)} with nonce {hex_of(nonce)}")
        self.number = number
        self.target = target
        self.nonce = nonce


class NonZeroMixHash(InvalidSeal):
    """The mix hash is reserved and has to be zero."""

    def __init__(self, mix_hash: Hash32) -> None:
        super().__init__(f"mix hash {hex_of(mix_hash)} is not zero")
        self.mix_hash = mix_hash


class HasOmmers(InvalidSeal):
    """Ommers mean nothing without proof of work."""

    def __init__(self, ommers_hash: Hash32) -> None:
        super().__init__(f"ommers hash {hex_of(ommers_hash)} is not that of an empty list")
        self.ommers_hash = ommers_hash


class TooEarly(InvalidSeal):
    """Less than a period after the parent."""

    def __init__(self, timestamp: int, earliest: int) -> None:
        super().__init__(f"timestamp {timestamp} is {earliest - timestamp} s before the slot at {earliest}")
        self.timestamp = timestamp
        self.earliest = earliest


class WrongDifficulty(InvalidSeal):
    """The difficulty does not say whether the author is in turn."""

    def __init__(self, got: int, expected: int, author: Address) -> None:
        super().__init__(f"difficulty {got} where {hex_of(author)} has {expected}")
        self.got = got
        self.expected = expected
        self.author = author


class UnrecoverableSeal(InvalidSeal):
    """The seal is no signature of anybody."""


class UnknownSigner(InvalidSeal):
    """The author is none of the signers in force."""

    def __init__(self, author: Address, signers: int) -> None:
        super().__init__(f"{hex_of(author)} is none of the {signers} signers")
        self.author = author
        self.signers = signers


class SignedRecently(InvalidSeal):
    """The author made one of the last blocks and has to wait for the others."""

    def __init__(self, author: Address, number: BlockNumber, last: BlockNumber, limit: int) -> None:
        super().__init__(
            f"{hex_of(author)} made block {last} and may make one of any {limit} in a row, so not {number}"
        )
        self.author = author
        self.number = number
        self.last = last
        self.limit = limit
