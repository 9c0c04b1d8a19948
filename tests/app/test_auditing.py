"""A node leaves records of itself, and says when it cannot."""

from pathlib import Path

import trio

from devnet.client import RpcClient
from devnet.network import wait_until
from node.audit.verify import verify_folder
from node.cli.entry import main
from node.config.data_dir import audit_path
from node.config.load import load_settings
from tests.app.whole import make_validator, running
from tests.audit.logs import kinds

PATIENCE_S = 60.0


async def test_start_every_key_use_and_stop_are_in_the_log(tmp_path: Path, capsys) -> None:
    node = make_validator(tmp_path)
    folder = audit_path(load_settings(node.config).data_dir)
    async with running(node):
        client = RpcClient(node.rpc_url)
        await trio.to_thread.run_sync(
            wait_until, lambda: int(client.call("eth_blockNumber"), 16) >= 2, PATIENCE_S, "two blocks"
        )
        client.close()
    found = kinds(folder)
    assert (found[0], found[1], found[-1]) == ("log.opened", "node.started", "node.stopped")
    assert found.count("key.used") >= 2
    assert verify_folder(folder).holds
    assert main(["audit", "verify", "--data-dir", str(node.data_dir)]) == 0
    assert "holds" in capsys.readouterr().out
    assert main(["audit", "show", "--data-dir", str(node.data_dir), "--kind", "key.used", "--last", "1"]) == 0
    assert "what=clique-header" in capsys.readouterr().out
