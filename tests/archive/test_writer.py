"""The continuous writer: a directory, a real S3-compatible server, a real contract; nothing is lost."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from contracts.artifacts import load
from node.archive import log as merkle
from node.archive.anchor import Anchors, AuditLogCalls, call_data, log_name
from node.archive.blocks import import_files
from node.archive.errors import ArchiveFailed, BadFile
from node.archive.files import ArchiveDirectory
from node.archive.objects import ObjectStore
from node.archive.verify import verify_file
from node.archive.writer import ArchiveWriter
from node.config.settings import ArchiveSettings
from node.primitives.crypto import PrivateKey, keccak256
from node.primitives.errors import ConfigError
from node.primitives.ids import hex_of
from tests.archive.world import OPERATOR, World
from tests.chain.harness import ACCOUNTS, KEYS, ChainMaker, make_spec, sign
from tests.contracts.trees import log_tree
from tests.rpc.node import running_node

SETTINGS: dict[str, Any] = {"blocks_per_file": 16, "final_depth_blocks": 6, "poll_s": 0.01}
WAIT_S = 60.0


@asynccontextmanager
async def writing(world: World, folder: Path, **options: Any) -> AsyncIterator[ArchiveWriter]:
    """A writer at work; it is killed at the end, wherever it stands."""
    store, anchors = options.pop("store", None), options.pop("anchors", None)
    settings = ArchiveSettings(**(SETTINGS | options))
    writer = ArchiveWriter(
        world.history, ArchiveDirectory(folder), OPERATOR, settings, store=store, anchors=anchors
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        yield writer
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(WAIT_S):
        while not condition():  # noqa: ASYNC110 - the writer tells nobody
            await trio.sleep(0.005)


def eras(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.era1"))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}


async def test_a_file_is_written_once_its_blocks_are_final(tmp_path: Path) -> None:
    world = World(20)
    async with writing(world, tmp_path) as writer:
        assert not await writer._write_next()  # block 15 has five blocks on it
        assert writer.statistics.files == 0
        world.extend(1)
        await until(lambda: writer.statistics.files == 1)
        world.extend(40)
        await until(lambda: writer.statistics.files == 3)
        assert writer.statistics.last_block == 47
    files = ArchiveDirectory(tmp_path).files()
    assert [f.manifest.first.number for f in files] == [0, 16, 32]
    before = None
    for file in files:
        assert file.signed.signer == OPERATOR.address
        before = verify_file(file.manifest, file.content(), spec=world.spec, before=before).link


async def test_many_signers_make_more_blocks_necessary(tmp_path: Path) -> None:
    world = World(16, signers=7)
    async with writing(world, tmp_path, final_depth_blocks=1) as writer:
        assert not await writer._write_next()
        assert writer.statistics.files == 0
        world.extend(6)
        await until(lambda: writer.statistics.files == 1)


class Crash(BaseException):
    """The power is gone."""


@pytest.mark.parametrize("at", range(1, 14, 2))
async def test_a_writer_that_dies_at_any_step_goes_on_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    world = World(40)
    count = [0]

    def crashing(deed: Callable) -> Callable:
        def run(*args: Any, **options: Any) -> Any:
            count[0] += 1
            if count[0] == at:
                raise Crash
            return deed(*args, **options)

        return run

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", crashing(os.fsync))
        patched.setattr(Path, "rename", crashing(Path.rename))
        with pytest.raises(BaseExceptionGroup):
            async with writing(world, tmp_path):
                await trio.sleep_forever()
    async with writing(world, tmp_path) as writer:
        await until(lambda: writer.statistics.files == 2)
    assert eras(tmp_path) == [file.path for file in ArchiveDirectory(tmp_path).files()]
    chain = world.maker.open()
    await import_files(ArchiveDirectory(tmp_path).files(), chain.importer, chain.reader)
    assert chain.reader.head.hash == world.reader.canonical_hash(31)


async def test_a_reorganisation_below_a_finished_file_is_told_and_nothing_is_overwritten(
    tmp_path: Path,
) -> None:
    world = World(24, signers=1)
    async with writing(world, tmp_path) as writer:
        await until(lambda: writer.statistics.files == 1)
        kept = eras(tmp_path)[0].read_bytes()
        fork = world.reader.header_by_number(10)
        for _ in range(20):
            fork = world.maker.make(fork, [], vanity=b"rival", delay_s=1).header
        await until(lambda: writer.problem)
        assert "holds blocks that the chain has left" in writer.problem
        assert eras(tmp_path)[0].read_bytes() == kept


async def test_the_directory_of_another_chain_is_left_alone(tmp_path: Path) -> None:
    World(40, signers=1).export(tmp_path)
    before = contents(tmp_path)
    async with writing(World(40), tmp_path) as writer:
        await until(lambda: writer.problem)
        assert "of another chain" in writer.problem
    assert contents(tmp_path) == before


async def test_a_full_disk_is_told_and_waited_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(24)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    async with writing(world, tmp_path) as writer:
        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", full)
            await until(lambda: writer.problem)
            assert "writing files: [Errno 28] No space left" in writer.problem
        await until(lambda: writer.statistics.files == 1)
        await until(lambda: not writer.problem)
        assert writer.statistics.failures > 0


# --- an S3-compatible store


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A real server of moto's on a free port, and settings that lead there."""
    server_module = pytest.importorskip("moto.server", reason="moto is not installed")
    pytest.importorskip("boto3", reason="boto3 is not installed")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    credentials = tmp_path / "credentials"
    credentials.write_text("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
    credentials.chmod(0o600)
    host, port = server.get_host_and_port()
    options = {
        # The server's memory outlives it in this process.
        "s3_bucket": "b" + keccak256(bytes(tmp_path)).hex()[:20],
        "s3_endpoint": f"http://{host}:{port}",
        "s3_prefix": "region-1/",
        "s3_credentials": credentials,
    }
    yield options
    server.stop()


@contextmanager
def open_store(options: dict[str, Any]) -> Iterator[ObjectStore]:
    with closing(ObjectStore(ArchiveSettings(**(SETTINGS | options)))) as store:
        yield store


def make_bucket(store: ObjectStore) -> None:
    store._client.create_bucket(Bucket=store._bucket)


async def test_finished_files_are_put_into_the_store_and_a_node_is_made_of_them(
    tmp_path: Path, s3: dict[str, Any]
) -> None:
    world = World(60)
    opened = ExitStack()
    store = opened.enter_context(open_store(s3))
    make_bucket(store)
    async with writing(world, tmp_path / "one", store=store) as writer:
        await until(lambda: writer.statistics.stored == 3)
    files = ArchiveDirectory(tmp_path / "one").files()
    assert store.names() == {path.name for f in files for path in (f.path, f.manifest_path)}
    fetched = list(store.fetch(ArchiveDirectory(tmp_path / "two")))
    assert [f.path.read_bytes() for f in fetched] == [f.path.read_bytes() for f in files]
    chain = world.maker.open()
    await import_files(fetched, chain.importer, chain.reader)
    assert chain.reader.head.hash == world.reader.canonical_hash(47)
    # Another writer on the same bucket has nothing to do; a lost object is put again.
    store._client.delete_object(Bucket=store._bucket, Key="region-1/" + files[1].manifest_path.name)
    async with writing(world, tmp_path / "one", store=store) as writer:
        await until(lambda: writer.statistics.stored == 3)
    assert files[1].manifest_path.name in store.names()
    opened.close()


async def test_a_store_that_fails_holds_up_no_file_and_is_tried_again(
    tmp_path: Path, s3: dict[str, Any]
) -> None:
    world = World(40)
    with open_store(s3) as store:
        await _fail_and_recover(world, tmp_path / "one", store)


async def _fail_and_recover(world: World, folder: Path, store: ObjectStore) -> None:
    async with writing(world, folder, store=store) as writer:
        await until(lambda: writer.statistics.files == 2)
        await until(lambda: "storing files" in writer.problems)
        assert "NoSuchBucket" in writer.problems["storing files"]
        await trio.to_thread.run_sync(make_bucket, store)
        await until(lambda: writer.statistics.stored == 2)
        await until(lambda: not writer.problem)


def test_a_file_altered_in_the_store_is_found_out(tmp_path: Path, s3: dict[str, Any]) -> None:
    world = World(20)
    (file, *_) = world.export(tmp_path / "one", last=15)
    content = bytearray(file.path.read_bytes())
    content[100] ^= 1
    with open_store(s3) as store:
        make_bucket(store)
        store.put_archived(file)
        key = "region-1/" + file.path.name
        store._client.put_object(Bucket=store._bucket, Key=key, Body=bytes(content))
        (fetched,) = store.fetch(ArchiveDirectory(tmp_path / "two"))
    with pytest.raises(BadFile, match="has SHA-256"):
        verify_file(fetched.manifest, fetched.content())


def test_credentials_that_others_can_read_are_refused_and_never_shown(tmp_path: Path) -> None:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    path = tmp_path / "credentials"
    path.write_text("[default]\naws_secret_access_key: topsecret\n topsecret\n")
    options = {"s3_bucket": "ledger", "s3_credentials": path}
    with pytest.raises(ConfigError, match="others can read it"):
        ObjectStore(ArchiveSettings(**options))
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"has no \[default\]") as refused:
        ObjectStore(ArchiveSettings(**options))
    assert "topsecret" not in str(refused.value)


