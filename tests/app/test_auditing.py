"""A node leaves records of itself, and says when it cannot."""

from pathlib import Path

import pytest
import trio

from devnet.client import RpcClient, RpcError
from devnet.keys import account_key
from devnet.network import wait_until
from node.audit.verify import verify_folder
from node.cli.entry import main
from node.config.data_dir import audit_path
from node.config.load import load_settings
from node.permissioning.allowlist import ListedAccount, encode_allowlist, read_allowlist, with_accounts
from node.permissioning.policy import Right
from node.primitives.ids import hex_of
from tests.app.whole import make_validator, running
from tests.audit.logs import kinds, records
from tests.execution.builders import GWEI, signed

PATIENCE_S = 60.0
SEED = "phoenix whole-node tests: these keys are public"


async def test_start_every_key_use_and_stop_are_in_the_log(tmp_path: Path, capsys) -> None:
    node = make_validator(tmp_path)
    folder = audit_path(load_settings(node.config).data_dir)
    async with running(node):
        client = RpcClient(node.rpc_url, PATIENCE_S)
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


async def test_a_refused_transaction_and_a_change_of_validators_are_in_the_log(tmp_path: Path) -> None:
    node = make_validator(tmp_path, rpc={"namespaces": ["eth", "clique"]})
    settings = load_settings(node.config)
    assert settings.permissioning.file is not None
    owner, other = (account_key(SEED, place) for place in range(2))
    listed = ListedAccount(address=owner.address, organisation="north", rights=frozenset({Right.TRANSFER}))
    members = read_allowlist(settings.permissioning.file)
    settings.permissioning.file.write_text(encode_allowlist(with_accounts(members, [listed])))
    call = signed(owner, to=other.address, data=b"\x01", fee=1000 * GWEI, chain_id=325_002)
    added = hex_of(other.address)

    def use() -> None:
        client, admin = RpcClient(node.rpc_url, PATIENCE_S), RpcClient(node.admin_url, PATIENCE_S)
        for _ in range(3):
            with pytest.raises(RpcError, match="no right to call"):
                client.call("eth_sendRawTransaction", "0x" + call.encoded.hex())
        admin.call("clique_propose", added, True)
        wait_until(lambda: added in client.call("clique_getSigners"), PATIENCE_S, "a second signer")
        client.close()
        admin.close()

    async with running(node):
        await trio.to_thread.run_sync(use)
    found = records(audit_path(settings.data_dir))
    [refused] = [each for each in found if each.kind == "permission.refused"]
    assert (refused.actor, dict(refused.facts)) == (
        f"account:{hex_of(owner.address)}",
        {"wanted": "call", "rule": "file"},
    )
    change = next(each for each in found if each.actor == "chain")
    assert (change.kind, change.facts["added"], change.facts["validators"]) == ("role.changed", [added], 2)
