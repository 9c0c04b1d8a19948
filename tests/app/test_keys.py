"""A validator's key in a whole node: unsafe, it does not start; running, it says how its key is."""

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import trio

from devnet.client import RpcClient
from devnet.layout import NodeFiles
from node.cli.entry import main
from node.config.data_dir import audit_path, guard_path
from node.primitives.errors import ConfigError
from tests.app.whole import make_validator, running


@pytest.fixture
def node(tmp_path: Path) -> NodeFiles:
    return make_validator(tmp_path / "net", observability={"log_level": "error"})


async def refused(node: NodeFiles) -> str:
    """Why it does not start."""
    with pytest.RaisesGroup(ConfigError, flatten_subgroups=True) as caught:
        async with running(node):
            pass
    leaf: BaseException = caught.value
    while isinstance(leaf, BaseExceptionGroup):
        (leaf,) = leaf.exceptions
    assert isinstance(leaf, ConfigError)
    return "; ".join(leaf.problems)


async def sealed(node: NodeFiles, blocks: int) -> dict[str, Any]:
    """What clique_getSealing says once so many blocks are sealed."""
    client = RpcClient(node.rpc_url, 60.0)
    with trio.fail_after(60):
        while True:
            said = await trio.to_thread.run_sync(client.call, "clique_getSealing")
            if said["sealedBlocks"] >= blocks:
                client.close()
                return dict(said)
            await trio.sleep(0.05)


async def test_secrets_that_others_can_read_keep_a_node_from_starting(node: NodeFiles) -> None:
    node.password.chmod(0o644)
    node.node_key.chmod(0o640)
    said = await refused(node)
    assert f"{node.password}: mode is 0644: others can read or change it; chmod 0600 it" in said
    assert f"{node.node_key}: mode is 0640" in said, "all of them at once"


async def test_a_second_process_with_the_key_is_turned_away(node: NodeFiles) -> None:
    async with running(node):
        config = node.config.read_text()
        node.config.write_text(config.replace('data_dir = "data"', 'data_dir = "elsewhere"'))
        assert "another process signs with this key" in await refused(node)


async def test_a_node_tells_the_age_of_its_key_and_how_sealing_goes(node: NodeFiles) -> None:
    async with running(node):
        said = await sealed(node, blocks=1)
        assert (said["isValidator"], said["problems"]) == (True, [])
        url = f"http://127.0.0.1:{node.metrics_port}/metrics"
        page = await trio.to_thread.run_sync(lambda: urllib.request.urlopen(url).read().decode())
    numbers = dict(line.split(" ") for line in page.splitlines() if line.startswith("phoenix_sig"))
    assert 0 <= float(numbers["phoenix_signing_key_age_seconds"]) < 600
    assert float(numbers["phoenix_signing_ready"]) == 1


async def test_a_guard_that_is_lost_is_not_made_anew_unasked(
    node: NodeFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(node):
        await sealed(node, blocks=1)
    shutil.rmtree(guard_path(node.data_dir))
    assert "the signing guard is missing" in await refused(node)
    place = ["--data-dir", str(node.data_dir)]
    assert main(["signer", "guard", "new", *place]) == 2
    assert main(["signer", "guard", "new", *place, "--the-key-never-signed"]) == 0
    assert main(["signer", "guard", "new", *place, "--the-key-never-signed"]) == 2, "there is one now"
    async with running(node):
        await sealed(node, blocks=1)
        assert main(["signer", "guard", "delete", *place, "--the-keys-will-sign-no-more"]) == 3, "it runs"
    capsys.readouterr()
    assert main(["signer", "guard", "delete", *place]) == 2
    assert main(["signer", "guard", "delete", *place, "--the-keys-will-sign-no-more", "--json"]) == 0
    deleted = json.loads(capsys.readouterr().out)
    assert deleted["aside"] in map(str, node.data_dir.iterdir()), "put aside, not destroyed"
    assert len(deleted["keys"]) == 1
    assert actions(node) == ["guard new", "guard delete"]
    assert "the signing guard is missing" in await refused(node)


def actions(node: NodeFiles) -> list[str]:
    """What operators did, by the audit log."""
    lines = [
        json.loads(line)
        for path in sorted(audit_path(node.data_dir).iterdir())
        for line in path.read_text().splitlines()
        if '"admin.action"' in line
    ]
    return [line["facts"]["action"] for line in lines]