# --- anchors on a chain

AUDIT_LOG = "0x" + "ad" * 20
AUTHORITY = "0x" + "a0" * 20
# Answers every question of an AccessManaged contract with (true, 0).
ALLOWS_ALL = "0x600160005260406000f3"
AUTHORITY_SLOT = "0xf3177357ab46d8af007ab3fdb9af81da189e1068fefdc0073dca88a2cab40a00"
WRITER = PrivateKey(bytes(ACCOUNTS[3].key))


def chain_with_audit_log() -> ChainMaker:
    code = hex_of(load("AuditLog").deployed_bytecode)
    storage = {AUTHORITY_SLOT: "0x" + AUTHORITY[2:].rjust(64, "0")}
    alloc = {
        AUDIT_LOG: {"balance": "0x0", "code": code, "storage": storage},
        AUTHORITY: {"balance": "0x0", "code": ALLOWS_ALL},
    }
    return ChainMaker(make_spec(KEYS[:1], alloc=alloc))


def held_by_chain(url: str, log: bytes, number: int) -> tuple[int, bytes]:
    with AuditLogCalls(url, AUDIT_LOG) as calls:
        return calls.anchor_at(log, number)


async def test_every_finished_file_is_anchored_in_order_with_a_proof_beside_it(tmp_path: Path) -> None:
    world = World(60)
    async with running_node(chain_with_audit_log(), sealing=True) as node:
        url = f"http://127.0.0.1:{node.place.port}"
        anchors = Anchors(url, lambda: AUDIT_LOG, WRITER)
        async with writing(world, tmp_path, anchors=anchors) as writer:
            await until(lambda: "anchoring files" in writer.problems)
            assert f"openLog({hex_of(anchors.log)}, {hex_of(WRITER.address)})" in writer.problem
            opening = call_data("openLog(bytes32,address)", log_name(WRITER.address), WRITER.address)
            tx = sign(ACCOUNTS[4], nonce=0, to=bytes.fromhex(AUDIT_LOG[2:]), data=opening, gas=200_000)
            await node.seal(tx)
            await until(lambda: writer.statistics.anchored == 3)
            await until(lambda: not writer.problem)
        files = ArchiveDirectory(tmp_path).files()
        entries = [bytes(file.manifest.sha256) for file in files]
        for number, file in enumerate(files):
            held = await trio.to_thread.run_sync(held_by_chain, url, anchors.log, number)
            assert held == (number + 1, log_tree(entries[: number + 1]).root())
            beside = file.read_anchor()
            assert (beside["anchor"], beside["contract"]) == (number, AUDIT_LOG)
            proof = [bytes.fromhex(each[2:]) for each in beside["proof"]]
            assert merkle.includes(held[1], number + 1, entries[number], number, proof)
        # Files that were altered afterwards are not those that the chain knows.
        with pytest.raises(ArchiveFailed, match="files were altered, or another archive writes to this log"):
            await trio.to_thread.run_sync(anchors.check, list(reversed(files)), 1)


