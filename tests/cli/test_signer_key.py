"""`phoenix signer key`: a key beside another in a real token, out of use, back, and gone; taken up."""

import json
from pathlib import Path
from typing import Any

import pytest

from node.audit.batches import records_from
from node.cli.entry import main
from node.config.data_dir import audit_path
from node.primitives.crypto import PrivateKey
from node.primitives.ids import hex_of
from node.signing.keystore import store_key
from node.signing.service_settings import load_service_settings
from node.signing.serving import Serving
from node.signing.token_keys import create_key
from node.storage.memory import MemoryKV
from tests.signing.authority import Authority
from tests.signing.tokens import PIN, Tokens, shared_tokens

Capture = pytest.CaptureFixture[str]
FILE_KEY = PrivateKey(b"\x33" * 32)


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return shared_tokens(tmp_path_factory)


def settings_file(folder: Path, tokens: Tokens, label: str) -> tuple[Path, str]:
    """Two keys, one in a token and one in a file; the address of the first."""
    authority = Authority(folder)
    authority.member("signer")
    client = authority.member("node")
    for name, secret in (("pin", PIN), ("password", "pw")):
        (folder / name).write_text(secret)
        (folder / name).chmod(0o600)
    file = store_key(folder / "keys", FILE_KEY, "pw", scrypt_n=1 << 4).path
    name = tokens.name(label)
    address = hex_of(create_key(name, PIN))
    config = folder / "signer.toml"
    config.write_text(
        'port = 0\ndata_dir = "data"\ntls_certificate = "signer.pem"\ntls_key = "signer.key"\n'
        'tls_ca = "ca.pem"\n'
        f'[clients]\nnode = "{client.fingerprint}"\n\n[[keys]]\nchain_id = 7\nclients = ["node"]\n'
        f'keystore = "keys/{file.name}"\npassword_file = "password"\n\n'
        f'[[keys]]\nchain_id = 7\nclients = ["node"]  # it is delta\'s\nbackend = "pkcs11"\n'
        f'pkcs11_module = "{name.module}"\npkcs11_token = "{name.token}"\npkcs11_key = "{name.key}"\n'
        'pin_file = "pin"\n'
    )
    return config, address


def test_a_key_is_made_served_put_out_of_use_and_destroyed(
    tokens: Tokens, tmp_path: Path, capsys: Capture
) -> None:
    config, old = settings_file(tmp_path, tokens, "served")
    before = config.read_text()
    serving = Serving(load_service_settings(config), MemoryKV())

    def key(*words: str, code: int = 0) -> Any:
        assert main(["signer", "key", "--config", str(config), *words, "--json"]) == code
        serving.take_up(load_service_settings(config))
        said = capsys.readouterr()
        return json.loads(said.out) if code == 0 else said.err

    def served() -> set[str]:
        return {hex_of(address) for address in serving.service._keys}

    made = key("new", "--like", old)
    new = made["address"]
    assert made["pkcs11_key"] == "served@2"
    assert served() == {hex_of(FILE_KEY.address), old, new}
    assert key("new", "--like", old) == made, "who did not hear of it asks again"
    assert "is in use" in key("destroy", old, code=2)
    for _ in range(2):
        key("disable", old)
    assert served() == {hex_of(FILE_KEY.address), new}
    key("enable", old)
    assert old in served()
    key("disable", old)
    for _ in range(2):
        key("destroy", old)
    listed = {each["address"]: each["state"] for each in key("list")["keys"]}
    assert listed == {hex_of(FILE_KEY.address): "in use", new: "in use"}
    assert "no [[keys]] is that of" in key("disable", old, code=2)
    assert config.read_text().replace("served@2", "served").split() == before.split()
    assert config.stat().st_mode & 0o777 == 0o644
    serving.close()
    done = [record.facts.get("command") for record in records_from(audit_path(tmp_path / "data"), 2, 99)]
    assert done.count("phoenix signer key new") == 4
    assert {f"phoenix signer key {deed}" for deed in ("disable", "enable", "destroy")} < set(done)


def test_a_key_in_a_file_has_another_beside_it(tokens: Tokens, tmp_path: Path, capsys: Capture) -> None:
    config, _ = settings_file(tmp_path, tokens, "beside a file")
    like = ["--like", hex_of(FILE_KEY.address), "--light"]
    assert main(["signer", "key", "--config", str(config), "new", *like, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    keys = load_service_settings(config).keys
    assert len(keys) == 3
    assert keys[2].signing.keystore == tmp_path / made["keystore"]
    assert keys[2].signing.password_file == tmp_path / "password"
