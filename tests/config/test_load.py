import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from node.config.load import load_settings
from node.config.settings import Settings
from node.primitives.errors import ConfigError

Write = Callable[[str], Path]
ID = "ab" * 64
HOST = "an IP address or a host name is needed, without scheme and port"
ENODE = "characters, or some that are not hex digits; it reads enode://<128 hex digits>@host:port"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write node.toml beside a genesis.json and a keystore.json that exist."""
    for name in ("genesis.json", "keystore.json", "password"):
        (tmp_path / name).write_text("{}")

    def node_toml(text: str) -> Path:
        path = tmp_path / "node.toml"
        path.write_text(text)
        return path

    return node_toml


def full(extra: str = "") -> str:
    return f'data_dir = "data"\ngenesis = "genesis.json"\n{extra}'


def problems(path: Path | None, env: dict[str, str] | None = None, *overrides: str) -> list[str]:
    """The problems, with the folder cut off."""
    with pytest.raises(ConfigError) as caught:
        load_settings(path, env, overrides)
    prefix = f"{path.parent}{os.sep}" if path else ""
    return [problem.replace(prefix, "") for problem in caught.value.problems]


def test_a_small_file_gives_the_defaults(write: Write, tmp_path: Path) -> None:
    settings = load_settings(write(full()))
    assert settings == Settings(data_dir=tmp_path / "data", genesis=tmp_path / "genesis.json")


def test_every_type_is_read_from_toml(write: Write, tmp_path: Path) -> None:
    settings = load_settings(
        write(
            full(f"""
name = "core-1"
role = "validator"
[rpc]
port = 9000
reply_timeout_s = 5
cors_origins = ["https://a.example", "*"]
enabled = true
[production]
enabled = true
[signing]
keystore = "keystore.json"
password_file = "./password"
[p2p]
static_peers = ["enode://{ID}@core-2.example:30303", "enode://{ID}@[::1]:30303?discport=0"]
[observability]
metrics_port = 9100
log_format = "json"
""")
        )
    )
    assert (settings.name, settings.role, settings.rpc.port) == ("core-1", "validator", 9000)
    assert (settings.rpc.reply_timeout_s, type(settings.rpc.reply_timeout_s)) == (5.0, float)
    assert settings.rpc.cors_origins == ("https://a.example", "*")
    assert settings.signing.password_file == tmp_path / "password"
    assert settings.observability.metrics_port == 9100
    assert settings.observability.log_format == "json"


def test_environment_wins_over_the_file_and_flags_over_both(write: Write) -> None:
    path = write(full('name = "file"\n[rpc]\nport = 1\n[pool]\nper_account_max = 7'))
    env = {"PHOENIX_RPC__PORT": "2", "PHOENIX_NAME": "variable", "HOME": "/root"}
    settings = load_settings(path, env, ["rpc.port=3"])
    assert (settings.rpc.port, settings.name, settings.pool.per_account_max) == (3, "variable", 7)


def test_variables_and_flags_are_read_as_the_type_that_is_wanted(write: Write) -> None:
    env = {
        "PHOENIX_RPC__ENABLED": "off",
        "PHOENIX_RPC__NAMESPACES": "eth, net,",
        "PHOENIX_RPC__REPLY_TIMEOUT_S": "2.5",
        "PHOENIX_P2P__ADVERTISE_HOST": "",
    }
    settings = load_settings(write(full()), env, ["rpc.cors_origins=", "observability.metrics_port=9_100"])
    assert settings.rpc.enabled is False
    assert settings.rpc.namespaces == ("eth", "net")
    assert settings.rpc.reply_timeout_s == 2.5
    assert settings.p2p.advertise_host is None
    assert settings.rpc.cors_origins == ()
    assert settings.observability.metrics_port == 9100


def test_paths_belong_to_the_file_and_those_of_flags_to_the_working_directory(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    settings = load_settings(write(full('node_key = "../key"')), {}, ["data_dir=here"])
    assert settings.data_dir == elsewhere / "here"
    assert settings.node_key == tmp_path.parent / "key"


def test_settings_need_no_file(write: Write, tmp_path: Path) -> None:
    write("")
    env = {"PHOENIX_GENESIS": str(tmp_path / "genesis.json"), "PHOENIX_DATA_DIR": str(tmp_path / "d")}
    assert load_settings(None, env) == Settings(data_dir=tmp_path / "d", genesis=tmp_path / "genesis.json")


def test_all_problems_come_at_once_each_with_its_place(write: Write) -> None:
    path = write(
        """\
data_dir = "data"
rol = "validator"

[rpc]
port = "8545"
  prot = 8546
