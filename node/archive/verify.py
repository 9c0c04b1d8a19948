"""Proves one file: it is the one its manifest describes, its blocks hold together, and they are sealed.

What follows from what: each header names its parent's hash, so the hash of the last block fixes every header;
a header's roots fix body and receipts; the accumulator fixes hashes and total difficulties. The hash of the
last block is then compared with a chain or with a hash that the reader trusts (`node.archive.witness`). Seals
are proved besides, by Clique's rules, from the signers of block 0, of the file before, or of the manifest.

Pure. The first thing that does not hold is raised as BadFile, with the block and the numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from consensus.clique.rules import CliqueRules
from consensus.clique.snapshot import CliqueSnapshot
from consensus.headers import verify_header
from node.archive.era1 import EraBlock, EraFile, Record, accumulator
from node.archive.errors import BadFile
from node.archive.manifest import Manifest
from node.chain.validation import receipts_root, transactions_root
from node.primitives import rlp
from node.primitives.block import EMPTY_OMMERS_HASH, Block, BlockRef, Body, Header, decode_body, decode_header
from node.primitives.chain_spec import ChainSpec
from node.primitives.errors import ChainError
from node.primitives.ids import Hash32, hex_of
from node.primitives.receipt import Receipt, decode_receipt_item, merge_blooms

Progress = Callable[[int, int], None]
"""Blocks done, blocks in all."""

RECEIPT_BYTES_MIN: Final = 260
"""A receipt holds a bloom of 256 bytes."""


@dataclass(frozen=True, slots=True)
class Link:
    """Where a file begins: the block before it and what Clique knew then."""

    header: Header
    clique: CliqueSnapshot
    total_difficulty: int


@dataclass(frozen=True, slots=True)
class Verified:
    """What a file proved of itself."""

    manifest: Manifest
    hashes: tuple[Hash32, ...]
    """Of its blocks, in order."""
    link: Link
    """After its last block: where the next file begins."""
    full_rules: bool
    """Gas limits, base fees and times were checked too; that takes the chain's spec."""


def verify_file(
    manifest: Manifest,
    content: memoryview,
    *,
    spec: ChainSpec | None = None,
    before: Link | None = None,
    progress: Progress = lambda done, total: None,
) -> Verified:
    """Prove a file against its manifest; `before` is where the file before it ended, `spec` the genesis file.

    BadFile says what does not hold.
    """
    check_bytes(manifest, content)
    if before is not None:
        _check_follows(manifest, before)
    era = EraFile(content)
    if (era.first, len(era)) != (manifest.first.number, manifest.blocks):
        raise BadFile(
            f"holds {len(era)} blocks from #{era.first}, where the manifest says {manifest.blocks} from "
            f"{manifest.first}"
        )
    walk = _Walk(manifest, spec, before)
    for done, stored in enumerate(era.blocks(), start=1):
        walk.step(stored)
        progress(done, len(era))
    return walk.finish(era.accumulator)


