"""Disaster rehearsed: a node made from archived files alone catches up and is the same again."""

from functools import partial
from pathlib import Path

import pytest
import trio

from node.app.run import run_node
from node.archive.witness import RpcWitness
from node.cli.entry import main
from node.config.settings import ArchiveSettings, P2PSettings, RpcSettings, Settings, StorageSettings
from node.primitives.crypto import PrivateKey, keccak256
from node.primitives.ids import hex_of
from node.storage.blocks import read_head
from node.storage.leveldb import LevelDB
from tests.archive.test_command import Site
from tests.ports import free_port

pytestmark = pytest.mark.long(20)

PEER = PrivateKey(keccak256(b"the node that survived"))
WAIT_S = 120.0


def settings_of(site: Site, data: Path, key: Path, p2p: int, rpc: int, peers: tuple[str, ...]) -> Settings:
    return Settings(
        data_dir=data,
        genesis=site.genesis,
        role="archive",
        node_key=key,
        storage=StorageSettings(history_blocks=0),
        archive=ArchiveSettings(blocks_per_file=16, final_depth_blocks=4, poll_s=0.1),
        p2p=P2PSettings(host="127.0.0.1", port=p2p, static_peers=peers),
        rpc=RpcSettings(port=rpc),
    )


def key_file(folder: Path, name: str, key: PrivateKey) -> Path:
    path = folder / name
    path.write_text(key.secret_bytes().hex())
    path.chmod(0o600)
    return path


def eras(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.era1")}


async def until_head(url: str, number: int) -> None:
    witness = RpcWitness(url)
    with trio.fail_after(WAIT_S):
        while await trio.to_thread.run_sync(witness.head) < number:  # noqa: ASYNC110 - another node's head
            await trio.sleep(0.05)
    witness.close()


async def test_a_node_rebuilt_from_files_catches_up_live_and_matches(tmp_path: Path) -> None:
    site = Site(tmp_path)
    exported = ["export", *site.node, "--out", str(site.files), "--key", str(site.key), "--last", "31"]
    command = ["archive", *exported, "--blocks-per-file", "16"]
    assert await trio.to_thread.run_sync(main, command) == 0
    restored = tmp_path / "restored"
    into = ["archive", "import", "--genesis", str(site.genesis), "--data-dir", str(restored)]
    assert await trio.to_thread.run_sync(main, [*into, str(site.files)]) == 0
    p2p, rpc, other_p2p, other_rpc = (free_port() for _ in range(4))
    survivor = key_file(tmp_path, "survivor", PEER)
    newcomer = key_file(tmp_path, "newcomer", PrivateKey(keccak256(b"the node that was lost")))
    enode = f"enode://{PEER.public_key.hex()}@127.0.0.1:{p2p}"
    one = settings_of(site, site.data, survivor, p2p, rpc, ())
    other = settings_of(site, restored, newcomer, other_p2p, other_rpc, (enode,))
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(run_node, one))
        await nursery.start(partial(run_node, other))
        await until_head(f"http://127.0.0.1:{other_rpc}", 40)
        with trio.fail_after(WAIT_S):
            while len(eras(restored / "archive")) < 2:  # noqa: ASYNC110 - the other node's writer
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    kv = LevelDB.open(restored / "database", StorageSettings())
    head = read_head(kv)
    assert head is not None
    assert (head.number, hex_of(head.hash)) == (40, site.hashes[40])
    kv.close()
    # And its own archive is byte for byte what was rescued, and goes on.
    assert eras(restored / "archive") == eras(site.files)
