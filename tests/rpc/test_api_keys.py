"""API keys: hashed at rest, revoked at once, and a command line to keep them."""

import json
import time
from pathlib import Path

import pytest
import trio

from node.audit.records import Kind
from node.cli.entry import main
from node.primitives.errors import ConfigError
from node.rpc.api_keys import ApiKeys, new_key, read_keys, revoke_key
from node.rpc.identity import Role
from tests.rpc.client import call_bytes
from tests.rpc.secured import ask, secured

BALANCE = call_bytes("eth_getBalance", "0x" + "11" * 20, "latest")
NOW = int(time.time())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


async def test_a_key_lets_its_machine_in_under_both_headers(path: Path) -> None:
    key, _ = new_key(path, "billing", ["reader"], NOW)
    async with secured(auth={"api_keys": path, "local_roles": ()}) as served:
        client = await served.http()
        assert b'"result":"0x0"' in (await ask(client, BALANCE, key))[2]
        from tests.rpc.client import request_bytes

        answer = await client.exchange(request_bytes(BALANCE, b"X-Api-Key: " + key.encode()))
        assert b'"result":"0x0"' in answer[2]
        assert b"needs the role reader; local@127.0.0.1 has anonymous" in (await ask(client, BALANCE))[2]
        socket = await served.websocket(x_api_key=key)
        assert "result" in await socket.call("eth_getBalance", "0x" + "11" * 20, "latest")


async def test_a_revoked_key_is_out_at_once_even_on_an_open_websocket(path: Path) -> None:
    key, _ = new_key(path, "billing", ["reader"], NOW)
    async with secured(auth={"api_keys": path}) as served:
        socket = await served.websocket(x_api_key=key)
        assert "result" in await socket.call("eth_getBalance", "0x" + "11" * 20, "latest")
        revoke_key(path, "billing", NOW)
        served.service._auth.reload()
        client = await served.http()
        assert (await ask(client, BALANCE, key))[0] == 401
        with trio.fail_after(60):
            assert "revoked" in (await socket.closed()).reason
        started, changed = served.trail.of(Kind.ROLE_CHANGED)
        assert "api-key:billing" in str(started)
        assert changed == ("local", {"changes": ["api-key:billing: revoked"]})


async def test_a_file_that_cannot_be_read_any_more_changes_nothing_and_is_a_problem(path: Path) -> None:
    key, _ = new_key(path, "billing", ["reader"], NOW)
    async with secured(auth={"api_keys": path}) as served:
        await trio.Path(path).write_text("nonsense")
        served.service._auth.reload()
        assert "cannot be taken up" in str([check() for check in served.service.checks])
        client = await served.http()
        assert (await ask(client, BALANCE, key))[0] == 200


def test_the_file_holds_no_key_and_is_its_owners_only(path: Path) -> None:
    key, entry = new_key(path, "billing", ["reader"], NOW)
    assert key.rpartition("_")[2] not in path.read_text()
    assert key.startswith(f"phx_{entry.id}_")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_keys(path)


def test_only_the_key_itself_opens(path: Path) -> None:
    key, entry = new_key(path, "billing", ["submitter"], NOW, quota_ms_per_s=7.5)
    keys = ApiKeys(path)
    identity = keys.identify(key, NOW)
    assert identity is not None
    assert (identity.name, identity.quota_per_s) == ("api-key:billing", 7.5)
    assert identity.roles == {Role.ANONYMOUS, Role.READER, Role.SUBMITTER}
    for wrong in (key[:-1], key + "A", key[:-1] + ("A" if key[-1] != "A" else "B"), entry.hash, "phx_", ""):
        assert keys.identify(wrong, NOW) is None


def test_a_key_ends_when_it_is_told_to(path: Path) -> None:
    key, _ = new_key(path, "guest", ["reader"], NOW, expires=NOW + 60)
    keys = ApiKeys(path)
    identity = keys.identify(key, NOW)
    assert identity is not None
    assert identity.ended(NOW + 60) is not None
    assert keys.identify(key, NOW + 60) is None


@pytest.mark.parametrize(
    ("name", "roles", "words"),
    [("a b", ["reader"], "is no name"), ("a", ["king"], "is no role"), ("a", [], "needs a role")],
)
def test_bad_names_and_roles_are_refused(path: Path, name: str, roles: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        new_key(path, name, roles, NOW)


def test_a_file_that_was_tampered_with_is_refused_whole(path: Path) -> None:
    new_key(path, "billing", ["reader"], NOW)
    good = path.read_text()
    for bad in (good.replace('"reader"', '"king"'), good.replace('"name"', '"nom"'), good[:-5], "{}"):
        path.write_text(bad)
        with pytest.raises(ConfigError):
            read_keys(path)


def test_the_command_line_makes_lists_and_revokes(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def rpc_keys(*arguments: object) -> int:
        return main(["rpc-keys", *map(str, arguments)])

    assert (
        rpc_keys("new", "--file", path, "--name", "billing", "--role", "reader", "--days", 30, "--json") == 0
    )
    made = json.loads(capsys.readouterr().out)
    assert ApiKeys(path).identify(made["key"], time.time()) is not None
    assert rpc_keys("list", "--file", path, "--json") == 0
    [listed] = json.loads(capsys.readouterr().out)["keys"]
    assert (listed["name"], listed["roles"], listed["state"]) == ("billing", "reader", "valid")
    assert "hash" not in listed
    assert rpc_keys("new", "--file", path, "--name", "billing", "--role", "reader") == 2
    assert "already" in capsys.readouterr().err
    assert rpc_keys("revoke", "--file", path, "billing") == 0
    assert ApiKeys(path).identify(made["key"], time.time()) is None
    assert rpc_keys("revoke", "--file", path, "billing") == 2
