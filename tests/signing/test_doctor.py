"""What `phoenix keys doctor` finds, and that it finds nothing where nothing is wrong."""

import json
import os
from pathlib import Path

import pytest

from node.cli.entry import main
from node.config.data_dir import guard_path
from node.config.load import load_settings
from node.primitives.crypto import PrivateKey
from node.signing.doctor import examine, examine_signer
from node.signing.keystore import store_key
from node.signing.service_settings import load_service_settings
from tests.signing.authority import Authority

KEY = PrivateKey(b"\x11" * 32)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A validator with nothing wrong."""
    tmp_path.chmod(0o700)
    (tmp_path / "secrets").mkdir(mode=0o700)
    password = tmp_path / "secrets" / "password"
    password.write_text("pw")
    password.chmod(0o600)
    (tmp_path / "genesis.json").write_text("{}")
    keystore = store_key(tmp_path / "keys", KEY, "pw", scrypt_n=1 << 4).path
    document = json.loads(keystore.read_text())
    document["crypto"]["kdfparams"]["n"] = 1 << 18  # what it says counts, and it is quicker so
    keystore.write_text(json.dumps(document))
    guard_path(tmp_path / "data").mkdir(parents=True, mode=0o700)
    path = tmp_path / "node.toml"
    path.write_text(
        f'data_dir = "data"\ngenesis = "genesis.json"\nrole = "validator"\n[production]\nenabled = true\n'
        f'[signing]\npassword_file = "secrets/password"\nkeystore = "keys/{keystore.name}"\n'
    )
    return path


def findings(config: Path, days: float = 0) -> list[str]:
    """As "name: text"."""
    settings = load_settings(config)
    assert settings.signing.keystore is not None
    now = settings.signing.keystore.stat().st_mtime + days * 86_400
    return [f"{Path(each.place).name}: {each.text}" for each in examine(settings, now)]


def keystore_of(config: Path) -> Path:
    path = load_settings(config).signing.keystore
    assert path is not None
    return path


def test_nothing_is_found_where_nothing_is_wrong(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert findings(config) == []
    assert main(["keys", "doctor", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"findings": []}


def test_files_and_folders_that_others_can_reach_are_found(config: Path) -> None:
    keystore_of(config).chmod(0o640)
    (config.parent / "secrets").chmod(0o777)
    node_key = config.parent / "data" / "nodekey"
    node_key.write_text("11" * 32)
    node_key.chmod(0o644)
    assert [text.split(":")[1].strip() for text in findings(config)] == [
        "mode is 0640",
        "mode is 0777",
        "mode is 0644",
    ]


def test_a_key_that_is_not_encrypted_is_found(config: Path) -> None:
    (keystore_of(config).parent / "old.hex").write_text("0x" + "11" * 32 + "\n")
    assert "old.hex: looks like a key that is not encrypted" in findings(config)[0]
    keystore_of(config).write_text("11" * 32)
    assert sum("not encrypted" in text for text in findings(config)) == 2


def test_a_password_that_is_quickly_guessed_and_one_beside_its_key_are_found(config: Path) -> None:
    keystore = keystore_of(config)
    keystore.write_text(keystore.read_text().replace(str(1 << 18), "4096"))
    os.rename(config.parent / "secrets" / "password", keystore.parent / "password")
    config.write_text(config.read_text().replace("secrets/", "keys/"))
    assert "quickly guessed (scrypt, 4096)" in findings(config)[0]
    assert "lies beside the key it opens" in findings(config)[1]


def test_a_missing_guard_an_old_key_and_the_rule_of_recovery_are_found(config: Path) -> None:
    guard_path(config.parent / "data").rmdir()
    config.write_text(config.read_text() + 'guard_rule = "weight"\n')
    missing, rule, age = findings(config, days=400)
    assert missing.startswith("guard: there is no guard")
    assert rule.startswith('signing.guard_rule: is "weight"')
    assert "the key is 400 days old" in age


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"crypto": {"kdf": "scrypt"}}', b"\xff"])
def test_what_is_no_key_store_is_found(config: Path, content: bytes) -> None:
    keystore_of(config).write_bytes(content)
    assert findings(config)[0].endswith("is no key store of version 3")


def test_findings_are_exit_code_1(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keystore_of(config).chmod(0o644)
    assert main(["keys", "doctor", "--config", str(config)]) == 1
    said = capsys.readouterr()
    assert "chmod 0600" in said.out
    assert "1 finding" in said.err


def test_a_certificate_that_runs_out_is_found(config: Path) -> None:
    authority = Authority(config.parent)
    member = authority.member("node", hours=24 * 400)
    config.write_text(
        config.read_text()
        + f'backend = "remote"\nremote_url = "https://127.0.0.1:1"\nremote_address = "0x{"11" * 20}"\n'
        f'remote_certificate = "{member.certificate}"\nremote_key = "{member.key}"\n'
        f'remote_ca = "{member.certificate}"\n'
    )
    assert findings(config) == []
    assert "node.pem: runs out in 20 days" in findings(config, days=380)[0]
    assert "node.pem: ran out" in findings(config, days=410)[0]


def test_a_driver_of_tokens_that_others_can_change_is_found(config: Path) -> None:
    module = config.parent / "driver" / "token.so"
    text = config.read_text()
    config.write_text(
        f'{text}backend = "pkcs11"\npkcs11_module = "{module}"\npkcs11_token = "t"\npkcs11_key = "k"\n'
    )
    module.parent.mkdir(mode=0o755)
    module.write_text("")
    module.chmod(0o755)
    assert findings(config) == []
    module.chmod(0o775)
    module.parent.chmod(0o777)
    assert [text.split(":")[1].strip() for text in findings(config)] == ["mode is 0775", "mode is 0777"]


@pytest.fixture
def signer(tmp_path: Path) -> Path:
    """The settings of a signer with nothing wrong."""
    tmp_path.chmod(0o700)
    (tmp_path / "secrets").mkdir(mode=0o700)
    (tmp_path / "secrets" / "pin").write_text("87654321")
    (tmp_path / "secrets" / "pin").chmod(0o600)
    module = tmp_path / "driver" / "token.so"
    module.parent.mkdir(mode=0o755)
    module.touch(0o755)
    authority = Authority(tmp_path)
    authority.member("signer", hours=24 * 400)
    guard_path(tmp_path / "data").mkdir(parents=True, mode=0o700)
    path = tmp_path / "signer.toml"
    path.write_text(
        f'data_dir = "data"\ntls_certificate = "signer.pem"\ntls_key = "signer.key"\ntls_ca = "signer.pem"\n'
        f'[clients]\nalice = "{"ab" * 32}"\n[[keys]]\nchain_id = 1\nclients = ["alice"]\n'
        f'backend = "pkcs11"\npkcs11_module = "{module}"\npkcs11_token = "t"\npkcs11_key = "k"\n'
        'pin_file = "secrets/pin"\n'
    )
    return path


def of_signer(config: Path, days: float = 0) -> list[str]:
    now = config.stat().st_mtime + days * 86_400
    found = examine_signer(config, load_service_settings(config), now)
    return [f"{Path(each.place).name}: {each.text}" for each in found]


def test_nothing_is_found_at_a_signer_where_nothing_is_wrong(
    signer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert of_signer(signer) == []
    assert main(["keys", "doctor", "--signer", str(signer), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"findings": []}


def test_what_is_unsafe_at_a_signer_is_found(signer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (signer.parent / "secrets" / "pin").chmod(0o644)
    (signer.parent / "signer.key").chmod(0o640)
    (signer.parent / "driver" / "token.so").chmod(0o777)
    guard_path(signer.parent / "data").rmdir()
    (signer.parent / "old.crl").write_text("nothing")
    text = signer.read_text()
    text = text.replace("chain_id = 1", 'chain_id = 1\nkinds = ["clique-header", "transaction"]')
    signer.write_text('lease_s = 0\ntls_crl = "old.crl"\n' + text)
    signer.chmod(0o660)
    found = of_signer(signer, days=395)
    for words in (
        "pin: mode is 0644",
        "signer.key: mode is 0640",
        "signer.toml: others can change who may sign here",
        "guard: there is no guard",
        "signer.pem: runs out in 5 days",
        "old.crl: ",
        "lease_s: is 0",
        "keys[1]: one key seals and spends",
        "token.so: mode is 0777",
    ):
        assert any(text.startswith(words) for text in found), (words, found)
    assert any("no node reaches the signer" in text for text in of_signer(signer, days=410))
    assert main(["keys", "doctor", "--signer", str(signer)]) == 1
    assert "chmod 0600" in capsys.readouterr().out
