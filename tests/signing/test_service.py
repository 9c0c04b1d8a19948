"""The remote signer, over real sockets under mutual TLS: what it signs, for whom, and what it refuses."""

import json
import logging
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trio
from eth_account import Account

from consensus.clique.extra_data import seal_hash
from node.audit.batches import records_from
from node.audit.log import AuditLog
from node.cli.entry import main
from node.config.settings import SigningSettings
from node.primitives import rlp
from node.primitives.block import encode_header, header_fields
from node.primitives.crypto import PrivateKey, keccak256, recover_address
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, Hash32, hex_of
from node.signing.clique_payload import decode_unsealed, decode_with_or_without_seal, encode_unsealed
from node.signing.guard import GuardedSigner
from node.signing.keystore import store_key
from node.signing.opening import open_key
from node.signing.remote import RemoteKey, open_remote
from node.signing.service import Client, SigningService
from node.signing.service_listener import serve
from node.signing.service_settings import load_service_settings
from node.signing.serving import Serving
from node.signing.signer import DigestSigner, SigningError, SigningRequest
from node.storage.memory import MemoryKV
from tests.signing.authority import Authority, Member
from tests.signing.headers import header_at, request

KEY = PrivateKey(b"\x11" * 32)
ADDRESS = hex_of(KEY.address)
PUBLIC = hex_of(KEY.public_key)
FAST = 1 << 4


@dataclass
class World:
    """A signer with one key, and who may use it: alice; bob may connect, and that is all."""

    folder: Path
    authority: Authority
    alice: Member
    bob: Member
    config: Path
    kv: MemoryKV
    port: int = 0
    closing: ExitStack = field(default_factory=ExitStack)

    def remote(
        self,
        member: Member,
        dialect: str = "web3signer",
        ca: Path | None = None,
        of: Address = KEY.address,
    ) -> RemoteKey:
        """A key as a node of this member sees it."""
        settings = SigningSettings(
            backend="remote",
            remote_url=f"https://127.0.0.1:{self.port}",
            remote_dialect=dialect,
            remote_address=hex_of(of),
            remote_certificate=member.certificate,
            remote_key=member.key,
            remote_ca=ca or self.authority.path,
            timeout_s=5.0,
        )
        key = open_remote(settings)
        self.closing.callback(key.close)
        return key

    def serving(self, trail: AuditLog | None = None) -> Serving:
        return Serving(load_service_settings(self.config), self.kv, trail)

    def service(self) -> SigningService:
        serving = self.serving()
        self.closing.callback(serving.close)
        return serving.service


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    authority = Authority(tmp_path)
    server, alice, bob = (authority.member(name) for name in ("signer", "alice", "bob"))
    password = tmp_path / "password"
    password.write_text("pw")
    password.chmod(0o600)
    keystore = store_key(tmp_path / "keys", KEY, "pw", scrypt_n=FAST)
    config = tmp_path / "signer.toml"
    config.write_text(f"""
port = 0
data_dir = "data"
tls_certificate = "{server.certificate.name}"
tls_key = "{server.key.name}"
tls_ca = "ca.pem"
[clients]
alice = "{alice.fingerprint}"
bob = "{bob.fingerprint}"
[[keys]]
chain_id = 1337
clients = ["alice"]
keystore = "keys/{keystore.path.name}"
password_file = "password"
""")
    world = World(tmp_path, authority, alice, bob, config, MemoryKV())
    with world.closing:
        yield world


@asynccontextmanager
async def running(world: World, trail: AuditLog | None = None) -> AsyncIterator[Serving]:
    serving = world.serving(trail)
    async with trio.open_nursery() as nursery:
        world.port = await nursery.start(serve, serving)
        yield serving
        nursery.cancel_scope.cancel()
    serving.close()


async def ask(key: DigestSigner, asked: SigningRequest) -> bytes:
    return await trio.to_thread.run_sync(key.sign_digest, asked)


@pytest.mark.parametrize("dialect", ["web3signer", "clef"])
async def test_a_node_has_its_headers_sealed_in_either_dialect(world: World, dialect: str) -> None:
    checkpoint = bytes(32) + bytes(range(40)) + bytes(65)
    async with running(world):
        key = world.remote(world.alice, dialect)
        signer = GuardedSigner(key, MemoryKV(), 1337)
        for number, extra in ((1, bytes(97)), (2, checkpoint)):
            asked = request(number, extra=extra)
            assert recover_address(asked.digest, await signer.sign(asked)) == KEY.address


