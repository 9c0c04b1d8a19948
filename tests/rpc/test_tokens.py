"""Tokens of a real issuer in a process of its own; every way of forging one; keys that rotate."""

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from node.config.settings import AuthSettings
from node.primitives.errors import ConfigError
from node.rpc.identity import LoginRefused, Role
from node.rpc.jwks import ASK_AGAIN_S, KEEP_S, KeySource
from node.rpc.tokens import UnknownKey, VerifyingKey, claim, read_key_file, read_key_set, verify
from tests.rpc.client import call_bytes
from tests.rpc.issuer import AUDIENCE, ISSUER, claims, new_private_key, public_jwk
from tests.rpc.secured import ask, secured

NUMBER = call_bytes("eth_blockNumber")
SEND = call_bytes("eth_sendRawTransaction", "0x00")
TRACE = call_bytes("debug_traceBlockByNumber", "0x0")
SETTINGS = AuthSettings(jwt_issuer=ISSUER, jwt_audience=AUDIENCE)


class Issuer:
    """The process, and orders to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.url = f"http://127.0.0.1:{int(process.stdout.readline())}"

    def order(self, do: str, **more: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def token(self, kid: str, **changes: Any) -> str:
        return str(self.order("sign", kid=kid, claims=claims(**changes)))


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    command = [sys.executable, "-m", "tests.rpc.issuer"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        made = Issuer(process)
        for algorithm in ("RS256", "ES256", "EdDSA"):
            made.order("add", kid=algorithm, algorithm=algorithm)
        yield made
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)


def tokens_from(issuer: Issuer, page: str = "/jwks") -> dict[str, Any]:
    return {"jwks_url": issuer.url + page, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_token_of_the_issuer_brings_its_roles(issuer: Issuer, algorithm: str) -> None:
    async with secured(auth=tokens_from(issuer) | {"local_roles": ()}) as served:
        client = await served.http()
        auditor = issuer.token(algorithm, subject="ada", roles=("phoenix-auditor", "phoenix-nonsense"))
        assert b"genesis is not traceable" in (await ask(client, TRACE, auditor))[2]
        refusal = (await ask(client, SEND, auditor))[2]
        assert b"needs the role submitter; jwt:ada has anonymous, auditor, reader" in refusal


async def test_a_websocket_is_opened_with_a_token_and_ends_with_it(issuer: Issuer) -> None:
    async with secured(auth=tokens_from(issuer) | {"local_roles": (), "jwt_leeway_s": 0.5}) as served:
        ends = int(time.time()) + 300
        token = issuer.token("ES256", exp=ends)
        socket = await served.websocket(authorization=f"Bearer {token}")
        assert "result" in await socket.call("eth_subscribe", "newHeads")
        (identity,) = served.service._auth._tokens.values()
        assert identity.standing.ends_at == ends + 0.5
        identity.standing.ends_at = time.time()  # as if its time had passed
        closed = await socket.closed()
        assert (closed.code, "token has expired" in closed.reason) == (1008, True)


async def test_credentials_that_let_nobody_in_are_never_passed_over(issuer: Issuer) -> None:
    async with secured(auth=tokens_from(issuer)) as served:
        client = await served.http()
        status, headers, body = await ask(client, NUMBER, issuer.token("RS256", aud="somebody-else"))
        assert (status, headers["www-authenticate"]) == (401, 'Bearer realm="json-rpc"')
        assert b"Audience" in body
        with pytest.raises(ConnectionRefusedError):
            await served.websocket(authorization="Bearer nonsense")
        from node.audit.records import Kind

        assert [actor for actor, _ in served.trail.of(Kind.LOGIN_REFUSED)] == ["anonymous@127.0.0.1"] * 2
        assert b"phoenix_rpc_logins_refused 2.0" in served.metrics.exposition()


async def test_a_new_key_of_the_issuer_is_asked_for_and_a_withdrawn_one_ends(issuer: Issuer) -> None:
    async with secured(auth=tokens_from(issuer)) as served:
        client = await served.http()
        assert (await ask(client, NUMBER, issuer.token("RS256")))[0] == 200
        issuer.order("add", kid="next", algorithm="ES256")
        source = served.service._auth._source
        assert source is not None
        source._asked_at = None  # as if ASK_AGAIN_S had passed
        assert (await ask(client, NUMBER, issuer.token("next")))[0] == 200
        withdrawn = issuer.token("next", subject="late")
        issuer.order("drop", kid="next")
        source._asked_at = source._fetched_at = None
        assert (await ask(client, NUMBER, withdrawn))[0] == 401


# --- forged tokens


def pair(algorithm: str) -> tuple[Any, VerifyingKey]:
    key = new_private_key(algorithm)
    return key, VerifyingKey("kid", key.public_key(), algorithm)


def check(token: str, key: VerifyingKey, **changes: Any) -> Any:
    from dataclasses import replace

    return verify(token, [key], replace(SETTINGS, **changes), time.time())


def signed(key: Any, algorithm: str = "ES256", kid: str | None = "kid", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers={"kid": kid} if kid else None)


def raw(header: dict[str, Any], body: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(body).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "HS256", "HS512", "RS512", "", "ES384"])
def test_a_token_does_not_choose_its_algorithm(name: str) -> None:
    _, verifying = pair("ES256")
    with pytest.raises(LoginRefused):
        check(raw({"alg": name, "kid": "kid"}, claims(roles=("phoenix-admin",))), verifying)


def test_a_public_key_is_no_shared_secret() -> None:
    """The confusion of RS256 with HS256: the attacker signs with what everybody can read."""
    import hashlib
    import hmac

    _, verifying = pair("RS256")
    pem = verifying.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    unsigned = raw({"alg": "HS256", "kid": "kid"}, claims(roles=("phoenix-admin",))).rpartition(".")[0]
    mac = hmac.new(pem, unsigned.encode(), hashlib.sha256).digest()
    forged = unsigned + "." + base64.urlsafe_b64encode(mac).decode().rstrip("=")
    with pytest.raises(LoginRefused, match="algorithm that its key is not used with"):
        check(forged, verifying)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, '"exp"'),
        ({"nbf": 1 << 40}, "not yet valid"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"iss": None}, '"iss"'),
        ({"aud": "other"}, "Audience"),
        ({"aud": None}, '"aud"'),
        ({"sub": ""}, "is no name"),
        ({"sub": "x" * 200}, "is no name"),
        ({"sub": "a\nb"}, "is no name"),
    ],
)
def test_every_claim_is_checked(changes: dict[str, Any], words: str) -> None:
    key, verifying = pair("ES256")
    with pytest.raises(LoginRefused, match=words):
        check(signed(key, **changes), verifying)


def test_clocks_may_differ_by_the_leeway() -> None:
    key, verifying = pair("EdDSA")
    late = int(time.time()) - 20
    assert check(signed(key, "EdDSA", exp=late), verifying).name == "jwt:alice"
    with pytest.raises(LoginRefused):
        check(signed(key, "EdDSA", exp=late), verifying, jwt_leeway_s=5)


def test_a_signature_by_another_key_and_a_changed_token_are_refused() -> None:
    key, verifying = pair("ES256")
    other, _ = pair("ES256")
    with pytest.raises(LoginRefused):
        check(signed(other), verifying)
    token = signed(key)
    head, _, signature = token.split(".")
    altered = base64.urlsafe_b64encode(json.dumps(claims(roles=("phoenix-admin",))).encode()).decode()
    for forged in (f"{head}.{altered.rstrip('=')}.{signature}", token[:-4] + "AAAA", token * 50, "a.b", ""):
        with pytest.raises(LoginRefused):
            check(forged, verifying)


def test_an_unknown_key_id_is_told_apart() -> None:
    key, verifying = pair("ES256")
    with pytest.raises(UnknownKey):
        check(signed(key, kid="new"), verifying)
    assert check(signed(key, kid=None), verifying).name == "jwt:alice"


@pytest.mark.parametrize(
    ("path", "made", "roles"),
    [
        ("realm_access.roles", {}, {Role.ANONYMOUS, Role.READER}),
        ("scope", {"scope": "openid phoenix-submitter"}, {Role.ANONYMOUS, Role.READER, Role.SUBMITTER}),
        ("https://x.example/roles", {"https://x.example/roles": ["phoenix-admin"]}, set(Role)),
        ("resource_access.phoenix.roles", {"resource_access": 7}, {Role.ANONYMOUS}),
        ("realm_access.roles", {"realm_access": {"roles": [7, None, "reader"]}}, {Role.ANONYMOUS}),
    ],
)
def test_roles_stand_where_the_settings_say(path: str, made: dict[str, Any], roles: set[Role]) -> None:
    key, verifying = pair("ES256")
    assert check(signed(key, **made), verifying, jwt_roles_claim=path).roles == roles


def test_a_claim_is_found_by_its_path() -> None:
    assert claim({"a": {"b": 1}}, "a.b") == 1
    assert claim({"a.b": 2, "a": {"b": 1}}, "a.b") == 2
    assert claim({"a": [1]}, "a.b") is None


# --- keys


def test_key_sets_leave_out_what_must_not_verify() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    good = public_jwk(new_private_key("ES256"), "good", "ES256")
    weak = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key()))
    other_curve = json.loads(
        jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key())
    )
    keys = [{"kty": "oct", "k": "c2VjcmV0"}, weak, other_curve, good | {"use": "enc"}, {"kty": "?"}, good]
    assert [key.kid for key in read_key_set(json.dumps({"keys": keys}).encode())] == ["good"]
    for nonsense in (b"[]", b"{", b'{"keys": 7}', b'{"keys": [7]}'):
        with pytest.raises(ConfigError):
            read_key_set(nonsense)


def test_a_file_may_hold_several_keys_in_pem() -> None:
    pems = [
        new_private_key(kind).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        for kind in ("RS256", "ES256", "EdDSA")
    ]
    assert [key.algorithm for key in read_key_file(b"".join(pems))] == ["RS256", "ES256", "EdDSA"]
    with pytest.raises(ConfigError, match="not a public key"):
        read_key_file(pems[0].replace(b"MI", b"??"))


async def test_fetching_is_bounded_goes_nowhere_else_and_keeps_old_keys(issuer: Issuer) -> None:
    now = [0.0]
    for page in ("/huge", "/bad", "/away"):
        source = KeySource(issuer.url + page, None, 300.0, lambda: now[0])
        assert await source.keys() == ()
        assert source.problem is not None
    source = KeySource(issuer.url + "/jwks", None, 300.0, lambda: now[0])
    before = issuer.order("fetches")
    for _ in range(5):
        assert len(await source.keys(fresh=True)) == 3
    assert issuer.order("fetches") == before + 1, "not more than once in ASK_AGAIN_S"
    now[0] += ASK_AGAIN_S
    await source.keys(fresh=True)
    assert issuer.order("fetches") == before + 2
    source._url = issuer.url + "/bad"
    now[0] += 301
    assert len(await source.keys()) == 3
    assert "cannot be fetched" in str(source.problem)
    now[0] += KEEP_S
    assert await source.keys() == ()


async def test_keys_in_a_file_serve_without_an_issuer(tmp_path: Path) -> None:
    key = new_private_key("EdDSA")
    path = tmp_path / "issuer.pem"
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    auth = {"jwt_keys": path, "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    async with secured(auth=auth) as served:
        client = await served.http()
        assert (await ask(client, NUMBER, signed(key, "EdDSA", kid=None)))[0] == 200