def decode_block_of(stored: EraBlock) -> tuple[Block, tuple[Receipt, ...]]:
    """Block and receipts; BadFile when they cannot be read or have other roots than the header states."""
    try:
        header, body = decode_header(stored.header), decode_body(stored.body)
        items = rlp.split_list(stored.receipts, len(stored.receipts) // RECEIPT_BYTES_MIN)
        receipts = tuple(map(decode_receipt_item, items))
    except ChainError as error:
        raise BadFile(f"a block cannot be read: {error}") from error
    _check_roots(header, body, receipts)
    return Block(header, body), receipts


class _Walk:
    """Goes over the blocks of one file and remembers what the next needs."""

    def __init__(self, manifest: Manifest, spec: ChainSpec | None, before: Link | None) -> None:
        self._manifest = manifest
        self._spec = spec
        self._rules = CliqueRules(manifest.engine)
        self._header = manifest.parent
        self._clique = manifest.clique
        self._difficulty = None if before is None else before.total_difficulty
        self._records: list[Record] = []
        self._transactions = 0
        if manifest.parent is not None and manifest.parent.number != manifest.first.number - 1:
            raise BadFile("the manifest's parent header is not that of the block before the first")
        if manifest.clique is not None and manifest.clique.number != manifest.first.number - 1:
            raise BadFile("the manifest's Clique state is not that of the block before the first")

    def step(self, stored: EraBlock) -> None:
        place = self._manifest.first.number + len(self._records)
        try:
            block, _ = decode_block_of(stored)
            self._check_header(block.header, place)
            self._check_difficulty(block.header, stored.total_difficulty)
        except ChainError as error:
            raise BadFile(f"block #{place}: {error}") from error
        self._header = block.header
        self._difficulty = stored.total_difficulty
        self._records.append(Record(block.hash, stored.total_difficulty))
        self._transactions += len(block.transactions)

    def finish(self, stated: Hash32) -> Verified:
        manifest, header = self._manifest, self._header
        assert header is not None
        assert self._clique is not None
        assert self._difficulty is not None
        root = accumulator(self._records)
        if stated != root:
            raise BadFile(f"states accumulator {hex_of(stated)}, but its blocks give {hex_of(root)}")
        first = BlockRef(manifest.first.number, self._records[0].block_hash)
        claims = (
            ("accumulator", hex_of(manifest.accumulator), hex_of(root)),
            ("first block", _shown(manifest.first), _shown(first)),
            ("last block", _shown(manifest.last), _shown(header.ref)),
            ("state root", hex_of(manifest.state_root), hex_of(header.state_root)),
            ("total difficulty", str(manifest.total_difficulty), str(self._difficulty)),
            ("transactions", str(manifest.transactions), str(self._transactions)),
        )
        for what, said, is_so in claims:
            if said != is_so:
                raise BadFile(f"the manifest says {what} {said}, but the file holds {is_so}")
        hashes = tuple(record.block_hash for record in self._records)
        link = Link(header, self._clique, self._difficulty)
        return Verified(manifest, hashes, link, self._spec is not None)

    def _check_header(self, header: Header, place: int) -> None:
        if header.number != place:
            raise BadFile(f"its header has number {header.number}")
        if self._header is None or self._clique is None:
            if header.hash != self._manifest.genesis:
                genesis = hex_of(self._manifest.genesis)
                raise BadFile(f"hash {hex_of(header.hash)}, where the chain begins with {genesis}")
            self._clique = self._rules.initial(header)
            return
        if header.parent_hash != self._header.hash:
            raise BadFile(
                f"its parent is {hex_of(header.parent_hash)}, but the block before it is "
                f"{hex_of(self._header.hash)}"
            )
        if self._spec is not None:
            verify_header(self._spec, self._header, header)
        self._clique = self._rules.advance(self._clique, self._header, header)

    def _check_difficulty(self, header: Header, stated: int) -> None:
        # Where a file stands alone, the first one is its manifest's word, and the last one is compared.
        expected = stated if self._difficulty is None else self._difficulty + header.difficulty
        if header.number == 0:
            expected = header.difficulty
        if stated != expected:
            raise BadFile(f"total difficulty {stated}, where the blocks before it give {expected}")


def check_bytes(manifest: Manifest, content: memoryview) -> None:
    """BadFile unless size and SHA-256 are the manifest's."""
    if len(content) != manifest.size_bytes:
        raise BadFile(f"has {len(content)} bytes, where its manifest says {manifest.size_bytes}")
    found = sha256(content).digest()
    if found != manifest.sha256:
        raise BadFile(f"has SHA-256 {found.hex()}, where its manifest says {manifest.sha256.hex()}")


def _check_follows(manifest: Manifest, before: Link) -> None:
    """The manifest begins where the file before it ended."""
    if manifest.parent is None or manifest.parent.hash != before.header.hash:
        raise BadFile(
            f"its first block is {manifest.first}, which does not follow {before.header.ref}, where the file "
            "before it ends"
        )
    if manifest.clique != before.clique:
        raise BadFile("the manifest's Clique state is not the one that the file before it ends with")


def _check_roots(header: Header, body: Body, receipts: tuple[Receipt, ...]) -> None:
    if body.ommers or header.ommers_hash != EMPTY_OMMERS_HASH:
        raise BadFile("has ommers; blocks have none here")
    found = transactions_root(body.transactions)
    if found != header.transactions_root:
        raise BadFile(
            f"its transactions have root {hex_of(found)}, its header says {hex_of(header.transactions_root)}"
        )
    found = receipts_root(receipts)
    if found != header.receipts_root:
        raise BadFile(
            f"its receipts have root {hex_of(found)}, its header says {hex_of(header.receipts_root)}"
        )
    if merge_blooms(receipt.bloom for receipt in receipts) != header.logs_bloom:
        raise BadFile("its receipts have another logs bloom than its header")
    gas = receipts[-1].cumulative_gas_used if receipts else 0
    if gas != header.gas_used and header.number:
        raise BadFile(f"its receipts used {gas} gas, its header says {header.gas_used}")


def _shown(ref: BlockRef) -> str:
    return f"#{ref.number} {hex_of(ref.hash)}"