async def test_the_signer_has_a_guard_of_its_own_and_repeats_what_it_gave(world: World) -> None:
    async with running(world):
        key = world.remote(world.alice)
        first = await ask(key, request(5))
        assert await ask(world.remote(world.alice, "clef"), request(5)) == first
        other = replace(header_at(5), timestamp=1)
        conflicting = replace(request(5), header=other, digest=seal_hash(other))
        for dialect in ("web3signer", "clef"):
            with pytest.raises(SigningError, match=r"already signed 0x.* at height 5"):
                await ask(world.remote(world.alice, dialect), conflicting)
    # And after a restart.
    async with running(world):
        with pytest.raises(SigningError, match="already signed"):
            await ask(world.remote(world.alice), conflicting)


async def test_of_nodes_that_race_with_one_key_one_gets_the_height(world: World) -> None:
    given: list[Hash32] = []
    async with running(world):

        async def race(number: int) -> None:
            header = replace(header_at(5), timestamp=number)
            asked = replace(request(5), header=header, digest=seal_hash(header))
            key = world.remote(world.alice, ("web3signer", "clef")[number % 2])
            with suppress(SigningError):
                assert recover_address(asked.digest, await ask(key, asked)) == KEY.address
                given.append(asked.digest)

        async with trio.open_nursery() as racers:
            for number in range(8):
                racers.start_soon(race, number)
    assert len(given) == 1


async def test_the_node_connects_again_when_the_signer_was_restarted(world: World) -> None:
    async with running(world):
        key = world.remote(world.alice)
        await ask(key, request(1))
    with pytest.raises(SigningError, match=r"cannot be reached.*is it running"):
        await ask(key, request(2))
    port = world.port
    world.config.write_text(world.config.read_text().replace("port = 0", f"port = {port}"))
    async with running(world):
        assert recover_address(request(2).digest, await ask(key, request(2))) == KEY.address


async def test_who_is_not_allowed_the_key_gets_nothing_and_the_audit_log_says_who_asked(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "node.signing.audit")
    async with running(world):
        with pytest.raises(SigningError, match="no key of 0x"):
            await ask(world.remote(world.bob), request(1))
        with pytest.raises(SigningError, match=r"no key 0x.* that bob may use"):
            await ask(world.remote(world.bob, "clef"), request(1))
        await ask(world.remote(world.alice), request(1))
    lines = [(line.message, line.client, line.height) for line in caplog.records if hasattr(line, "client")]
    assert lines == [("refused: not a key of this client", "bob", 1), ("signed", "alice", 1)]


