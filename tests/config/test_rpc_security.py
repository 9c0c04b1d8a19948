"""Settings of the JSON-RPC that would let somebody in by omission are refused at start, with the reason."""

from pathlib import Path

import pytest

from node.config.load import load_settings
from node.config.rpc_checks import is_loopback
from node.config.settings import Settings
from node.primitives.errors import ConfigError

TOKENS = 'jwt_keys = "keys.pem"\njwt_issuer = "i"\njwt_audience = "a"\n'
TLS = 'tls_certificate = "node.pem"\ntls_key = "node.key"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("genesis.json", "keys.pem", "node.pem", "node.key", "ca.pem", "clients.toml", "keys.json"):
        (tmp_path / name).touch()
    return tmp_path


def load(folder: Path, rpc: str = "", auth: str = "") -> Settings:
    path = folder / "node.toml"
    path.write_text(f'data_dir = "data"\ngenesis = "genesis.json"\n[rpc]\n{rpc}\n[auth]\n{auth}\n')
    return load_settings(path)


def problems(folder: Path, rpc: str = "", auth: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, rpc, auth)
    return str(caught.value)


@pytest.mark.parametrize(
    ("rpc", "auth", "missing"),
    [
        ("", "", "without TLS (rpc.tls_certificate, rpc.tls_key) and authentication"),
        (TLS, "", "without authentication"),
        ("", TOKENS, "without TLS"),
        (TLS + 'client_certificates = "optional"\nclient_ca = "ca.pem"\n', "", "without authentication"),
    ],
)
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "node.example"])
def test_a_listener_for_other_machines_needs_tls_and_authentication(
    folder: Path, rpc: str, auth: str, missing: str, host: str
) -> None:
    said = problems(folder, f'host = "{host}"\n{rpc}', auth)
    assert f"rpc.host is {host}, which other machines reach, {missing}" in said
    assert "rpc.insecure = true" in said


@pytest.mark.parametrize(
    ("rpc", "auth"),
    [
        (TLS, TOKENS),
        (TLS, 'api_keys = "keys.json"'),
        (TLS + 'client_certificates = "required"\nclient_ca = "ca.pem"', ""),
        ("insecure = true", ""),
    ],
)
def test_what_is_complete_or_named_is_accepted(folder: Path, rpc: str, auth: str) -> None:
    assert load(folder, f'host = "0.0.0.0"\n{rpc}', auth).rpc.host == "0.0.0.0"


def test_the_admin_listener_is_held_to_the_same(folder: Path) -> None:
    assert "rpc.admin_host is 0.0.0.0" in problems(folder, 'admin_host = "0.0.0.0"\nadmin_port = 9999')
    assert load(folder, "admin_port = 9999").rpc.admin_host == "127.0.0.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_the_loopback_is_known_in_all_its_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    ("rpc", "auth", "words"),
    [
        ('tls_certificate = "node.pem"', "", "rpc.tls_key is missing"),
        ('tls_key = "node.key"', "", "rpc.tls_certificate is missing"),
        (TLS + 'client_certificates = "required"', "", "rpc.client_ca is missing"),
        ('client_certificates = "optional"\nclient_ca = "ca.pem"', "", "needs rpc.tls_certificate"),
        ("", 'clients = "clients.toml"', "nobody would show one"),
        ("", 'jwt_keys = "keys.pem"', "auth.jwt_issuer is missing"),
        ("", 'jwt_keys = "keys.pem"\njwt_issuer = "i"', "auth.jwt_audience is missing"),
        ("", 'jwt_issuer = "i"', "says how to verify"),
        ("", TOKENS.replace("jwt_keys", "jwks_url"), "it reads https://host/path"),
        ("", 'jwks_url = "http://id.example/k"\njwt_issuer = "i"\njwt_audience = "a"', "use https"),
        ("", 'local_roles = ["king"]', "'king' is no role"),
        ("", 'stranger_roles = ["admin"]', "would make everybody an administrator"),
        ("", 'api_keys = "nowhere.json"', "there is no such file"),
        ('namespaces = ["eth", "admin"]', "", "which has a listener of its own"),
        ("admin_port = 8545", "", "which rpc.port has already"),
    ],
)
def test_contradictions_are_named(folder: Path, rpc: str, auth: str, words: str) -> None:
    assert words in problems(folder, rpc, auth)
