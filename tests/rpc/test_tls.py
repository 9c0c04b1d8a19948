"""TLS on real sockets: HTTP, WebSocket, web3.py; client certificates; certificates replaced and run out."""

import shutil
import ssl
import time
from pathlib import Path

import pytest
import trio
from web3 import HTTPProvider, Web3

from node.primitives.errors import ConfigError
from node.rpc.tls import RpcTls
from tests.rpc.client import call_bytes
from tests.rpc.secured import ask, secured
from tests.rpc.world import World
from tests.signing.authority import Authority, Member

NUMBER = call_bytes("eth_blockNumber")
BALANCE = call_bytes("eth_getBalance", "0x" + "11" * 20, "latest")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def node(authority: Authority) -> Member:
    return authority.member("node")


def files(member: Member, **more: object) -> dict[str, object]:
    return {"tls_certificate": member.certificate, "tls_key": member.key, **more}


def trusting(authority: Authority, member: Member | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.path))
    if member is not None:
        context.load_cert_chain(member.certificate, member.key)
    return context


async def refused(served, tls: ssl.SSLContext) -> bool:
    """Whether the server ends it: in TLS 1.3 a client learns of its refusal when it reads."""
    try:
        client = await served.http(tls=tls)
        await ask(client, NUMBER)
    except (trio.BrokenResourceError, EOFError):
        return True
    return False


async def test_http_and_websocket_are_served_under_tls_1_3(authority: Authority, node: Member) -> None:
    async with secured(rpc=files(node)) as served:
        client = await served.http(tls=trusting(authority))
        assert (await client.call("eth_blockNumber"))["result"] == "0x0"
        assert client.stream.version() == "TLSv1.3"
        assert client.stream.selected_alpn_protocol() is None
        socket = await served.websocket(tls=trusting(authority))
        assert (await socket.call("eth_blockNumber"))["result"] == "0x0"
        assert "result" in await socket.call("eth_subscribe", "newHeads")


async def test_large_answers_and_pushes_go_through(authority: Authority, node: Member) -> None:
    world = World()
    async with secured(world, rpc=files(node)) as served:
        socket = await served.websocket(tls=trusting(authority))
        await socket.call("eth_subscribe", "newHeads")
        with trio.fail_after(60):
            world.chain.extend()
            assert (await socket.receive())["params"]["result"]["number"] == "0x1"
        body = b"[" + b",".join(call_bytes("web3_sha3", "0x00", call_id=i) for i in range(1000)) + b"]"
        client = await served.http(tls=trusting(authority))
        status, _, answer = await ask(client, body)
        assert (status, answer.count(b"result")) == (200, 1000)


