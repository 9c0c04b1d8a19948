"""What a validator finds again after a restart."""

import pytest

from node.primitives.block import encode_block
from node.primitives.errors import StorageError
from node.primitives.ids import Address, Hash32
from node.production.recovery import last_signed, persist_proposals, standing_proposals
from node.signing.guard import SignRecord
from node.storage.memory import MemoryKV
from tests.chain.harness import ChainMaker

DIGEST = Hash32(bytes(32))


def test_proposals_come_back_as_they_were_persisted_last() -> None:
    kv = MemoryKV()
    assert standing_proposals(kv) == ()
    wanted = ((Address(b"\x01" * 20), True), (Address(b"\x02" * 20), False))
    persist_proposals(kv, wanted)
    assert standing_proposals(kv) == wanted
    persist_proposals(kv, ())
    assert standing_proposals(kv) == ()


def test_the_block_signed_last_comes_back_whole() -> None:
    maker = ChainMaker()
    block = maker.unimported(maker.head)
    record = SignRecord(1, 0, DIGEST, b"\x05" * 65, encode_block(block))
    again = last_signed(record)
    assert again is not None
    assert (again.block, again.signature) == (block, b"\x05" * 65)


def test_a_record_without_its_block_is_nothing_to_finish() -> None:
    assert last_signed(None) is None
    assert last_signed(SignRecord(1, 0, DIGEST, bytes(65))) is None


def test_a_damaged_record_stops_the_node_instead_of_being_guessed_at() -> None:
    with pytest.raises(StorageError, match="signed last cannot be read back"):
        last_signed(SignRecord(1, 0, DIGEST, bytes(65), b"rubbish"))
