"""A small chain with every kind of transaction, and its files."""

from pathlib import Path
from typing import Any, Final

from node.archive.blocks import History, export_blocks
from node.archive.files import ArchivedFile, ArchiveDirectory
from node.chain.genesis_json import parse_genesis
from node.config.settings import StorageSettings
from node.primitives.crypto import PrivateKey, keccak256
from node.storage.kv import KeyValue
from node.storage.memory import MemoryKV
from tests.chain.harness import (
    ACCOUNTS,
    CHAIN_ID,
    ETHER,
    GENESIS_TIME,
    GWEI,
    KEYS,
    PERIOD_S,
    ChainMaker,
    sign,
    transfer,
)

OPERATOR: Final = PrivateKey(keccak256(b"archive operator"))
BLOCKS_PER_FILE: Final = 16
# Init code that returns 18 bytes: keep the first word of the call data, log it, stop.
CONTRACT: Final = bytes.fromhex("6012600c60003960126000f3" + "60003560005560003560005260206000a000")


def genesis_of(signers: int, epoch: int) -> dict[str, Any]:
    """A genesis.json with the accounts of tests.chain.harness."""
    listed = b"".join(key.address for key in KEYS[:signers])
    return {
        "config": {"chainId": CHAIN_ID, "clique": {"period": PERIOD_S, "epoch": epoch}},
        "timestamp": GENESIS_TIME,
        "extraData": (bytes(32) + listed + bytes(65)).hex(),
        "gasLimit": 30_000_000,
        "difficulty": 1,
        "alloc": {account.address: {"balance": str(1000 * ETHER)} for account in ACCOUNTS},
    }


class World:
    """A chain of three signers, on a database of its own."""

    def __init__(
        self, blocks: int = 40, *, signers: int = 3, epoch: int = 12, kv: KeyValue | None = None
    ) -> None:
        self.kv = kv or MemoryKV()
        self.genesis = genesis_of(signers, epoch)
        whole = StorageSettings(history_blocks=0)
        self.maker = ChainMaker(parse_genesis(self.genesis), kv=self.kv, settings=whole)
        self.spec = self.maker.spec
        self.reader = self.maker.reader
        self._nonces = [0] * len(ACCOUNTS)
        self.contract = b""
        self.extend(blocks)

    @property
    def history(self) -> History:
        return History(self.kv, self.spec)

    def extend(self, blocks: int) -> None:
        """Go on: every third block is empty, the others hold legacy, typed and reverting transactions."""
        for _ in range(blocks):
            number = self.maker.head.number + 1
            self.maker.extend([] if number % 3 == 0 else self._work(number))

    def export(self, folder: Path, first: int = 0, last: int | None = None) -> list[ArchivedFile]:
        last = self.reader.head.number if last is None else last
        return export_blocks(
            self.history,
            ArchiveDirectory(folder),
            OPERATOR,
            first=first,
            last=last,
            blocks_per_file=BLOCKS_PER_FILE,
        )

    def _work(self, number: int) -> list:
        made = [transfer(ACCOUNTS[0], self._next(0), value=number)]
        if not self.contract:
            tx = sign(ACCOUNTS[1], nonce=self._next(1), gas=200_000, data=CONTRACT)
            self.contract = keccak256(b"\xd6\x94" + tx.sender + b"\x80")[12:]
            return [*made, tx]
        data = number.to_bytes(32, "big")
        made.append(sign(ACCOUNTS[1], nonce=self._next(1), gas=100_000, to=self.contract, data=data))
        made.append(
            sign(ACCOUNTS[2], nonce=self._next(2), gasPrice=100 * GWEI, gas=21_000, to=bytes(19) + b"\x77")
        )
        return made

    def _next(self, place: int) -> int:
        self._nonces[place] += 1
        return self._nonces[place] - 1
