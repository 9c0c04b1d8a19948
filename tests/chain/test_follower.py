"""Who only reads never sees a block by halves, whatever the writer is in the middle of."""

from collections.abc import Callable

import pytest

from node.chain.events import HeadChanged
from node.chain.follower import TOLD_BLOCKS_MAX, ChainFollower
from node.config.settings import StorageSettings
from node.primitives.errors import StorageError
from node.primitives.ids import Hash32
from node.state.audit import audit
from node.storage.memory import MemoryKV
from tests.chain.harness import ACCOUNTS, ChainMaker, take
from tests.chain.test_branches import Fork

NO_LAYERS = StorageSettings(state_layers_max=0, history_blocks=0)


class Watched(MemoryKV):
    """Tells after every write: between two writes is all that another process can see."""

    watch: Callable[[], None] = staticmethod(lambda: None)

    def write(self, batch, *, sync):
        super().write(batch, sync=sync)
        self.watch()


def follower_of(kv: MemoryKV, maker: ChainMaker) -> ChainFollower:
    return ChainFollower(kv, maker.spec, maker.rules, NO_LAYERS)


def is_whole(follower: ChainFollower, maker: ChainMaker) -> None:
    """The head's state is the one that its maker has there, and the canonical chain leads to genesis."""
    reader, head = follower.reader, follower.reader.head
    view, same = reader.state_at(head.hash), maker.reader.state_at(head.hash)
    assert view.root == head.state_root
    for account in ACCOUNTS:
        address = bytes.fromhex(account.address[2:])
        assert view.account(address) == same.account(address)
    child = head
    assert reader.canonical_hash(head.number + 1) is None
    while child.number:
        assert reader.canonical_hash(child.number) == child.hash
        receipts, block = reader.receipts(child.hash), reader.block(child.hash)
        assert receipts is not None
        assert block is not None
        assert len(receipts) == len(block.transactions)
        for index, tx in enumerate(block.transactions):
            found = reader.transaction_location(tx.hash)
            assert found is not None
            assert (found.block_hash, found.index) == (child.hash, index)
        child = reader.header(child.parent_hash)


@pytest.mark.parametrize("at_once", [False, True], ids=["block by block", "as a run"])
def test_between_any_two_writes_of_a_reorganisation_there_is_a_whole_block(at_once: bool) -> None:
    fork = Fork(4, 5, 5)
    kv = Watched()
    writer = fork.maker.open(kv, NO_LAYERS)
    follower = follower_of(kv, fork.maker)
    events = follower.reader.events.subscribe(1_000)
    heads, looks, skipped = [follower.reader.head.hash], 0, 0

    def watch() -> None:
        nonlocal looks, skipped
        looks += 1
        if follower.look():
            heads.append(follower.reader.head.hash)
        elif follower.state.base.hash != writer.reader.head.hash:
            skipped += 1
        is_whole(follower, fork.maker)
        follower.tell()

    kv.watch = watch
    for run in (fork.stem, fork.mine, fork.theirs):
        for part in [run] if at_once else [[block] for block in run]:
            take(writer, part)
    assert follower.reader.head == writer.reader.head == fork.theirs[-1].header
    assert looks > len(heads), "the writer wrote between blocks, too"
    assert len(audit(kv).base.hash) == 32
    told: list[Hash32] = [follower.reader.genesis.hash]
    while events.statistics().current_buffer_used:
        change: HeadChanged = events.receive_nowait()
        for gone in change.removed:
            assert told.pop() == gone.block.hash
        for come in change.added:
            assert come.block.header.parent_hash == told[-1]
            assert len(come.receipts) == len(come.block.transactions)
            told.append(come.block.hash)
    assert told[-1] == follower.reader.head.hash


def test_an_old_view_stays_what_it_was_while_the_chain_moves_on() -> None:
    fork = Fork(4, 3, 4)
    kv = MemoryKV()
    writer = fork.maker.open(kv, NO_LAYERS)
    follower = follower_of(kv, fork.maker)
    take(writer, [*fork.stem, *fork.mine])
    assert follower.look()
    old, view = follower.reader.head, follower.reader.state_at(follower.reader.head.hash)
    take(writer, fork.theirs)
    assert follower.look()
    assert not follower.look(), "nothing new"
    same = fork.maker.reader.state_at(old.hash)
    for account in ACCOUNTS:
        address = bytes.fromhex(account.address[2:])
        assert view.account(address) == same.account(address)


def test_of_very_many_blocks_the_newest_are_told() -> None:
    maker = ChainMaker(settings=NO_LAYERS, kv=(kv := MemoryKV()))
    follower = follower_of(kv, maker)
    events = follower.reader.events.subscribe()
    blocks = maker.extend_by(TOLD_BLOCKS_MAX + 5)
    assert follower.look()
    follower.tell()
    follower.tell()
    change = events.receive_nowait()
    assert [each.block for each in change.added] == blocks[-TOLD_BLOCKS_MAX:]
    assert not events.statistics().current_buffer_used


def test_a_store_without_a_chain_is_refused() -> None:
    maker = ChainMaker()
    with pytest.raises(StorageError, match="the head None is missing"):
        follower_of(MemoryKV(), maker)
