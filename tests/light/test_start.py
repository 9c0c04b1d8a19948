"""What a light client starts from: block 0, a checkpoint file, or the hash of an epoch's block."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from node.app.light import light_client
from node.config.settings import LightSettings
from node.light.checkpoint import encode_checkpoint
from node.light.client import LightClient
from node.light.json_rpc import JsonRpc
from node.light.prover import make_checkpoint
from node.light.provider import RpcProvider
from node.primitives.errors import ConfigError
from node.primitives.ids import hex_of
from tests.chain.harness import KEYS, ChainMaker, make_spec
from tests.light.conftest import SIGNERS, ask
from tests.rpc.node import running_node


async def start(maker: ChainMaker, folder: Path, url: str, **light: Any) -> LightClient:
    settings = LightSettings(upstreams=(url,), **light)
    client = await ask(partial(light_client, maker.spec, settings, folder))
    await ask(client.poll, client.upstreams.sources[0])
    return client


def make_epochs() -> ChainMaker:
    maker = ChainMaker(make_spec(SIGNERS, clique={"period": 2, "epoch": 8}))
    maker.extend_by(21)
    return maker


async def test_the_hash_of_an_epoch_block_is_enough(tmp_path: Path) -> None:
    maker = make_epochs()
    wanted = hex_of(maker.reader.canonical_hash(16) or b"")
    async with running_node(maker) as node:
        url = f"http://127.0.0.1:{node.place.port}"
        client = await start(maker, tmp_path, url, checkpoint_hash=wanted, witnesses=1)
        assert client.chain.floor == 16
        assert client.head.hash == maker.head.hash
        assert client.chain.head_state == maker.reader.engine_state(maker.head.hash)
        assert await ask(client.total_difficulty, maker.head.hash) is None, "nobody can prove it"
        # What lies below the checkpoint is proved by its hashes.
        old = await ask(client.header_by_number, 3)
        assert old == maker.reader.header_by_number(3)
        client.close()
        # A second start needs nobody: what is kept follows from the same checkpoint.
        again = await ask(
            partial(
                light_client,
                maker.spec,
                LightSettings(upstreams=("http://127.0.0.1:1",), checkpoint_hash=wanted),
                tmp_path,
            )
        )
        assert again.head.hash == maker.head.hash
        again.close()


async def test_a_hash_that_names_no_epoch_is_refused_with_the_cure(tmp_path: Path) -> None:
    maker = make_epochs()
    async with running_node(maker) as node:
        url = f"http://127.0.0.1:{node.place.port}"
        with pytest.raises(ConfigError, match="does not list the signers"):
            await start(maker, tmp_path, url, checkpoint_hash=hex_of(maker.reader.canonical_hash(5) or b""))
        with pytest.raises(ConfigError, match="no upstream proves the checkpoint"):
            await start(maker, tmp_path, url, checkpoint_hash="0x" + "77" * 32)


async def test_a_signed_checkpoint_file_is_enough(tmp_path: Path) -> None:
    maker = make_epochs()
    path = tmp_path / "checkpoint.json"
    authorities = tuple(hex_of(key.address) for key in KEYS[4:7])
    async with running_node(maker) as node:
        url = f"http://127.0.0.1:{node.place.port}"
        rpc = JsonRpc(url, timeout_s=20.0, bytes_max=1 << 24)
        made = await ask(make_checkpoint, rpc, RpcProvider(rpc), maker.rules, 13)
        path.write_text(encode_checkpoint(made.signed(KEYS[4]).signed(KEYS[6])))
        options = {"checkpoint": path, "authorities": authorities, "witnesses": 1}
        with pytest.raises(ConfigError, match="3 are demanded"):
            await start(maker, tmp_path / "a", url, authorities_min=3, **options)
        client = await start(maker, tmp_path / "b", url, authorities_min=2, **options)
        assert (client.chain.floor, client.head.hash) == (13, maker.head.hash)
        total = await ask(client.total_difficulty, maker.head.hash)
        assert total == maker.reader.total_difficulty(maker.head.hash)
        client.close()


async def test_without_upstreams_what_is_kept_is_served(tmp_path: Path) -> None:
    maker = make_epochs()
    async with running_node(maker) as node:
        (await start(maker, tmp_path, f"http://127.0.0.1:{node.place.port}", witnesses=1)).close()
    client = await start(maker, tmp_path, "http://127.0.0.1:1")
    assert client.head.hash == maker.head.hash
    with trio.fail_after(60):
        assert (await ask(client.header_by_number, 5)).hash == maker.reader.canonical_hash(5)
    client.close()
