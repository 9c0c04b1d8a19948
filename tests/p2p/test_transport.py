"""Real sockets once, plain and under mutual TLS; and the network in memory, which must behave like them."""

import datetime
import logging
import ssl
from pathlib import Path

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.primitives.errors import ConfigError
from p2p.errors import PeerGone
from p2p.eth.messages import GetBlockHeaders
from p2p.reports import DialFailed, HandshakeEnded
from p2p.tls import FollowedTls, TlsFiles, load_tls
from p2p.transport import Endpoint, MemoryNetwork, Stream, TcpTransport, Transport
from tests.p2p.network import Node, connected, running, until


class Authority:
    """A CA of our own, and the members it vouches for."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._certificate(name, self.key.public_key(), is_ca=True)
        self.path = self._write(f"{name}.pem", self.certificate.public_bytes(serialization.Encoding.PEM))

    def member(self, name: str) -> TlsFiles:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(name, key.public_key(), is_ca=False)
        key_bytes = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return TlsFiles(
            certificate=self._write(f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM)),
            key=self._write(f"{name}.key", key_bytes),
            ca=self.path,
        )

    def _certificate(self, name: str, key: ec.EllipticCurvePublicKey, *, is_ca: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def _write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


def tcp_node(seed: int, tls: TlsFiles | None = None) -> Node:
    """A node on a free port of the loopback interface."""
    transport = TcpTransport(FollowedTls(tls) if tls else None)
    node = Node(MemoryNetwork(), seed, transport=transport, port=0, redial_s_min=0.05)
    node.options = type(node.options)(client_name=f"node-{seed}", host="127.0.0.1", port=0, redial_s_min=0.05)
    return node


async def talk(a: Node, b: Node) -> None:
    async with running(b, a):
        a.pool.add_static(b.pool.enode_url)
        await connected(a, b)
        answer = await a.peer(b).request(GetBlockHeaders(0, 0, 3))
        assert answer.headers == ()
        host, _, port = a.peer(b).remote.rpartition(":")
        assert (host, int(port)) == ("127.0.0.1", int(b.pool.enode_url.rpartition(":")[2]))


async def test_nodes_talk_over_tcp() -> None:
    await talk(tcp_node(1), tcp_node(2))


async def test_nodes_talk_under_mutual_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    await talk(tcp_node(1, authority.member("one")), tcp_node(2, authority.member("two")))


async def test_strangers_to_the_authority_stay_outside(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path, "ca"), Authority(tmp_path, "other-ca")
    member = tcp_node(2, ours.member("two"))
    for outsider in (tcp_node(1, theirs.member("one")), tcp_node(3)):
        async with running(member, outsider):
            outsider.pool.add_static(member.pool.enode_url)
            await until(lambda outsider=outsider: outsider.told(DialFailed))
            await until(lambda: member.told(HandshakeEnded))
            assert member.told(HandshakeEnded)[-1].reason.startswith("TLS failed")
            assert not member.pool.peers
            assert not outsider.pool.peers
            member.reports.clear()


async def test_replaced_files_are_taken_up_by_the_next_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "p2p.tls")
    authority = Authority(tmp_path, "ca")
    one, two = authority.member("one"), authority.member("two")
    member = tcp_node(2, two)

    async def meets(files: TlsFiles) -> bool:
        outsider = tcp_node(1, files)
        async with running(outsider):
            outsider.pool.add_static(member.pool.enode_url)
            await until(lambda: outsider.told(DialFailed) or outsider.pool.peers)
            return bool(outsider.pool.peers)

    async with running(member):
        assert await meets(one)
        # Another authority, in the same files.
        another = Authority(tmp_path, "ca")
        stranger = another.member("one")
        another.member("two")
        assert await meets(stranger)
        two.certificate.write_text("nothing")
        assert await meets(stranger), "what does not fit leaves the former in place"
        # Whom the former authority vouched for is a stranger now.
        former = tmp_path / "former"
        former.mkdir()
        assert not await meets(Authority(former, "ca").member("one"))
    assert caplog.messages.count("the peers' TLS files were taken up") == 1
    assert sum("do not fit, the old ones stay" in line for line in caplog.messages) == 1


async def test_tls_below_1_3_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    member, files = tcp_node(2, authority.member("two")), authority.member("one")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.load_verify_locations(files.ca)
    old.load_cert_chain(files.certificate, files.key)
    async with running(member):
        port = int(member.pool.enode_url.rpartition(":")[2])
        stream = trio.SSLStream(await trio.open_tcp_stream("127.0.0.1", port), old)
        with pytest.raises(trio.BrokenResourceError):
            await stream.do_handshake()
        await until(lambda: member.told(HandshakeEnded))
        await trio.aclose_forcefully(stream)


def test_tls_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    one, two = authority.member("one"), authority.member("two")
    missing = tmp_path / "missing.pem"
    for files, named in (
        (TlsFiles(one.certificate, one.key, missing), "missing.pem"),
        (TlsFiles(missing, one.key, one.ca), "missing.pem"),
        (TlsFiles(one.certificate, two.key, one.ca), "two.key"),
        (TlsFiles(one.key, one.key, one.ca), "one.key"),
    ):
        with pytest.raises(ConfigError, match=named):
            load_tls(files)


async def test_a_tcp_port_that_is_taken_is_the_operators_problem() -> None:
    listener = await TcpTransport().listen("127.0.0.1", 0)
    with pytest.raises(ConfigError, match=f"cannot listen for peers on 127.0.0.1:{listener.port}"):
        await TcpTransport().listen("127.0.0.1", listener.port)
    for each in listener._listeners:
        await each.aclose()


async def test_nobody_at_the_port_or_name_is_said_so() -> None:
    listener = await TcpTransport().listen("127.0.0.1", 0)
    for each in listener._listeners:
        await each.aclose()
    with pytest.raises(PeerGone, match=r"cannot reach 127\.0\.0\.1"):
        await TcpTransport().dial("127.0.0.1", listener.port)
    with pytest.raises(PeerGone, match=r"cannot reach no-such-host\.invalid"):
        await TcpTransport().dial("no-such-host.invalid", 1)


@pytest.mark.parametrize("kind", ["tcp", "memory"])
async def test_streams_behave_alike(kind: str) -> None:
    memory = MemoryNetwork(pipe_bytes=1000).host("127.0.0.1")
    transport: Transport = TcpTransport() if kind == "tcp" else memory
    accepted: list[Stream] = []
    listener = await transport.listen("127.0.0.1", 0)

    async def echo(stream: Stream) -> None:
        accepted.append(stream)
        await stream.prepare()
        while data := await stream.receive_some(100):
            await stream.send_all(data)
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, echo)
        stream = await transport.dial("127.0.0.1", listener.port)
        await stream.prepare()
        assert stream.remote == Endpoint("127.0.0.1", listener.port)
        async with trio.open_nursery() as writers:
            writers.start_soon(stream.send_all, bytes(5000))
            received = b""
            while len(received) < 5000:
                received += await stream.receive_some(10_000)
        assert received == bytes(5000)
        assert accepted[0].remote.host == "127.0.0.1"
        await stream.aclose()
        await stream.aclose()
        with pytest.raises(PeerGone):
            await stream.send_all(b"late")
        nursery.cancel_scope.cancel()


async def test_what_the_system_takes_goes_at_once_and_the_rest_after_it() -> None:
    """A large message to somebody who does not read yet, over TCP."""
    data = bytes(range(256)) * 64_000
    listener = await TcpTransport().listen("127.0.0.1", 0)
    put, came = trio.open_memory_channel[Stream](1)

    async def keep(stream: Stream) -> None:
        await put.send(stream)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, keep)
        stream = await TcpTransport().dial("127.0.0.1", listener.port)
        sent = stream.send_at_once(data)
        assert 0 < sent < len(data)
        while (more := stream.send_at_once(data[sent:])) > 0:  # the receiving side's buffer may still grow
            sent += more
        nursery.start_soon(stream.send_all, data[sent:])
        reader = await came.receive()
        received = bytearray()
        while len(received) < len(data):
            received += await reader.receive_some(1 << 20)
        assert received == data
        await stream.aclose()
        with pytest.raises(PeerGone):
            stream.send_at_once(b"late")
        nursery.cancel_scope.cancel()
