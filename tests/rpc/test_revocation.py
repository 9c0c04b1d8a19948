"""Clients whose certificate was taken back: out at the next connection, and out of those that are open."""

import time
from pathlib import Path
from typing import Any

import pytest
import trio

from node.config.revocation import read_revocations
from node.primitives.errors import ConfigError
from tests.rpc.secured import Secured, secured
from tests.rpc.test_tls import files, refused, trusting
from tests.signing.authority import Authority, Member


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def demanding(authority: Authority, crl: Path) -> dict[str, Any]:
    node = authority.member("node")
    return files(node, client_ca=authority.path, client_certificates="required", client_crl=crl)


async def reload(served: Secured) -> bool:
    assert served.service._tls is not None
    return await trio.to_thread.run_sync(served.service._tls.reload)


def problems(served: Secured) -> str:
    return str([check() for check in served.service.checks])


async def test_a_certificate_that_was_taken_back_opens_nothing(authority: Authority) -> None:
    good, gone = authority.member("good"), authority.member("gone")
    async with secured(rpc=demanding(authority, authority.revoke(gone))) as served:
        assert await refused(served, trusting(authority, gone))
        assert not await refused(served, trusting(authority, good))


async def test_a_list_that_is_replaced_ends_live_connections_too(authority: Authority) -> None:
    good, gone = authority.member("good"), authority.member("gone")
    async with secured(rpc=demanding(authority, authority.revoke())) as served:
        stays = await served.http(tls=trusting(authority, good))
        leaves = await served.http(tls=trusting(authority, gone))
        socket = await served.websocket(tls=trusting(authority, gone))
        for each in (stays, leaves, socket):
            assert (await each.call("eth_blockNumber"))["result"] == "0x0"
        authority.revoke(gone)
        assert await reload(served)
        assert (await stays.call("eth_blockNumber"))["result"] == "0x0"
        assert "revoked" in str(await leaves.call("eth_blockNumber"))
        with trio.fail_after(60):
            assert "revoked" in str((await socket.closed()).reason)
        assert await refused(served, trusting(authority, gone))
        authority.revoke()  # a mistake is undone the same way
        assert await reload(served)
        assert not await refused(served, trusting(authority, gone))


async def test_a_list_that_is_overdue_shuts_clients_out_and_is_a_problem(authority: Authority) -> None:
    member = authority.member("good")
    async with secured(rpc=demanding(authority, authority.revoke(hours=-1))) as served:
        assert await refused(served, trusting(authority, member))
        assert "was to be replaced by" in problems(served)
        authority.revoke()
        assert await reload(served)
        assert not await refused(served, trusting(authority, member))
        assert "replaced" not in problems(served)


async def test_a_list_that_does_not_fit_leaves_the_old_one_in_force(
    authority: Authority, tmp_path: Path
) -> None:
    gone = authority.member("gone")
    crl = authority.revoke(gone)
    foreign = Authority(tmp_path, "elsewhere").revoke().read_bytes()
    async with secured(rpc=demanding(authority, crl)) as served:
        for bad, words in ((b"nothing", "no revocation list"), (foreign, "signed by no authority")):
            crl.write_bytes(bad)
            assert not await reload(served)
            assert words in problems(served)
            assert await refused(served, trusting(authority, gone))


def test_lists_of_several_authorities_stand_in_one_file(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    members: list[Member] = [authority.member("one"), other.member("two")]
    both, lists = tmp_path / "both.pem", tmp_path / "both.crl"
    both.write_bytes(authority.path.read_bytes() + other.path.read_bytes())
    made = authority.revoke(members[0]).read_bytes() + other.revoke(members[1], hours=2).read_bytes()
    lists.write_bytes(made)
    found = read_revocations(lists, both)
    assert len(found.withdrawn) == 2
    assert found.ends_at == pytest.approx(time.time() + 3600, abs=120)
    with pytest.raises(ConfigError, match="CN=other is signed by no authority"):
        read_revocations(lists, authority.path)