namespaces = ["eth", "debg"]
[observability]
log_level = "inform"
[pools]
bytes_max = 1
"""
    )
    assert problems(path, {"PHOENIX_RPC__PROT": "1"}, "rpc.port", "production.enabled=maybe") == [
        "node.toml:2:1: rol is not a setting; did you mean role?",
        "node.toml:5:1: rpc.port is a whole number, not '8545'",
        "node.toml:6:3: rpc.prot is not a setting; did you mean rpc.port?",
        "node.toml:9:1: observability.log_level is one of 'debug', 'info', 'warning', 'error', not 'inform'; "
        "did you mean 'info'?",
        "node.toml:10:2: pools is not a section; did you mean [pool]?",
        "PHOENIX_RPC__PROT: is not a setting; did you mean PHOENIX_RPC__PORT?",
        "--set rpc.port: write it as key=value, for example rpc.port=8546",
        "--set production.enabled=maybe: production.enabled is true or false, not 'maybe'",
        "node.toml: genesis is missing; set it in the file or as PHOENIX_GENESIS",
        "node.toml:7:1: rpc.namespaces 'debg' is not a namespace; did you mean 'debug'?",
    ]


def test_a_setting_in_the_wrong_section_is_pointed_to_the_right_one(write: Write) -> None:
    assert problems(write(full("[p2p]\nlog_format = 'json'"))) == [
        "node.toml:4:1: p2p.log_format is not a setting; did you mean observability.log_format?"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rpc = 5", ":3:1: rpc is a section; write [rpc] and its settings below"),
        ("[name]\na = 1", ":3:2: name is text in quotes, not a section"),
        ("[rpc]\nport = true", ":4:1: rpc.port is a whole number, not true"),
        ("[rpc]\nport = 1.5", ":4:1: rpc.port is a whole number, not 1.5"),
        ("[rpc]\nport = 70000", ":4:1: rpc.port is 70000; 0 to 65535 is needed"),
        ("[rpc]\nreply_timeout_s = inf", ":4:1: rpc.reply_timeout_s is inf; a finite number is needed"),
        ("[rpc]\nreply_timeout_s = 0", ":4:1: rpc.reply_timeout_s is 0.0 seconds; more than 0 is needed"),
        ("[rpc]\nconnections_max = 0", ":4:1: rpc.connections_max is 0; 1 or more is needed"),
        ("[pool]\nreplacement_percent=-1", ":4:1: pool.replacement_percent is -1; 0 to 1000 is needed"),
        (
            "[rpc]\ncors_origins = '*'",
            ':4:1: rpc.cors_origins is a list of texts such as ["a", "b"], not \'*\'',
        ),
        ("[rpc]\nhost = 'http://x'", f":4:1: rpc.host is 'http://x'; {HOST}"),
        ("[p2p]\nhost = '999.1.1.1'", f":4:1: p2p.host is '999.1.1.1'; {HOST}"),
        ("[rpc]\nport = 30303", ":4:1: rpc.port is 30303, which p2p.port has already"),
        (
            f"[production]\nextra_vanity = '{'é' * 17}'",
            ":4:1: production.extra_vanity is 34 bytes of UTF-8; at most 32",
        ),
        (
            "[production]\nenabled = true",
            ':4:1: production.enabled is true, but role is "full"; only a validator does',
        ),
        (
            "[signing]\nkeystore = 'gone.json'",
            ":4:1: signing.keystore names gone.json, and there is no such file",
        ),
        (
            "[p2p]\nstatic_peers = ['enode://ab@host:1']",
            f":4:1: p2p.static_peers item 1: the node id has 2 {ENODE}",
        ),
        (f"[p2p]\nstatic_peers = ['enode://{'g' * 128}@h:1']", f": the node id has 128 {ENODE}"),
        (
            f"[p2p]\ntrusted_peers = ['enode://{ID}@h:0']",
            ":4:1: p2p.trusted_peers item 1: port 0 does not exist",
        ),
        (
            "[p2p]\ntls_key = 'password'",
            ": p2p.tls_ca is missing; mutual TLS needs tls_certificate, tls_key and ",
        ),
    ],
)
def test_each_impossible_value_is_refused_with_its_reason(write: Write, text: str, problem: str) -> None:
    assert any(found.startswith("node.toml") and problem in found for found in problems(write(full(text))))


def test_a_validator_needs_a_keystore_and_production(write: Write) -> None:
    assert problems(write(full('role = "validator"'))) == [
        "node.toml: signing.keystore is missing; a validator signs with it (`phoenix keys new` makes one)",
        'node.toml: production.enabled is false, but role is "validator"; set it, or set role = "full"',
    ]


def test_a_key_in_a_token_needs_its_place_and_no_keystore(write: Write) -> None:
    text = 'role = "validator"\n[production]\nenabled = true\n[signing]\nbackend = "pkcs11"\npkcs11_key = "k"'
    assert problems(write(full(text))) == [
        'node.toml: signing.pkcs11_module is missing; signing.backend = "pkcs11" needs it',
        'node.toml: signing.pkcs11_token is missing; signing.backend = "pkcs11" needs it',
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "signing.remote_url is missing"),
        (
            "remote_url = 'https://signer:9000'",
            "signing.remote_ca is missing; a signer is reached under mutual",
        ),
        (
            "remote_url = 'http://signer:9000'",
            "signing.remote_url is plain http to another machine; use https",
        ),
        ("remote_url = 'signer:9000'", "signing.remote_url is 'signer:9000'; it reads https://host:port"),
        ("remote_address = '0x12'", "signing.remote_address is '0x12'; 0x and 40 hex digits are needed"),
    ],
)
def test_a_remote_signer_needs_its_place_and_mutual_tls(write: Write, text: str, problem: str) -> None:
    lines = f'role = "validator"\n[production]\nenabled = true\n[signing]\nbackend = "remote"\n{text}'
    assert any(problem in found for found in problems(write(full(lines))))


def test_a_setting_that_is_blamed_already_is_not_blamed_again(write: Write) -> None:
    text = 'role = "validator"\n[production]\nenabled = "yes"\n[signing]\nkeystore = "keystore.json"'
    assert problems(write(full(text))) == ["node.toml:5:1: production.enabled is true or false, not 'yes'"]


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("a = \n", r"node.toml:1:5: not TOML: Invalid value"),
        ("[rpc]\nport = 1\nport = 2\n", r"node.toml:3:9: not TOML: Cannot overwrite a value"),
        ("a = '", r"node.toml: not TOML: .* \(at end of document\)"),
    ],
)
def test_what_is_not_toml_is_refused_with_line_and_column(write: Write, text: str, pattern: str) -> None:
    assert re.match(pattern, problems(write(text))[0])


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert problems(tmp_path / "gone.toml")[0] == "gone.toml: cannot be read: No such file or directory"


def test_variables_of_others_are_left_alone(write: Write) -> None:
    env = {
        "PHOENIX_VECTORS": "/somewhere",
        "PHOENIX_PORT": "tcp://10.0.0.1:80",
        "PHOENIX_RPC_PORT": "tcp://10.0.0.1:80",
    }
    load_settings(write(full()), env)


@pytest.mark.parametrize("name", ["PHOENIX_RPC_PORT", "PHOENIX_NAMR", "PHOENIX_RPC__WHATEVER"])
def test_a_variable_that_is_nearly_ours_is_a_problem(write: Write, name: str) -> None:
    assert problems(write(full()), {name: "1"})[0].startswith(f"{name}: is not a setting")


def test_an_archive_node_keeps_all_history_unasked(write: Write) -> None:
    settings = load_settings(write(full('role = "archive"')))
    assert settings.storage.history_blocks == 0
    assert load_settings(write(full())).storage.history_blocks == 90_000
    assert load_settings(write(full('role = "archive"\n[storage]\nhistory_blocks = 0'))) == settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'role = "archive"\n[storage]\nhistory_blocks = 5',
            'node.toml:5:1: storage.history_blocks is 5, but role is "archive", which forgets no state; '
            'leave it away, or set role = "full"',
        ),
        (
            "[archive]\nblocks_per_file = 64",
            'node.toml:4:1: archive.blocks_per_file is set, but role is "full"; an archive node writes files',
        ),
        (
            'role = "archive"\n[archive]\nblocks_per_file = 8193',
            "node.toml:5:1: archive.blocks_per_file is 8193; 1 to 8192 is needed",
        ),
        (
            'role = "archive"\n[archive]\ns3_bucket = "b-1"\ns3_endpoint = "http://s3.example"',
            "node.toml:6:1: archive.s3_endpoint is plain http to another machine; use https",
        ),
        (
            'role = "archive"\n[archive]\ns3_endpoint = "https://s3.example"',
            "node.toml:5:1: archive.s3_endpoint is set, but archive.s3_bucket is not; there is nothing "
            "to put where",
        ),
        (
            'role = "archive"\n[archive]\ns3_bucket = "B"',
            "node.toml:5:1: archive.s3_bucket is 'B', which is no name of a bucket",
        ),
        (
            'role = "archive"\n[archive]\nanchor_contract = "0x1"',
            "node.toml:5:1: archive.anchor_contract is '0x1'; 0x and 40 hex digits are needed",
        ),
        (
            'role = "archive"\n[archive]\nanchor_keystore = "keystore.json"',
            "node.toml: archive.anchor_contract or archive.anchor_registry says where AuditLog is: one of "
            "the two",
        ),
    ],
)
def test_settings_of_an_archive_that_contradict_are_refused(write: Write, text: str, said: str) -> None:
    assert said in problems(write(full(text)))
