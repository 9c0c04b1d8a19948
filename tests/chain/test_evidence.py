"""The door sees who seals twice at one height, and the book keeps the proof."""

import logging

import pytest

from consensus.clique.evidence import Equivocation
from consensus.clique.extra_data import seal_hash, sealed
from consensus.errors import InvalidSeal
from node.chain import evidence
from node.chain.evidence import EvidenceBook
from node.primitives.block import Block
from node.primitives.crypto import PrivateKey
from node.storage.memory import MemoryKV
from tests.chain.harness import KEYS, ChainMaker, make_spec


class Stage:
    """A chain of three signers with the book at its door."""

    def __init__(self) -> None:
        self.kv = MemoryKV()
        self.maker = ChainMaker(make_spec(KEYS[:3]), kv=self.kv)
        self.book = EvidenceBook(self.kv, self.maker.reader, unix_time=lambda: 1_800_000_000.5)
        self.passed_on: list[Equivocation] = []
        self.book.pass_on = self.passed_on.append
        self.maker.chain.importer.watch = self.book

    async def take(self, *blocks: Block) -> None:
        for block in blocks:
            await self.maker.chain.importer.import_block(block)

    def twins(self) -> tuple[Block, Block]:
        """Two blocks of one signer on the head."""
        head = self.maker.head
        return self.maker.unimported(head), self.maker.unimported(head, vanity=b"another")


async def test_who_seals_twice_at_one_height_is_found_stored_told_and_passed_on_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    await stage.take(stage.maker.unimported(stage.maker.head))
    assert stage.book.count == 0
    one, other = stage.twins()
    await stage.take(one, other)
    (proof,) = stage.passed_on
    assert {proof.first, proof.second} == {one.header, other.header}
    (row,) = stage.book.entries()
    assert (row.signer, row.number, row.seen_s) == (proof.signer, 2, 1_800_000_000)
    assert {row.first, row.second} == {one.header, other.header}
    (line,) = [line for line in caplog.records if line.levelno == logging.CRITICAL]
    assert "sealed twice at one height" in line.message
    third = stage.maker.unimported(stage.maker.reader.header(one.header.parent_hash), vanity=b"third")  # type: ignore[arg-type]
    await stage.take(third)
    assert len(stage.passed_on) == 1, "one proof per signer and height"
    assert EvidenceBook(stage.kv, stage.maker.reader).count == 1, "and it is there after a restart"


async def test_two_signers_at_one_height_are_an_ordinary_fork() -> None:
    stage = Stage()
    state = stage.maker.reader.engine_state(stage.maker.head.hash)
    for key in KEYS[:3]:
        if key.address in state.signers and state.last_signed(key.address) is None:
            await stage.take(stage.maker.unimported(stage.maker.reader.genesis, signer=key))
    assert stage.book.count == 0


def resealed(block: Block, key: PrivateKey) -> Block:
    return Block(sealed(block.header, key.sign(seal_hash(block.header))), block.body)


def test_evidence_from_a_peer_is_judged_by_itself() -> None:
    stage = Stage()
    one, other = (block.header for block in stage.twins())
    proof = stage.book.take(one, other)
    assert proof is not None
    assert stage.book.take(other, one) is None, "known already"
    with pytest.raises(InvalidSeal):
        stage.book.take(one, one)


def test_who_is_no_signer_cannot_fill_the_book() -> None:
    stage = Stage()
    one, other = (resealed(block, KEYS[5]).header for block in stage.twins())
    assert stage.book.take(one, other) is None
    assert stage.book.count == 0


def test_the_book_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "PER_SIGNER_MAX", 2)
    stage = Stage()
    for _ in range(4):
        for key in KEYS[:1]:
            one, other = (resealed(block, key).header for block in stage.twins())
            stage.book.take(one, other)
        stage.maker.extend()
    assert stage.book.count == 2
