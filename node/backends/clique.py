"""Clique as the RPC sees it: snapshots of the chain, and this node's votes."""

from collections.abc import Mapping, Sequence

from consensus.clique.snapshot import CliqueSnapshot
from node.chain.evidence import EvidenceBook
from node.chain.reader import ChainReader
from node.primitives.block import Header
from node.primitives.errors import RequestError
from node.primitives.ids import Address
from node.production.driver import Driver
from node.rpc.backend import CliqueEvidence, CliqueSealing, CliqueState, CliqueVote
from node.signing.lease_watch import LeaseWatch


class CliqueEngineBackend:
    """CliqueBackend over a ChainReader and, on a validator, its Driver."""

    def __init__(
        self,
        reader: ChainReader,
        driver: Driver | None,
        book: EvidenceBook | None = None,
        lease: LeaseWatch | None = None,
    ) -> None:
        self._reader = reader
        self._driver = driver
        self._book = book
        self._lease = lease

    def state_after(self, header: Header) -> CliqueState:
        """See the port."""
        snapshot = self._reader.engine_state(header.hash)
        assert isinstance(snapshot, CliqueSnapshot), "this network runs Clique, and the header is known"
        return CliqueState(
            snapshot.signers.addresses,
            snapshot.recent_authors(),
            tuple(
                CliqueVote(vote.voter, vote.number, vote.target, vote.authorise) for vote in snapshot.votes
            ),
        )

    def author(self, header: Header) -> Address:
        """See the port."""
        return self._reader.rules.author(header)

    def proposals(self) -> Mapping[Address, bool]:
        """See the port; none where nothing is sealed."""
        return self._driver.proposals() if self._driver else {}

    async def propose(self, address: Address, authorize: bool | None) -> None:
        """See the port."""
        if self._driver is None:
            raise RequestError("this node seals no blocks, so it has no vote; ask a validator")
        await self._driver.propose(address, authorize)

    def evidence(self) -> Sequence[CliqueEvidence]:
        """See the port."""
        rows = () if self._book is None else self._book.entries()
        return [CliqueEvidence(row.signer, row.first, row.second, row.seen_s) for row in rows]

    def sealing(self) -> CliqueSealing | None:
        """See the port."""
        if self._driver is None:
            return None
        health = self._driver.health
        problems = (health.problem, None if self._lease is None else self._lease.problem)
        return CliqueSealing(
            health.signer,
            health.is_validator,
            health.status,
            tuple(problem for problem in problems if problem is not None),
            health.sealed_blocks,
        )