async def test_web3_py_speaks_tls_with_a_client_certificate(authority: Authority, node: Member) -> None:
    client = authority.member("client")
    settings = files(node, client_ca=authority.path, client_certificates="required")
    (authority.folder / "clients.toml").write_text('[billing]\nsubject = "CN=client"\nroles = ["reader"]\n')
    async with secured(rpc=settings, auth={"clients": authority.folder / "clients.toml"}) as served:
        provider = HTTPProvider(
            f"https://127.0.0.1:{served.port}",
            {"verify": str(authority.path), "cert": (str(client.certificate), str(client.key))},
        )
        balance = await trio.to_thread.run_sync(Web3(provider).eth.get_balance, "0x" + "11" * 20)
        assert balance == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions_are_refused(authority: Authority, node: Member, version: ssl.TLSVersion) -> None:
    context = trusting(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLS"):
        context.minimum_version = context.maximum_version = version
    async with secured(rpc=files(node)) as served:
        assert await refused(served, context)


async def test_tls_1_2_is_spoken_with_forward_secrecy_only(authority: Authority, node: Member) -> None:
    good, bad = trusting(authority), trusting(authority)
    good.maximum_version = bad.maximum_version = ssl.TLSVersion.TLSv1_2
    bad.set_ciphers("AES256-GCM-SHA384")
    async with secured(rpc=files(node)) as served:
        assert not await refused(served, good)
        assert await refused(served, bad)


async def test_plain_http_at_a_tls_port_is_closed_and_the_listener_lives(authority, node) -> None:
    async with secured(rpc=files(node)) as served:
        plain = await served.http()
        await plain.stream.send_all(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with trio.fail_after(60):
            assert b"HTTP" not in await plain.stream.receive_some(1000)
        assert not await refused(served, trusting(authority))


# --- client certificates


async def test_required_certificates_keep_strangers_out(authority: Authority, node: Member, tmp_path) -> None:
    elsewhere = Authority(tmp_path, "elsewhere")
    settings = files(node, client_ca=authority.path, client_certificates="required")
    async with secured(rpc=settings) as served:
        assert await refused(served, trusting(authority))
        assert await refused(served, trusting(authority, elsewhere.member("foreign")))
        assert await refused(served, trusting(authority, authority.member("old", hours=-1)))
        assert not await refused(served, trusting(authority, authority.member("good")))


async def test_who_has_a_certificate_and_no_entry_has_no_role(authority: Authority, node: Member) -> None:
    settings = files(node, client_ca=authority.path, client_certificates="optional")
    async with secured(rpc=settings) as served:
        client = await served.http(tls=trusting(authority, authority.member("edge-7")))
        assert (await client.call("eth_blockNumber"))["result"] == "0x0"
        refusal = (await client.call("eth_getBalance", "0x" + "11" * 20, "latest"))["error"]
        assert refusal["message"] == (
            "eth_getBalance needs the role reader; certificate:CN=edge-7 has anonymous"
        )
        # Without one it is a client of this machine, which the settings let read.
        plain = await served.http(tls=trusting(authority))
        assert "result" in await plain.call("eth_getBalance", "0x" + "11" * 20, "latest")


async def test_certificates_are_known_by_subject_or_fingerprint(authority: Authority, node: Member) -> None:
    one, other = authority.member("one"), authority.member("other")
    table = authority.folder / "clients.toml"
    table.write_text(
        f'[first]\nsubject = "CN=one"\nroles = ["reader"]\n'
        f'[second]\nfingerprint = "{other.fingerprint}"\nroles = ["auditor"]\nquota_ms_per_s = 7\n'
    )
    settings = files(node, client_ca=authority.path, client_certificates="required")
    async with secured(rpc=settings, auth={"clients": table}) as served:
        for member in (one, other):
            client = await served.http(tls=trusting(authority, member))
            assert "result" in await client.call("eth_getBalance", "0x" + "11" * 20, "latest")
        traced = await client.call("debug_traceBlockByNumber", "0x0")
        assert "genesis" in traced["error"]["message"], "an auditor gets as far as that"


# --- replaced, broken, run out


async def test_a_replaced_certificate_is_taken_up_without_a_restart(authority, node, tmp_path) -> None:
    other_authority = Authority(tmp_path, "other-ca")
    async with secured(rpc=files(node)) as served:
        before = await served.http(tls=trusting(authority))
        assert await refused_by_client(served, other_authority)
        new = other_authority.member("new")
        shutil.copy(new.key, node.key)
        shutil.copy(new.certificate, node.certificate)
        assert await trio.to_thread.run_sync(served.service._tls.reload)
        assert not await refused(served, trusting(other_authority))
        assert (await before.call("eth_blockNumber"))["result"] == "0x0", "open connections go on"


async def refused_by_client(served, authority: Authority) -> bool:
    try:
        await served.http(tls=trusting(authority))
    except trio.BrokenResourceError:
        return True
    return False


async def test_files_that_do_not_fit_leave_the_old_ones_in_place(authority, node) -> None:
    async with secured(rpc=files(node)) as served:
        node.certificate.write_text("not a certificate")
        assert not await trio.to_thread.run_sync(served.service._tls.reload)
        assert not await refused(served, trusting(authority))
        assert "do not fit" in str([check() for check in served.service.checks])
        node.certificate.unlink()
        await trio.to_thread.run_sync(served.service._tls.reload)
        assert not await refused(served, trusting(authority))


def test_the_end_of_the_certificate_is_published_warned_of_and_a_problem(authority, caplog) -> None:
    from node.config.settings import RpcSettings

    member = authority.member("short", hours=24)
    now = [time.time()]
    tls = RpcTls(RpcSettings(**files(member)), lambda: now[0])
    assert tls.expires_at == pytest.approx(now[0] + 24 * 3600, abs=60)
    assert "ends soon" in caplog.text
    assert tls.problem is None
    now[0] += 25 * 3600
    assert "expired" in str(tls.problem)


async def test_the_expiry_is_in_the_metrics(authority: Authority, node: Member) -> None:
    async with secured(rpc=files(node)) as served:
        assert b"phoenix_rpc_certificate_expires_timestamp 1" in served.metrics.exposition()


def test_a_key_that_does_not_belong_to_the_certificate_is_told_at_start(authority: Authority) -> None:
    from node.config.settings import RpcSettings

    one, other = authority.member("one"), authority.member("other")
    with pytest.raises(ConfigError, match="do not fit"):
        RpcTls(RpcSettings(tls_certificate=one.certificate, tls_key=other.key), time.time)
