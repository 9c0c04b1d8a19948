"""The port through which a validator signs: a request that says what the digest stands for, a signature back.

Two ports, so that the type says whether the guard has been passed:
- `Signer` is what the driver holds; the only implementation is `guard.GuardedSigner`.
- `DigestSigner` is a bare key (key store, HSM, remote service); nothing but the guard calls it.
"""

from dataclasses import dataclass, field
from typing import Protocol

from node.primitives.block import Header
from node.primitives.crypto import PrivateKey
from node.primitives.errors import PhoenixError
from node.primitives.ids import Address, Hash32


class SigningError(PhoenixError):
    """No signature was given; the text says why. The driver answers the engine with SigningRefused."""


class RefusedElsewhere(SigningError):
    """A signer's own guard said no: it gave no signature for this, or has gone on since, and gives none."""


class LeasedElsewhere(SigningError):
    """Another process holds the lease of the key: this one stands by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningRequest:
    """One digest to sign, with what a guard must know of it."""

    kind: str
    """What is signed: "clique-header". Each kind has a watermark of its own."""
    chain_id: int
    height: int
    """Number of the block that is sealed or voted on."""
    weight: int | None = None
    """Total difficulty up to and with the block, where branches compete by it (Clique): then this must grow
    from one signature to the next. None where blocks are final (QBFT): then the height must."""
    round_number: int = 0
    """Round within the height; always 0 under Clique."""
    digest: Hash32
    header: Header | None = None
    """The unsealed header that the digest was made from; the guard makes the digest of a header again."""
    holder: bytes = b""
    """Which guard asks; put in by it, for a signer that leases its keys."""
    attachment: bytes = field(default=b"", repr=False)
    """Opaque bytes (the encoded unsealed block) made durable with the signature. A node killed after signing
    and before importing would be refused a second block at this height; with these it finishes the first."""


class Signer(Protocol):
    """A guarded key."""

    @property
    def address(self) -> Address:
        """Whose signatures these are."""
        ...

    async def sign(self, request: SigningRequest) -> bytes:
        """65 bytes (r, s, y parity) that are durable in the guard; SigningError when there will be none."""
        ...


class DigestSigner(Protocol):
    """A bare key: signs whatever it is given. May block; called from one thread at a time."""

    is_elsewhere: bool
    """Whether it is outside this process (a token, another machine): it may then sign and the answer be lost,
    so that what it is asked must be on our disk before it is asked, and be asked again."""

    @property
    def address(self) -> Address:
        """Whose signatures these are."""
        ...

    def sign_digest(self, request: SigningRequest) -> bytes:
        """65-byte recoverable low-s signature over `request.digest`; SigningError when the key cannot."""
        ...


class OwnKey(DigestSigner, Protocol):
    """A bare key of this process, in memory or in a token: its public half is known."""

    problem: str | None
    """Why nothing can be signed, as far as is known; None when all is well."""

    @property
    def public_key(self) -> bytes:
        """64 bytes, without the prefix 04."""
        ...

    def look_again(self) -> None:
        """Where there is a `problem`: whether it is over. May wait for a token."""
        ...

    def close(self) -> None:
        """Let it go; it signs nothing more."""
        ...


class LocalKey:
    """A key in this process's memory, as a key store unlocks it."""

    is_elsewhere = False

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.problem: str | None = None

    @property
    def address(self) -> Address:
        """Whose signatures these are."""
        return self._key.address

    @property
    def public_key(self) -> bytes:
        """64 bytes, without the prefix 04."""
        return self._key.public_key

    def sign_digest(self, request: SigningRequest) -> bytes:
        """Sign with RFC 6979: the same digest gives the same signature."""
        return self._key.sign(request.digest)

    def look_again(self) -> None:
        """Nothing to do: it is here."""

    def close(self) -> None:
        """Nothing to do: it goes with its last holder."""
