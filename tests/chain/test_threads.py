"""Readers on other threads, while blocks come in and the chain reorganises on a real database."""

import threading
from pathlib import Path

import trio

from node.chain.opening import Chain
from node.config.settings import StorageSettings
from node.primitives.ids import Address, Hash32
from node.state.store import StateUnavailable
from node.storage.leveldb import LevelDB
from tests.chain.harness import ACCOUNTS, ChainMaker, transfer
from tests.chain.test_branches import SIGNERS, TOTAL_ORDER, Fork, make_spec

SENDER = Address(bytes.fromhex(ACCOUNTS[0].address[2:]))


class Watcher(threading.Thread):
    """Looks at the head again and again; what it sees must be of one block."""

    def __init__(self, chain: Chain, nonces: dict[Hash32, int]) -> None:
        super().__init__()
        self.looks = 0
        self.wrong: list[str] = []
        self.ended = False
        self._chain = chain
        self._nonces = nonces

    def run(self) -> None:
        while not self.ended:
            try:
                self._look()
            except StateUnavailable:
                continue  # the head's state moved on, or is being executed again
            except Exception as error:
                self.wrong.append(repr(error))
                return

    def _look(self) -> None:
        reader = self._chain.reader
        head = reader.head
        account = reader.state_at(head.hash).account(SENDER)
        seen = 0 if account is None else account.nonce
        if seen != self._nonces[head.hash]:
            self.wrong.append(f"nonce {seen} after {head.ref}")
        if reader.block(head.hash) is None or reader.receipts(head.hash) is None:
            self.wrong.append(f"{head.ref} is the head, and parts of it are missing")
        if reader.ancestors(head)(max(0, head.number - 3)) is None:
            self.wrong.append(f"{head.ref} has no ancestor three blocks back")
        self.looks += 1


async def test_a_reader_never_sees_half_a_block(tmp_path: Path) -> None:
    maker = ChainMaker(make_spec(SIGNERS, **TOTAL_ORDER))
    nonces = {maker.reader.genesis.hash: 0}
    blocks = []
    for number in range(60):
        blocks.append(maker.extend([transfer(ACCOUNTS[0], number)]))
        nonces[blocks[-1].hash] = number + 1
    kv = LevelDB.open(tmp_path / "db", StorageSettings())
    chain = maker.open(kv, StorageSettings(state_layers_max=2, history_blocks=20))
    watchers = [Watcher(chain, nonces) for _ in range(2)]
    for watcher in watchers:
        watcher.start()
    for block in blocks:
        await chain.importer.import_block(block)
    for watcher in watchers:
        watcher.ended = True
        await trio.to_thread.run_sync(watcher.join)
    assert [watcher.wrong for watcher in watchers] == [[], []]
    assert all(watcher.looks > 0 for watcher in watchers)
    await chain.importer.close()
    kv.close()


async def test_the_door_works_on_a_real_database_and_survives_being_opened_again(tmp_path: Path) -> None:
    fork = Fork(4, 5, 6)
    settings = StorageSettings(state_layers_max=1)
    for blocks in (fork.stem, fork.mine, fork.theirs):
        kv = LevelDB.open(tmp_path / "db", settings)
        chain = fork.maker.open(kv, settings)
        for block in blocks:
            await chain.importer.import_block(block)
        await chain.importer.close()
        kv.close()
    kv = LevelDB.open(tmp_path / "db", settings)
    assert fork.maker.open(kv, settings).reader.head == fork.theirs[-1].header
    kv.close()
