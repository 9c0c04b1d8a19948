"""The guard: what a key signed is on the disk before the signature leaves; nothing older is signed again.

Per (key, chain, kind) one row holds the last thing signed: height, round, digest, signature, and the highest
marks ever reached. What must grow from one signature to the next is the mark. Where blocks are final it is
(height, round). Where branches compete by weight (Clique) the operator chooses, by `signing.guard_rule`:

height (the default)  Never two headers at one height from one key, even on different forks. Its price: the
                      better branch may have fewer blocks, so that a signer may not sign on it what it signed
                      on the other, and a network in which just enough signers are up halts until one more
                      comes up (tests/simulation/test_guard_rules.py).
weight                Total difficulty must grow: never two blocks on one parent, never on a branch lighter
                      than the last one signed, and never a refusal of what is built on the best branch. But
                      on two branches a key may sign two headers of one height.

**The documented recovery** of a network that halted by `height`: bring up any signer that is missing; when
none can be, set `signing.guard_rule = "weight"` on a signer that is refused, and back once blocks come again.
Each change is logged and stays in the guard (`Guard.rule_changes`); the marks of both rules are always kept,
so that a change in either direction forgets nothing.

- a higher mark                   signed, recorded, then released
- the same request                the recorded signature again, bit for bit: a second signature over one seal
                                  hash would be a second block
- the same mark otherwise, or anything lower: refused, whatever the reason may be

A key in memory signs before the row is written, and the signature is released after it is synced. A crash
between the two leaves no row, and nothing that anyone has seen; so a validator killed at that moment is not
shut out of the height. A crash after the sync finds the row, with the signature and the attachment to finish
the block from.

A key elsewhere (a token, a remote signer) may have signed although its answer was lost: the node was killed,
the connection broke, the time was over. So an intent with all that is asked is on the disk first, and counts
as signed. Whatever contradicts it is refused after the very same was asked again, and answered: the record is
there then, and the block can be finished from it. Only the refusal of the signer's own guard, which proves
that nothing else can come of it, lets an intent be forgotten.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import trio

from consensus.clique.extra_data import seal_hash
from node.primitives.block import Header, decode_header, encode_header
from node.primitives.crypto import InvalidSignature, recover_address
from node.primitives.ids import Address, Hash32, hex_of
from node.signing.guard_rows import DEFAULT_RULE, Guard, GuardRule, Intent, RestoreLock, SignRecord
from node.signing.signer import DigestSigner, RefusedElsewhere, SigningError, SigningRequest
from node.storage.kv import KeyValue

DIGEST_OF: Final[Mapping[str, Callable[[Header], Hash32]]] = {"clique-header": seal_hash}
"""Kinds whose digest the guard makes itself: it then knows the height of what is
signed, and need not believe it."""
UNWATCHED: Final = frozenset({"transaction"})
RECOVERY: Final = (
    '; if the network stands still and no other signer can be brought up, signing.guard_rule = "weight" lets '
    "this one go on (the recovery that node/signing/guard.py documents)"
)

log = logging.getLogger(__name__)


class GuardRefusal(SigningError):
    """The key has already signed something else at this mark, or anything above."""

    def __init__(self, last: SignRecord, request: SigningRequest, rule: GuardRule) -> None:
        # By weight it would be signed: then the operator may choose so, and is told how.
        recovery = RECOVERY if rule == "height" and not _forbids(last, request, "weight") else ""
        super().__init__(
            f"{request.kind}: will not sign {hex_of(request.digest)} at {_place(request)}; "
            f"already signed {hex_of(last.digest)} at {_place(last)}{recovery}"
        )
        self.last = last
        self.request = request


class GuardLocked(SigningError):
    """The guard was restored from a backup, and the chain is not past what the key may have signed since."""

    def __init__(self, lock: RestoreLock, request: SigningRequest) -> None:
        super().__init__(
            f"{request.kind}: the guard was restored from a backup and signs nothing up to height "
            f"{lock.floor}; asked at height {request.height}. Others must make {lock.margin} blocks first"
        )
        self.lock = lock


class Unsettled(SigningError):
    """The key may have signed something else at this mark, and does not answer when it is asked again."""

    def __init__(self, intent: Intent, request: SigningRequest, error: SigningError) -> None:
        super().__init__(
            f"{request.kind}: the key was asked for {hex_of(intent.digest)} at {_place(intent.as_signed())} "
            f"and may have signed it; nothing else is asked at {_place(request)} until it answers: {error}"
        )


class InconsistentRequest(SigningError):
    """The request does not describe what it asks a signature for; a fault of this program."""


def recorded_signature(
    last: SignRecord | None, request: SigningRequest, rule: GuardRule = DEFAULT_RULE
) -> bytes | None:
    """The decision: the signature to give again, None to make a new one, or GuardRefusal."""
    if last is None:
        return None
    if _is_same(last, request):
        return last.signature
    if _forbids(last, request, rule):
        raise GuardRefusal(last, request, rule)
    return None


def _is_same(last: SignRecord | Intent, request: SigningRequest) -> bool:
    asked = (request.height, request.round_number, request.weight, request.digest)
    return asked == (last.height, last.round_number, last.weight, last.digest)


def _forbids(last: SignRecord, request: SigningRequest, rule: GuardRule) -> bool:
    if rule == "weight" and request.weight is not None:
        if last.passed_weight is not None and request.weight <= last.passed_weight:
            return True
        return (request.weight, request.round_number) <= (last.weight or 0, last.round_number)
    if last.passed_height is not None and request.height <= last.passed_height:
        return True
    return (request.height, request.round_number) <= (last.height, last.round_number)


def _record_of(request: SigningRequest, signature: bytes, last: SignRecord | None) -> SignRecord:
    passed = (None, None) if last is None else (last.passed_height, last.passed_weight)
    before = (None, None) if last is None else (last.height, last.weight)
    return SignRecord(
        request.height,
        request.round_number,
        request.digest,
        signature,
        request.attachment,
        request.weight,
        _above(request.height, passed[0], before[0]),
        _above(request.weight, passed[1], before[1]),
    )


def _intent_of(request: SigningRequest) -> Intent:
    header = b"" if request.header is None else encode_header(request.header)
    return Intent(
        request.height, request.round_number, request.digest, request.weight, header, request.attachment
    )


def _request_of(intent: Intent, like: SigningRequest) -> SigningRequest:
    """What was asked, to the letter."""
    return replace(
        like,
        height=intent.height,
        round_number=intent.round_number,
        digest=intent.digest,
        weight=intent.weight,
        header=decode_header(intent.header) if intent.header else None,
        attachment=intent.attachment,
    )


def _above(now: int | None, *earlier: int | None) -> int | None:
    """The greatest earlier mark where it is greater than the present one."""
    greatest = max((mark for mark in earlier if mark is not None), default=None)
    return greatest if greatest is not None and now is not None and greatest > now else None


def _place(signed: SignRecord | SigningRequest) -> str:
    weight = "" if signed.weight is None else f", total difficulty {signed.weight}"
    return f"height {signed.height}, round {signed.round_number}{weight}"


class GuardedSigner:
    """A bare key behind its guard. One signature at a time, in a worker thread: keys and disks may block."""

    def __init__(
        self,
        key: DigestSigner,
        kv: KeyValue,
        chain_id: int,
        rule: GuardRule = DEFAULT_RULE,
        *,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """Guard `key` on one chain with rows in `kv`. No other signer may use the key beside this one.

        A rule that differs from the one before is recorded in `kv` at once, and logged.
        """
        self._key = key
        self._chain_id = chain_id
        self._guard = Guard(kv, key.address, chain_id)
        self._rule: GuardRule = rule
        self._unix_time = unix_time
        if self._guard.adopt_rule(rule, int(unix_time())):
            log.warning(
                "the operator changed the rule of the signing guard",
                extra={"signer": hex_of(key.address), "chain_id": chain_id, "rule": rule},
            )
        self._one_at_a_time = trio.CapacityLimiter(1)
        self.refusals = 0
        """How often the guard said no since the start of the process, for a metric."""

    @property
    def address(self) -> Address:
        """Whose signatures these are."""
        return self._key.address

    def identity(self) -> bytes:
        """What tells this guard from every other."""
        return self._guard.identity()

    def in_use_since(self) -> int:
        """Unix time at which the key came to this guard, first asked for at the node's start."""
        return self._guard.in_use_since(int(self._unix_time()))

    def last(self, kind: str) -> SignRecord | None:
        """What was signed last: after a restart, a record above the head is a block to finish."""
        return self._guard.last(kind)

    async def sign(self, request: SigningRequest) -> bytes:
        """65 bytes that are durable in the guard. SigningError: there will be none; StorageError: stop."""
        # Not abandoned on cancellation: a signature half recorded must not be left to a stray thread.
        return await trio.to_thread.run_sync(self._sign, request, limiter=self._one_at_a_time)

    async def sign_unwatched(self, request: SigningRequest) -> bytes:
        """For what may be signed as often as one likes and contradicts nothing: a transaction, whose nonce
        the chain watches. SigningError for any kind that the guard watches."""
        if request.kind not in UNWATCHED or request.chain_id != self._chain_id:
            raise InconsistentRequest(f"{request.kind} of chain {request.chain_id} is not signed unwatched")
        signature = await trio.to_thread.run_sync(self._key.sign_digest, request, limiter=self._one_at_a_time)
        self._check_signature(request.digest, signature)
        return signature

    def _sign(self, request: SigningRequest) -> bytes:
        _check_request(request, self._chain_id, self._rule)
        last = self._guard.last(request.kind)
        try:
            again = recorded_signature(last, request, self._rule)
            if again is not None:
                return again
            self._check_lock(request)
            if self._key.is_elsewhere:
                request = replace(request, holder=self._guard.identity())
                self._settle(request, last)
        except (GuardRefusal, GuardLocked):
            self.refusals += 1
            raise
        return self._ask(request, last)

    def _settle(self, request: SigningRequest, last: SignRecord | None) -> None:
        """Make sure that the key has signed nothing that contradicts the request; put that on the disk."""
        intent = self._guard.intent(request.kind)
        if intent is not None and _is_same(intent, request):
            return
        if intent is not None and _forbids(intent.as_signed(), request, self._rule):
            asked = _request_of(intent, request)
            try:
                self._ask(asked, last)
            except RefusedElsewhere:
                log.warning("the signer never signed what it was asked: %s", hex_of(intent.digest))
            except SigningError as error:
                raise Unsettled(intent, request, error) from error
            else:
                signed = self._guard.last(request.kind)
                assert signed is not None
                raise GuardRefusal(signed, request, self._rule)
        self._guard.put_intent(request.kind, _intent_of(request))

    def _ask(self, request: SigningRequest, last: SignRecord | None) -> bytes:
        try:
            signature = self._key.sign_digest(request)
        except RefusedElsewhere:
            if self._key.is_elsewhere:
                self._guard.put_intent(request.kind, None)
            raise
        self._check_signature(request.digest, signature)
        self._guard.record(request.kind, _record_of(request, signature, last))
        return signature

    def _check_lock(self, request: SigningRequest) -> None:
        lock = self._guard.lock()
        if lock is None:
            return
        if lock.floor is None:
            # A node asks for the block after its head: that is how far the chain has come.
            lock = replace(lock, floor=max(lock.mark, request.height - 1) + lock.margin)
            self._guard.put_lock(lock)
        assert lock.floor is not None
        if request.height <= lock.floor:
            raise GuardLocked(lock, request)
        self._guard.put_lock(None)
        log.warning(
            "a restored guard is unlocked",
            extra={"signer": hex_of(self.address), "chain_id": self._chain_id, "height": request.height},
        )

    def _check_signature(self, digest: Hash32, signature: bytes) -> None:
        """A key that errs (a worn token, a wrong slot) is found here and not by the network."""
        try:
            signer = recover_address(digest, signature)
        except InvalidSignature as error:
            raise SigningError(f"the key gave something that is no signature: {error}") from error
        if signer != self.address:
            raise SigningError(f"the key signed as {hex_of(signer)} where {hex_of(self.address)} is expected")


def _check_request(request: SigningRequest, chain_id: int, rule: GuardRule) -> None:
    if request.chain_id != chain_id:
        raise InconsistentRequest(f"a request for chain {request.chain_id}; the key guards chain {chain_id}")
    digest_of = DIGEST_OF.get(request.kind)
    if digest_of is None:
        return
    if request.header is None:
        raise InconsistentRequest(f"a request of kind {request.kind} without its header")
    if rule == "weight" and request.weight is None:
        raise InconsistentRequest(
            f"a request of kind {request.kind} without its weight, by which it is judged"
        )
    if request.header.number != request.height:
        raise InconsistentRequest(
            f"a request at height {request.height} for the header of block {request.header.number}"
        )
    if digest_of(request.header) != request.digest:
        raise InconsistentRequest(f"digest {hex_of(request.digest)} is not that of the header beside it")
