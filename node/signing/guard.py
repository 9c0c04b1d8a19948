"""The guard: what a key signed is on the disk before the signature leaves; nothing older is signed again.

Per (key, chain, kind) one row holds the highest mark signed, its digest and the signature. A mark is (height,
round) where blocks are final, and (total difficulty, round) where branches compete by weight: under Clique
the better branch may have fewer blocks, and a guard by height could halt a network in which just enough
signers are up (tests/simulation/test_guard_rules.py). A guard by weight never signs two blocks on one parent,
nor on a branch lighter than the last it signed, and never refuses what is built on the best branch.

- a higher mark                   signed, recorded, then released
- the same, with the same digest  the recorded signature again, bit for bit: a second signature over one seal
                                  hash would be a second block
- the same with another digest, or anything lower: refused, whatever the reason may be

The signature is made before the row is written and released after it is synced. A crash between the two
leaves no row, and nothing that anyone has seen; so a validator killed at that moment is not shut out of the
height. A crash after the sync finds the row, with the signature and the attachment to finish the block from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import trio

from consensus.clique.extra_data import seal_hash
from node.primitives import rlp
from node.primitives.block import Header
from node.primitives.crypto import InvalidSignature, recover_address
from node.primitives.errors import StorageError
from node.primitives.ids import Address, Hash32, hex_of
from node.signing.signer import DigestSigner, SigningError, SigningRequest
from node.storage.kv import Batch, KeyValue
from node.storage.schema import sign_record_key

DIGEST_OF: Final[Mapping[str, Callable[[Header], Hash32]]] = {"clique-header": seal_hash}
"""Kinds that compete by weight, and whose digest the guard makes itself: it then knows the height of what is
signed, and need not believe it."""


@dataclass(frozen=True, slots=True)
class SignRecord:
    """The last thing that a key signed on a chain, of one kind."""

    height: int
    round_number: int
    digest: Hash32
    signature: bytes
    attachment: bytes = field(default=b"", repr=False)
    weight: int | None = None
    """See SigningRequest."""


class GuardRefusal(SigningError):
    """The key has already signed something else at this mark, or anything above."""

    def __init__(self, last: SignRecord, request: SigningRequest) -> None:
        super().__init__(
            f"{request.kind}: will not sign {hex_of(request.digest)} at {_place(request)}; "
            f"already signed {hex_of(last.digest)} at {_place(last)}"
        )
        self.last = last
        self.request = request


class InconsistentRequest(SigningError):
    """The request does not describe what it asks a signature for; a fault of this program."""


def recorded_signature(last: SignRecord | None, request: SigningRequest) -> bytes | None:
    """The decision: the signature to give again, None to make a new one, or GuardRefusal."""
    if last is None:
        return None
    if _mark(request) > _mark(last):
        return None
    if _mark(request) == _mark(last) and request.digest == last.digest:
        return last.signature
    raise GuardRefusal(last, request)


def _mark(signed: SignRecord | SigningRequest) -> tuple[int, int]:
    """What must grow."""
    return signed.height if signed.weight is None else signed.weight, signed.round_number


def _place(signed: SignRecord | SigningRequest) -> str:
    weight = "" if signed.weight is None else f", total difficulty {signed.weight}"
    return f"height {signed.height}, round {signed.round_number}{weight}"


class Guard:
    """The durable rows of one key on one chain."""

    def __init__(self, kv: KeyValue, address: Address, chain_id: int) -> None:
        self._kv = kv
        self._address = address
        self._chain_id = chain_id

    def last(self, kind: str) -> SignRecord | None:
        """What was signed last; StorageError when the row cannot be read as one."""
        row = self._kv.get(sign_record_key(self._address, self._chain_id, kind))
        return None if row is None else _decode_record(row)

    def record(self, kind: str, record: SignRecord) -> None:
        """Write the row; on return it has reached the disk."""
        batch = Batch()
        batch.put(sign_record_key(self._address, self._chain_id, kind), _encode_record(record))
        self._kv.write(batch, sync=True)


class GuardedSigner:
    """A bare key behind its guard. One signature at a time, in a worker thread: keys and disks may block."""

    def __init__(self, key: DigestSigner, kv: KeyValue, chain_id: int) -> None:
        """Guard `key` on one chain with rows in `kv`. No other signer may use the key beside this one."""
        self._key = key
        self._chain_id = chain_id
        self._guard = Guard(kv, key.address, chain_id)
        self._one_at_a_time = trio.CapacityLimiter(1)

    @property
    def address(self) -> Address:
        """Whose signatures these are."""
        return self._key.address

    def last(self, kind: str) -> SignRecord | None:
        """What was signed last: after a restart, a record above the head is a block to finish."""
        return self._guard.last(kind)

    async def sign(self, request: SigningRequest) -> bytes:
        """65 bytes that are durable in the guard. SigningError: there will be none; StorageError: stop."""
        # Not abandoned on cancellation: a signature half recorded must not be left to a stray thread.
        return await trio.to_thread.run_sync(self._sign, request, limiter=self._one_at_a_time)

    def _sign(self, request: SigningRequest) -> bytes:
        _check_request(request, self._chain_id)
        again = recorded_signature(self._guard.last(request.kind), request)
        if again is not None:
            return again
        signature = self._key.sign_digest(request)
        self._check_signature(request.digest, signature)
        self._guard.record(
            request.kind,
            SignRecord(
                request.height,
                request.round_number,
                request.digest,
                signature,
                request.attachment,
                request.weight,
            ),
        )
        return signature

    def _check_signature(self, digest: Hash32, signature: bytes) -> None:
        """A key that errs (a worn token, a wrong slot) is found here and not by the network."""
        try:
            signer = recover_address(digest, signature)
        except InvalidSignature as error:
            raise SigningError(f"the key gave something that is no signature: {error}") from error
        if signer != self.address:
            raise SigningError(f"the key signed as {hex_of(signer)} where {hex_of(self.address)} is expected")


def _check_request(request: SigningRequest, chain_id: int) -> None:
    if request.chain_id != chain_id:
        raise InconsistentRequest(f"a request for chain {request.chain_id}; the key guards chain {chain_id}")
    digest_of = DIGEST_OF.get(request.kind)
    if digest_of is None:
        return
    if request.header is None or request.weight is None:
        raise InconsistentRequest(
            f"a request of kind {request.kind} without its header, or without its weight"
        )
    if request.header.number != request.height:
        raise InconsistentRequest(
            f"a request at height {request.height} for the header of block {request.header.number}"
        )
    if digest_of(request.header) != request.digest:
        raise InconsistentRequest(f"digest {hex_of(request.digest)} is not that of the header beside it")


def _encode_record(record: SignRecord) -> bytes:
    weight: list[rlp.Encodable] = [] if record.weight is None else [record.weight]
    return rlp.encode(
        [record.height, record.round_number, record.digest, record.signature, record.attachment, weight]
    )


def _decode_record(row: bytes) -> SignRecord:
    try:
        height, round_number, digest, signature, attachment, weight = rlp.as_list(rlp.decode(row), 6)
        return SignRecord(
            rlp.as_uint(height, 64),
            rlp.as_uint(round_number, 64),
            Hash32(rlp.as_bytes(digest, 32)),
            rlp.as_bytes(signature, 65),
            rlp.as_bytes(attachment),
            next(map(rlp.as_uint, rlp.as_list(weight)), None),
        )
    except rlp.RlpError as error:
        raise StorageError(f"a guard row is damaged; nothing is signed on a guess: {error}") from error
