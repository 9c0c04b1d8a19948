"""Proved reads: headers, blocks, receipts, transactions and state of the chain that the light client shows.

All methods are synchronous, block while an upstream is asked, and may be called from any worker thread; none
of them returns anything that is not proved, and each says in a RequestError why it has nothing to return.

What absence means: that an account, slot or log is not there is proved. That a *transaction* is nowhere
cannot be proved by anybody to a client without all blocks; `transaction_place` asks every upstream before it
says that none knows it.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Final

from consensus.clique.rules import CliqueRules
from consensus.gas import base_fee_after
from node.execution.context import Ancestors, context_after, context_of
from node.execution.executor import BlockContext
from node.light.catch_up import BATCH, Follower, Provisional
from node.light.chain import HeaderChain
from node.light.errors import InvalidClaim, UpstreamFault, Withheld
from node.light.provider import Provider
from node.light.reads import block_of, verify_receipts
from node.light.upstreams import Upstreams
from node.light.verifier import verify_links
from node.light.view import ProvedState, ProvedView, Recent
from node.primitives.block import Block, Body, Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.errors import ChainError, RequestError
from node.primitives.ids import Address, BlockNumber, Hash32, hex_of
from node.primitives.receipt import EMPTY_BLOOM, Receipt
from node.primitives.transaction import Transaction
from node.trie.nodes import EMPTY_ROOT

BACKWARD_MAX: Final = 8_192
"""How far below the lowest known header one is proved by the chain of headers between."""
OLD_HEADERS_KEPT: Final = 1_024
BLOCKS_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Progress:
    """How far verification is behind."""

    starting_block: BlockNumber
    current_block: BlockNumber
    highest_block: BlockNumber


class ProvedChain:
    """The chain as far as it is shown, read through proofs."""

    def __init__(
        self,
        spec: ChainSpec,
        rules: CliqueRules,
        genesis: Header,
        chain: HeaderChain,
        upstreams: Upstreams,
        follower: Follower,
        *,
        counts_from_genesis: bool = True,
    ) -> None:
        """`counts_from_genesis`: whether total difficulties are those of the network, not only relative."""
        self.spec, self.genesis, self.chain, self.upstreams = spec, genesis, chain, upstreams
        self.state = ProvedState(upstreams)
        self._rules, self._follower = rules, follower
        self._counts_from_genesis = counts_from_genesis
        self._old: Recent[BlockNumber, tuple[Header, int]] = Recent(OLD_HEADERS_KEPT)
        self._blocks: Recent[Hash32, Block] = Recent(BLOCKS_KEPT)
        self._receipts: Recent[Hash32, tuple[Receipt, ...]] = Recent(BLOCKS_KEPT)
        self._began_at = chain.head.number

    # --- heads

    @property
    def provisional(self) -> Provisional | None:
        """The head attested by seals alone, while the headers below it are being verified."""
        return self._follower.provisional

    @property
    def head(self) -> Header:
        """The newest header that may be shown."""
        provisional = self._follower.provisional
        if provisional is not None and provisional.head.number > self.chain.head.number:
            return provisional.head
        return self.chain.head

    def progress(self) -> Progress | None:
        """None when every header up to the head is verified."""
        highest = max(self._follower.target, self.head.number)
        if highest - self.chain.head.number <= BATCH and self._follower.provisional is None:
            return None
        return Progress(self._began_at, self.chain.head.number, highest)

    def below_head(self, share: float) -> Header:
        """The header so many rounds of signers below the head (1/2: a majority has built on it)."""
        signers = len(self.chain.head_state.signers)
        number = max(0, self.head.number - math.floor(signers * share))
        found = self.header_by_number(number)
        return self.head if found is None else found

    # --- headers

    def header(self, block_hash: Hash32) -> Header | None:
        """A header of the chain by hash; None when no upstream has it on our chain."""
        found = self._at_hand(block_hash)
        if found is not None:
            return found
        claimed = self._claimed_header(block_hash)
        if claimed is None or claimed.number > self.head.number:
            return None
        shown = self.header_by_number(claimed.number)
        return shown if shown is not None and shown.hash == block_hash else None

    def header_by_number(self, number: BlockNumber) -> Header | None:
        """A header of the shown chain; fetched and proved by the hashes above it where it is not kept."""
        if number > self.head.number or number < 0:
            return None
        if number == 0:
            return self.genesis
        found = self._shown(number)
        if found is not None:
            return found
        return (self._old.get(number) or self._walk(number))[0]

    def canonical_hash(self, number: BlockNumber) -> Hash32 | None:
        """The hash of a block of the shown chain."""
        if 0 < number <= self.head.number:
            known = self.chain.hash_at(number) if number <= self.chain.head.number else None
            if known is not None:
                return known
        header = self.header_by_number(number)
        return None if header is None else header.hash

    def total_difficulty(self, block_hash: Hash32) -> int | None:
        """From block 0 on; None while headers are still being verified."""
        if block_hash == self.genesis.hash:
            return self.genesis.difficulty
        if not self._counts_from_genesis or self._follower.provisional is not None:
            return None
        header = self._at_hand(block_hash)
        if header is not None:
            return self.chain.total_difficulty_of(header)
        header = self.header(block_hash)
        found = None if header is None else self._old.get(header.number)
        return None if found is None or found[0].hash != block_hash else found[1]

    # --- blocks

    def block(self, block_hash: Hash32) -> Block | None:
        """A block of the chain, its transactions held against its header."""
        found = self._blocks.get(block_hash)
        if found is not None:
            return found
        header = self.header(block_hash)
        if header is None:
            return None
        if header.transactions_root == EMPTY_ROOT:
            return Block(header, Body())
        block = self.upstreams.ask(
            f"the transactions of block {header.ref}",
            lambda provider: block_of(header, provider.transactions(header)),
        )
        self._blocks.put(block_hash, block)
        return block

    def receipts(self, block_hash: Hash32) -> tuple[Receipt, ...] | None:
        """All receipts of a block of the chain, held against its header."""
        found = self._receipts.get(block_hash)
        if found is not None:
            return found
        header = self.header(block_hash)
        if header is None:
            return None
        if header.receipts_root == EMPTY_ROOT:
            return ()

        def claim(provider: Provider) -> tuple[Receipt, ...]:
            receipts = tuple(provider.receipts(header))
            verify_receipts(header, receipts)
            return receipts

        receipts = self.upstreams.ask(f"the receipts of block {header.ref}", claim)
        self._receipts.put(block_hash, receipts)
        return receipts

    def transaction_place(self, tx_hash: Hash32) -> tuple[Header, int] | None:
        """Where a transaction stands in the chain; None when no upstream knows it, which proves nothing."""
        failures = []
        for source in self.upstreams.live():
            try:
                found = self.upstreams.attempt(
                    source, f"transaction {hex_of(tx_hash)}", partial(self._claimed_place, tx_hash)
                )
            except (UpstreamFault, ChainError, RequestError) as error:
                failures.append(f"{source.name}: {error}")
                continue
            if found is not None:
                return found
        if failures and len(failures) == len(self.upstreams.sources):
            raise RequestError("no upstream could be asked for the transaction: " + "; ".join(failures))
        return None

    def send(self, tx: Transaction) -> None:
        """Hand a transaction to the first upstream that takes it."""
        self.upstreams.ask(f"taking transaction {hex_of(tx.hash)}", lambda provider: provider.send(tx))

    # --- state and execution: what calls need of a chain

    def state_at(self, block_hash: Hash32) -> ProvedView:
        """The state after a block of the chain."""
        header = self.header(block_hash)
        if header is None:
            raise RequestError(f"block {hex_of(block_hash)} is not on the verified chain")
        return self.state.view(header)

    def author_of(self, header: Header) -> Address:
        """Who sealed."""
        return header.beneficiary if header.number == 0 else self._rules.author(header)

    def context_of(self, header: Header) -> BlockContext:
        """The context in which a block's transactions ran."""
        return context_of(self.spec, header, self.author_of(header), self._ancestors(header))

    def context_after(self, parent: Header, timestamp: int, author: Address) -> BlockContext:
        """The context of an imagined block."""
        return context_after(
            self.spec,
            parent,
            timestamp=timestamp,
            author=author,
            gas_limit=parent.gas_limit,
            difficulty=parent.difficulty,
            block_hash=self._ancestors(parent),
        )

    def next_base_fee(self, header: Header) -> int | None:
        """wei per gas in a child of this block."""
        return base_fee_after(self.spec, header)

    # --- private

    def _ancestors(self, header: Header) -> Ancestors:
        return Ancestors(header, self.header, self.canonical_hash)

    def _at_hand(self, block_hash: Hash32) -> Header | None:
        if block_hash == self.genesis.hash:
            return self.genesis
        provisional = self._follower.provisional
        if provisional is not None:
            for header in provisional.run:
                if header.hash == block_hash:
                    return header
        return self.chain.by_hash(block_hash)

    def _shown(self, number: BlockNumber) -> Header | None:
        provisional = self._follower.provisional
        if provisional is not None and provisional.head.number > self.chain.head.number:
            place = number - provisional.run[0].number
            if 0 <= place < len(provisional.run):
                return provisional.run[place]
        return self.chain.by_number(number)

    def _walk(self, number: BlockNumber) -> tuple[Header, int]:
        """An old header, by the links up to the lowest known hash above it."""
        provisional = self._follower.provisional
        if number <= self.chain.head.number:
            top, top_hash, total = self.chain.known_above(number)
        else:
            assert provisional is not None
            top, top_hash, total = provisional.run[0].number, provisional.run[0].hash, 0
        if top - number > BACKWARD_MAX:
            raise RequestError(
                f"block {number} lies {top - number} blocks below the lowest header known here ({top}); a"
                f" light client proves at most {BACKWARD_MAX}: ask an archive node, or use an older anchor"
            )
        while True:
            first = max(number, top - BATCH + 1)
            wanted = f"headers {first} to {top}"
            headers = self.upstreams.ask(wanted, partial(_linked, first, top, top_hash))
            for header in reversed(headers):
                if number <= self.chain.head.number:
                    # Below an attested head only what is still to be verified lies: it is not kept.
                    self._old.put(header.number, (header, total))
                if header.number == number:
                    return header, total
                total -= header.difficulty
            top, top_hash = first - 1, headers[0].parent_hash

    def _claimed_header(self, block_hash: Hash32) -> Header | None:
        for source in self.upstreams.live():
            try:
                found = self.upstreams.attempt(
                    source, f"header {hex_of(block_hash)}", lambda provider: provider.header(block_hash)
                )
            except (UpstreamFault, ChainError, RequestError):
                continue
            if found is not None:
                return found
        return None

    def _claimed_place(self, tx_hash: Hash32, provider: Provider) -> tuple[Header, int] | None:
        place = provider.place(tx_hash)
        if place is None:
            return None
        block_hash, index = place
        header = self.header(block_hash)
        if header is None:
            return None  # on a block that is not shown yet, or no more
        block = self._blocks.get(block_hash)
        if block is None:
            block = block_of(header, provider.transactions(header))
            self._blocks.put(block_hash, block)
        if index >= len(block.transactions) or block.transactions[index].hash != tx_hash:
            raise InvalidClaim(f"transaction {hex_of(tx_hash)} is not number {index} of block {header.ref}")
        return header, index


def _linked(first: BlockNumber, top: BlockNumber, top_hash: Hash32, provider: Provider) -> list[Header]:
    """Headers by number, if they lead to the one that is known."""
    headers = provider.headers(first, top - first + 1)
    verify_links(headers)
    if headers[-1].hash != top_hash:
        raise Withheld(f"header {top} is another one on its chain")
    return headers


def has_logs(header: Header) -> bool:
    """Whether a block can hold any log: a verified header's empty bloom proves that it holds none."""
    return header.logs_bloom != EMPTY_BLOOM
