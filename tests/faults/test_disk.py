"""A disk that is full or damaged: the node says which it is and stops with exit code 3; no guesses."""

import random
import resource
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devnet.client import RpcClient
from devnet.layout import Layout
from tests.faults.live import PATIENCE_S, Announcements, log_of, make_network, results, start
from tests.faults.traffic import Traffic

STORAGE_FAULT = 3
SMALL_DISK = "24m"
FILE_BYTES_MAX = 300_000
LEFT_BYTES = 400_000
"""Of a disk that is nearly full: some seconds of work."""


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A file system of SMALL_DISK in `place`."""
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("needs mount")
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def make_layout(folder: Path) -> Layout:
    """A validator that seals at once and keeps everything."""
    storage = {"history_blocks": 0, "state_layers_max": 3, "write_buffer_bytes": 65_536}
    return make_network(folder, period_s=0, production={"empty_blocks": False}, storage=storage)


def work_until_it_ends(layout: Layout, traffic: Traffic, fill: Path | None = None, **options: object) -> int:
    """One life under load; `fill`: a file that takes what is left of the disk. The exit code."""
    (node,) = layout.nodes
    life = start(node, **options)
    life.wait_answering()
    heads = Announcements(node)
    client = RpcClient(node.rpc_url, PATIENCE_S)
    traffic.read_nonces(client)
    client.close()
    if fill is not None:
        fill_up(fill)
    stop = threading.Event()
    worker = threading.Thread(target=traffic.flow, args=(stop, 0.005))
    worker.start()
    code = life.wait(60.0)
    stop.set()
    worker.join()
    heads.join()
    traffic.heard |= dict(heads.heads)
    assert code is not None
    return code


def fill_up(file: Path) -> None:
    """Write until the disk takes no more, then give LEFT_BYTES back."""
    with open(file, "wb", buffering=0) as out:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while out.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
        out.truncate(max(0, out.tell() - LEFT_BYTES))


def verify_nothing_lost(layout: Layout, traffic: Traffic) -> None:
    """Start again: all that was announced is there, all that was accepted is mined or waits."""
    (node,) = layout.nodes
    life = start(node)
    life.wait_answering()
    client = RpcClient(node.rpc_url, PATIENCE_S)
    heard = sorted(traffic.heard.items())
    assert heard, "the node announced nothing before it stopped"
    blocks = results(client, [("eth_getBlockByNumber", (hex(number), False)) for number, _ in heard])
    assert [block["hash"] for block in blocks] == [block_hash for _, block_hash in heard]
    accepted = sorted(traffic.accepted)
    assert None not in results(client, [("eth_getTransactionByHash", (each,)) for each in accepted])
    client.close()
    life.stop()


@pytest.mark.long
def test_a_full_disk_stops_the_node_and_space_brings_it_back(tmp_path: Path) -> None:
    with small_disk(tmp_path / "net"):
        layout = make_layout(tmp_path / "net")
        (node,) = layout.nodes
        traffic = Traffic(layout, node, random.Random(4))
        node.log.unlink(missing_ok=True)
        node.log.symlink_to(tmp_path / "node.log")  # what is said is not to be lost with the rest
        ballast = tmp_path / "net" / "ballast"
        # The journal or the database may be the first to meet the end of the disk: both, several times.
        for _ in range(3):
            assert work_until_it_ends(layout, traffic, ballast) == STORAGE_FAULT
            assert "No space left on device" in log_of(node)
            ballast.unlink()
            verify_nothing_lost(layout, traffic)


@pytest.mark.long
def test_a_file_that_may_not_grow_stops_the_node(tmp_path: Path) -> None:
    layout = make_layout(tmp_path)
    (node,) = layout.nodes
    traffic = Traffic(layout, node, random.Random(5))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))

    assert work_until_it_ends(layout, traffic, preexec_fn=limit) == STORAGE_FAULT
    assert "File too large" in log_of(node)
    verify_nothing_lost(layout, traffic)


@pytest.mark.parametrize("damage", ["CURRENT is missing", "the manifest is damaged"])
def test_a_damaged_database_is_named(tmp_path: Path, damage: str) -> None:
    layout = make_layout(tmp_path)
    (node,) = layout.nodes
    life = start(node)
    life.wait_answering()
    life.stop()
    (database,) = (file.parent for file in node.data_dir.glob("*/CURRENT") if "guard" not in str(file))
    if damage == "CURRENT is missing":
        (database / "CURRENT").unlink()
    else:
        manifest = next(database.glob("MANIFEST-*"))
        content = bytearray(manifest.read_bytes())
        content[len(content) // 2] ^= 0xFF
        manifest.write_bytes(content)
    life = start(node)
    assert life.wait(60.0) == STORAGE_FAULT
    assert str(database) in log_of(node)