def test_the_log_tree_is_the_contracts_tree() -> None:
    entries = [bytes([n]) * 32 for n in range(13)]
    for size in range(1, 14):
        reference = log_tree(entries[:size])
        assert merkle.root(entries[:size]) == reference.root()
        for index in range(size):
            proof = merkle.inclusion(entries[:size], index)
            assert proof == reference.path(index)
            assert merkle.includes(merkle.root(entries[:size]), size, entries[index], index, proof)
            assert not merkle.includes(merkle.root(entries[:size]), size, entries[index], index ^ 1, proof)
            assert not merkle.includes(merkle.root(entries[:size]), size, b"\xff" * 32, index, proof)
        for old in range(size):
            assert merkle.consistency(entries[:size], old) == reference.consistency(old)


async def test_an_anchor_that_cannot_be_placed_is_told_with_what_is_missing(tmp_path: Path) -> None:
    world = World(24)

    def unknown() -> str:
        raise ArchiveFailed("contracts.json does not say where AuditLog is")

    async with writing(world, tmp_path, anchors=Anchors("http://127.0.0.1:1", unknown, WRITER)) as writer:
        await until(lambda: writer.statistics.files == 1)
        await until(lambda: "does not say where AuditLog is" in (writer.problem or ""))
    anchors = Anchors("http://127.0.0.1:1", lambda: AUDIT_LOG, WRITER)
    async with writing(world, tmp_path, anchors=anchors) as writer:
        await until(lambda: "AuditLog through http://127.0.0.1:1" in (writer.problem or ""))
