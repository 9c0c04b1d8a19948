"""The book of those who sealed twice: found among our own blocks, or brought by a peer; verified either way.

The importer shows every block that it takes in, of whatever branch. A second header by the same signer at the
same height is a proof: it is on disk before anybody hears of it, then it is an alarm, then it is passed on.
Bounded: one proof per signer and height, so many per signer and in all; only against members of this network,
because anybody can make keys that contradict themselves.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from consensus.clique.evidence import Equivocation, equivocation_of, verify_evidence
from node.chain.reader import ChainReader
from node.primitives.block import Header
from node.primitives.ids import Address, hex_of
from node.storage import blocks
from node.storage.evidence import StoredEvidence, has_evidence, put_evidence, read_evidence
from node.storage.kv import Batch, KeyValue

PER_SIGNER_MAX: Final = 64
IN_ALL_MAX: Final = 1_024

log = logging.getLogger(__name__)


class EvidenceBook:
    """See the module. `look` and `take` write to disk: on worker threads, from any of them."""

    def __init__(self, kv: KeyValue, reader: ChainReader, unix_time: Callable[[], float] = time.time) -> None:
        self.pass_on: Callable[[Equivocation], None] = lambda _: None
        """Called on the event loop with what is new, by `tell`."""
        self._kv = kv
        self._reader = reader
        self._unix_time = unix_time
        self._lock = threading.Lock()
        self._counts = Counter(row.signer for row in read_evidence(kv))

    @property
    def count(self) -> int:
        """How many proofs there are."""
        return self._counts.total()

    def entries(self) -> tuple[StoredEvidence, ...]:
        """All proofs, by signer and height."""
        return tuple(read_evidence(self._kv))

    def look(self, headers: Sequence[Header]) -> tuple[Equivocation, ...]:
        """What blocks that were just taken in prove, together with those that were here; what is new."""
        found = []
        for header in headers:
            for ref in blocks.read_refs(self._kv, header.number):
                if ref.number != header.number:
                    break
                other = None if ref.hash == header.hash else blocks.read_header(self._kv, ref.hash)
                proof = None if other is None else equivocation_of(header, other)
                if proof is not None and self._write(proof):
                    found.append(proof)
        return tuple(found)

    def take(self, one: Header, other: Header) -> Equivocation | None:
        """Evidence from a peer: the proof if it is new to us. InvalidSeal when it proves nothing."""
        proof = verify_evidence(one, other)
        return proof if self._is_member(proof) and self._write(proof) else None

    def tell(self, found: Sequence[Equivocation]) -> None:
        """Raise the alarm, and pass on; on the event loop."""
        for proof in found:
            log.critical(
                "a validator has sealed twice at one height: its key is used twice, or was stolen; vote it "
                "out (clique_propose) until its operator has explained it",
                extra={
                    "signer": hex_of(proof.signer),
                    "height": proof.number,
                    "first": proof.first.ref,
                    "second": proof.second.ref,
                },
            )
            self.pass_on(proof)

    def _is_member(self, proof: Equivocation) -> bool:
        """A signer now, or when one of the two was taken in here."""
        reader = self._reader
        if any(reader.header(header.hash) is not None for header in (proof.first, proof.second)):
            return True
        return self._signs_now(proof.signer)

    def _signs_now(self, signer: Address) -> bool:
        reader = self._reader
        return signer in reader.rules.validators(reader.engine_state(reader.head.hash))

    def _write(self, proof: Equivocation) -> bool:
        """Whether it is new, and there was room."""
        with self._lock:
            is_full = self._counts[proof.signer] >= PER_SIGNER_MAX or self.count >= IN_ALL_MAX
            if is_full or has_evidence(self._kv, proof.signer, proof.number):
                return False
            batch = Batch()
            seen_s = int(self._unix_time())
            put_evidence(batch, StoredEvidence(proof.signer, proof.number, proof.first, proof.second, seen_s))
            self._kv.write(batch, sync=True)
            self._counts[proof.signer] += 1
            return True
