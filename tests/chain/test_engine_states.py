"""What the engine knows after each block: remembered, on disk, or computed again; always the same."""

import pytest

from node.chain import engine_states as module
from node.chain.engine_states import EngineStates
from node.primitives.errors import StorageError
from node.storage.kv import Batch
from node.storage.locks import put_engine_state, read_engine_state
from node.storage.memory import MemoryKV
from tests.chain.harness import KEYS, ChainMaker, make_spec

SIGNERS = KEYS[:3]


def fresh(maker: ChainMaker, kv: MemoryKV) -> EngineStates:
    return EngineStates(maker.rules, kv, maker.reader.genesis, maker.spec.engine.epoch_blocks)


def test_a_state_computed_again_is_the_state_as_it_was() -> None:
    maker = ChainMaker(make_spec(SIGNERS))
    vote = (KEYS[5].address, True)
    for _ in range(20):
        maker.extend(vote=vote)
    expected = maker.reader.engine_state(maker.head.hash)
    assert KEYS[5].address in expected.signers
    assert fresh(maker, MemoryKV()).after(maker.head, maker.reader.header) == expected


def test_states_reach_the_disk_at_intervals_and_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STATE_INTERVAL_BLOCKS", 8)
    kv = MemoryKV()
    maker = ChainMaker(make_spec(SIGNERS, clique={"period": 2, "epoch": 5}), kv=kv)
    maker.extend_by(20)
    numbers = [
        number
        for number in range(21)
        if read_engine_state(kv, maker.reader.canonical_hash(number)) is not None
    ]
    assert numbers == [5, 8, 10, 15, 16, 20]


def test_headers_are_walked_only_back_to_the_nearest_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STATE_INTERVAL_BLOCKS", 8)
    kv = MemoryKV()
    maker = ChainMaker(make_spec(SIGNERS), kv=kv)
    maker.extend_by(20)
    asked: list[int] = []

    def header_of(block_hash: bytes) -> object:
        header = maker.reader.header(block_hash)
        asked.append(header.number)
        return header

    states = fresh(maker, kv)
    states.after(maker.head, header_of)
    assert asked == [19, 18, 17, 16]
    states.after(maker.head, header_of)
    assert len(asked) == 4, "and then it is remembered"


def test_branches_have_states_of_their_own() -> None:
    maker = ChainMaker(make_spec(SIGNERS))
    stem = maker.extend()
    one = maker.make(stem.header, signer=KEYS[2], vote=(KEYS[5].address, True))
    other = maker.make(stem.header, signer=KEYS[0], vote=(KEYS[6].address, True))
    states = fresh(maker, MemoryKV())
    after = [states.after(block.header, maker.reader.header) for block in (one, other)]
    assert [state.author for state in after] == [KEYS[2].address, KEYS[0].address]
    assert after[0].votes != after[1].votes


def test_a_damaged_or_missing_row_is_named() -> None:
    maker = ChainMaker(make_spec(SIGNERS))
    blocks = maker.extend_by(3)
    kv, batch = MemoryKV(), Batch()
    put_engine_state(batch, blocks[0].hash, b"rubbish")
    kv.write(batch, sync=True)
    with pytest.raises(StorageError, match=f"engine state of 0x{blocks[0].hash.hex()} cannot be read back"):
        fresh(maker, kv).after(maker.head, maker.reader.header)
    with pytest.raises(StorageError, match="is missing"):
        fresh(maker, MemoryKV()).after(maker.head, lambda block_hash: None)