async def test_what_is_asked_and_given_is_on_record_in_a_chain_of_hashes(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    carol = world.authority.member("carol")
    folder = world.folder / "signatures"
    other = replace(header_at(5), timestamp=1)
    with AuditLog(folder, 1 << 24) as trail:
        async with running(world, trail) as serving:
            await ask(world.remote(world.alice), request(5))
            with pytest.raises(SigningError):
                await ask(
                    world.remote(world.alice), replace(request(5), header=other, digest=seal_hash(other))
                )
            with pytest.raises(SigningError):
                await ask(world.remote(world.bob, "clef"), request(6))
            with pytest.raises(SigningError):
                await ask(world.remote(carol), request(6))
            await call(serving.service, "eth_sign", ADDRESS, "0x" + "22" * 32)
            path, noise = f"/api/v1/eth1/sign/{PUBLIC}", b'{"data": "0x00"}'
            await serving.service.answer(Client("alice"), "POST", path, noise)
            serving.take_up(load_service_settings(world.config))
            assert serving.outcomes == {"signed": 1, "guard": 1, "denied": 2}
    records = [record for record in records_from(folder, 2, 99) if record.kind != "refusals.folded"]
    said = [(record.kind, record.actor, record.facts) for record in records]
    brief = [(kind, actor, str(facts.get("reason", ""))[:24]) for kind, actor, facts in said]
    assert brief == [
        ("key.used", "client:alice", ""),
        ("key.refused", "client:alice", "the guard refuses: cliqu"),
        ("key.refused", "client:bob", "not a key of this client"),
        ("login.refused", f"certificate:{carol.fingerprint}", "not on the list"),
        ("key.refused", "client:alice", "there is no such method"),
        ("key.refused", "client:alice", "no header: data is no Cl"),
        ("admin.action", "local", ""),
    ]
    assert said[0][2] == {
        "key": PUBLIC, "what": "clique-header", "height": 5, "digest": hex_of(request(5).digest),
    }  # fmt: skip
    assert said[-1][2] == {
        "command": "settings read again", "keys": [ADDRESS], "clients": ["alice", "bob"],
    }  # fmt: skip
    assert main(["audit", "verify", "--folder", str(folder)]) == 0
    capsys.readouterr()


async def test_strangers_and_certificates_that_ran_out_are_turned_away(world: World) -> None:
    carol = world.authority.member("carol")
    late = world.authority.member("late", hours=-1)
    foreign = Authority(world.folder, "other").member("alice-of-other")
    async with running(world):
        listed = r"cannot be reached: it ended the connection \(.*is our certificate .* among its \[clients\]"
        ran_out = r"cannot be reached: our certificate .*late\.pem ran out on .*; renew it, no restart"
        for member, words in ((carol, listed), (late, ran_out), (foreign, listed)):
            with pytest.raises(SigningError, match=words):
                await ask(world.remote(member), request(1))
        elsewhere = Authority(world.folder, "elsewhere")
        with pytest.raises(SigningError, match=r"its certificate is not accepted .*signing\.remote_ca"):
            await ask(world.remote(world.alice, ca=elsewhere.path), request(1))
        await ask(world.remote(world.alice), request(1))


async def test_a_certificate_that_was_taken_back_signs_no_more_on_open_connections_either(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    crl = world.authority.revoke()
    told = world.config.read_text().replace("[clients]", f'tls_crl = "{crl.name}"\n[clients]')
    world.config.write_text(told)
    settings = load_service_settings(world.config)
    async with running(world) as serving:
        alice = world.remote(world.alice)
        await ask(alice, request(1))
        before = serving.stamps(world.config)
        world.authority.revoke(world.alice)
        assert serving.stamps(world.config) != before, "it is looked at like the other files"
        serving.take_up(settings)
        with pytest.raises(SigningError):
            await ask(alice, request(2))
        with pytest.raises(SigningError):
            await ask(world.remote(world.alice), request(2))
        assert "the certificate of alice was taken back" in caplog.text
        crl.write_text("nothing")
        with pytest.raises(ConfigError, match="no revocation list"):
            serving.take_up(settings)
        with pytest.raises(SigningError):
            await ask(world.remote(world.alice), request(2))
        world.authority.revoke(world.bob)
        serving.take_up(settings)
        await ask(world.remote(world.alice), request(2))


async def test_the_signers_certificate_that_ran_out_is_named(world: World) -> None:
    world.authority.member("signer", hours=-1)
    async with running(world):
        with pytest.raises(SigningError, match=r"its certificate is not accepted .*expired"):
            await ask(world.remote(world.alice), request(1))


async def test_a_signer_that_hangs_is_given_up(world: World) -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    world.port = listeners[0].socket.getsockname()[1]
    settings = SigningSettings(
        backend="remote",
        remote_url=f"http://127.0.0.1:{world.port}",
        remote_address=ADDRESS,
        timeout_s=0.05,
    )
    with pytest.raises(SigningError, match="cannot be reached: no answer in time"):
        await ask(open_key(settings), request(1))
    await listeners[0].aclose()


async def test_web3signers_surface(world: World) -> None:
    service = world.service()

    async def get(target: str) -> tuple[int, bytes]:
        answer = await service.answer(Client("alice"), "GET", target, b"")
        return answer.status, answer.body

    async def post(name: str, data: object) -> tuple[int, bytes]:
        answer = await service.answer(
            Client("alice"), "POST", f"/api/v1/eth1/sign/{name}", json.dumps({"data": data}).encode()
        )
        return answer.status, answer.body

    assert await get("/upcheck") == (200, b"OK")
    assert await get("/api/v1/eth1/publicKeys") == (200, json.dumps([PUBLIC]).encode())
    assert json.loads((await get("/healthcheck"))[1])["outcome"] == "UP"
    assert (await get("/metrics"))[0] == 404
    data = encode_unsealed(header_at(3))
    status, body = await post(PUBLIC, hex_of(data))
    signature = bytes.fromhex(body.decode()[2:])
    assert (status, signature[64] in (27, 28)) == (200, True)
    assert recover_address(keccak256(data), signature[:64] + bytes([signature[64] - 27])) == KEY.address
    for name in (ADDRESS, ADDRESS[2:], PUBLIC[2:].upper()):
        assert (await post(name, hex_of(data)))[1] == body
    assert (await post("0x" + "22" * 64, hex_of(data)))[0] == 404
    for wrong in ("", "0x", "0xzz", "hello", None, "0x" + "22" * 32, hex_of(encode_header(header_at(4)))):
        assert (await post(PUBLIC, wrong))[0] == 400
    assert (await post(PUBLIC, hex_of(encode_unsealed(header_at(2)))))[0] == 412
    for body in (b"", b"[]", b"\xff", b"[" * 9999, b'{"data": 5}'):
        answer = await service.answer(Client("alice"), "POST", f"/api/v1/eth1/sign/{PUBLIC}", body)
        assert answer.status == 400


async def test_clefs_surface(world: World) -> None:
    service = world.service()

    async def call(method: str, *parameters: object) -> object:
        body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": parameters}).encode()
        answer = json.loads((await service.answer(Client("alice"), "POST", "/", body)).body)
        assert (answer["jsonrpc"], answer["id"]) == ("2.0", 7)
        return answer["result"] if "result" in answer else answer["error"]["code"]

    clique = "application/x-clique-header"
    assert str(await call("account_version")).startswith("6.")
    assert await call("account_list") == [ADDRESS]
    header = header_at(3)
    short = await call("account_signData", clique, ADDRESS, hex_of(encode_unsealed(header)))
    assert short == await call("account_signData", clique, ADDRESS, hex_of(encode_header(header)))
    assert recover_address(seal_hash(header), bytes.fromhex(str(short)[2:])) == KEY.address
    assert await call("account_signData", "text/plain", ADDRESS, "0x00") == -32602
    assert await call("account_signData", clique, ADDRESS, "0x00") == -32602
    assert await call("account_signData", clique, ADDRESS) == -32602
    assert await call("account_signData", clique, ADDRESS, hex_of(encode_unsealed(header_at(1)))) == -32001
    assert await call("eth_sign", ADDRESS, "0x" + "22" * 32) == -32601
    assert await call("account_signTransaction", {}) == -32000


DRAFT = {
    "from": ADDRESS,
    "to": "0x" + "22" * 20,
    "gas": "0x5208",
    "value": "0x1",
    "nonce": "0x7",
    "chainId": "0x539",
}
FEES = (
    {"gasPrice": "0x3b9aca00"},
    {"maxFeePerGas": "0x77359400", "maxPriorityFeePerGas": "0x1"},
    {"gasPrice": "0x1", "accessList": [{"address": "0x" + "33" * 20, "storageKeys": ["0x" + "00" * 32]}]},
)


@pytest.mark.parametrize("fees", FEES, ids=["legacy", "fee market", "access list"])
async def test_a_key_whose_policy_says_so_signs_transactions_as_eth_account_does(
    world: World, fees: dict[str, object]
) -> None:
    policy = 'clients = ["alice"]\nkinds = ["transaction"]'
    world.config.write_text(world.config.read_text().replace('clients = ["alice"]', policy))
    service, fields = world.service(), DRAFT | fees | {"data": "0xabcd"}
    raw = await call(service, "eth_signTransaction", fields)
    by_clef = await call(service, "account_signTransaction", fields)
    theirs = Account.sign_transaction(
        {name: value for name, value in fields.items() if name != "from"}, KEY.secret_bytes()
    )
    assert raw == by_clef["raw"] == hex_of(theirs.raw_transaction)
    assert by_clef["tx"]["hash"] == hex_of(theirs.hash)
    assert await call(service, "eth_accounts") == [ADDRESS]
    refused = (
        fields | {"chainId": "0x1"},
        fields | {"nonce": "7"},
        fields | {"surprise": "0x1"},
        fields | {"input": "0x"},
        fields | {"to": "0x22"},
        {name: value for name, value in fields.items() if "Price" not in name and "max" not in name},
    )
    for wrong in refused:
        assert await call(service, "eth_signTransaction", wrong) == -32602, wrong
    assert await call(service, "account_signData", "application/x-clique-header", ADDRESS, "0x00") == -32602
    header = hex_of(encode_unsealed(header_at(3)))
    assert await call(service, "account_signData", "application/x-clique-header", ADDRESS, header) == -32000


async def test_a_validators_key_signs_no_transaction_unless_its_policy_says_so(world: World) -> None:
    service, fields = world.service(), DRAFT | {"gasPrice": "0x1"}
    assert await call(service, "eth_signTransaction", fields) == -32000
    assert await call(service, "account_signTransaction", fields | {"from": "0x" + "11" * 20}) == -32000


async def call(service: SigningService, method: str, *parameters: object) -> Any:
    """The result of a call by alice, or the code of its error."""
    body = json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": parameters}).encode()
    answer = json.loads((await service.answer(Client("alice"), "POST", "/", body)).body)
    return answer["result"] if "result" in answer else answer["error"]["code"]


def test_a_header_is_told_from_its_length_with_seal_or_without() -> None:
    for signers in (0, 1, 3, 13, 16):
        extra = bytes(32) + bytes(20 * signers) + bytes(65)
        header = replace(header_at(3), extra_data=extra)
        assert decode_unsealed(encode_unsealed(header)) == header
        assert decode_with_or_without_seal(encode_unsealed(header)) == header
        sealed = replace(header, extra_data=extra[:-65] + b"\x01" * 65)
        assert decode_with_or_without_seal(encode_header(sealed)) == header
        with pytest.raises(Exception, match="no Clique header"):
            decode_unsealed(encode_header(sealed))
    assert keccak256(rlp.encode(header_fields(header, extra_data=extra[:-65]))) == seal_hash(header)


async def test_noise_on_the_wire_harms_nobody(world: World) -> None:
    context = ssl.create_default_context(cafile=str(world.authority.path))
    context.load_cert_chain(world.alice.certificate, world.alice.key)
    async with running(world):
        for noise in (b"\0" * 100, b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000, b"POST / HTTP/1.1\r\n\r\n"):
            tcp = await trio.open_tcp_stream("127.0.0.1", world.port)
            stream = trio.SSLStream(tcp, context, server_hostname="127.0.0.1", https_compatible=True)
            await stream.do_handshake()
            try:
                await stream.send_all(noise)
                with trio.fail_after(60):
                    assert (await stream.receive_some()).startswith((b"HTTP/1.1 4", b"HTTP/1.1 200"))
            except trio.BrokenResourceError:
                pass  # it was closed while we were still talking
            await trio.aclose_forcefully(stream)
        plain = await trio.open_tcp_stream("127.0.0.1", world.port)
        await plain.send_all(b"GET /upcheck HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in await plain.receive_some()
        await plain.aclose()
        assert await ask(world.remote(world.alice), request(1))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('clients = ["alice"]', 'clients = ["eve"]', "keys.1.: client 'eve' is not in"),
        ("chain_id = 1337", 'chain_id = "x"', "Expected `int`"),
        ("chain_id = 1337", 'chain_id = 1\nkinds = ["tx"]', "kind 'tx' is not known"),
        ("port = 0", "prot = 0", "unknown field `prot`"),
        ('alice = "', 'alice = "zz', "clients.alice: not a SHA-256 fingerprint"),
        ("chain_id = 1337", 'chain_id = 1\nbackend = "pkcs11"', "pkcs11_module is missing"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said(world: World, old: str, new: str, words: str) -> None:
    world.config.write_text(world.config.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_service_settings(world.config)
    assert any(re.search(words, problem) for problem in caught.value.problems)


async def test_a_vote_without_its_header_never_leaves_the_node(world: World) -> None:
    bare = SigningRequest(kind="vote", chain_id=1337, height=1, digest=Hash32(bytes(32)))
    world.port = 1
    with pytest.raises(SigningError, match="whole headers only"):
        await ask(world.remote(world.alice), bare)
