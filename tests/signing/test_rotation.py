"""A rotation is a walk that may stop anywhere, go on, and turn back."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from node.config.settings import SigningSettings
from node.primitives.errors import ConfigError
from node.signing.key_places import DISABLED, KeyStorePlace, RemotePlace, TokenPlace, address_in
from node.signing.keystore import KeyStoreError, create_key, unlock_key
from node.signing.rotation import BEGUN, path_between, read_journal, walk, with_setting
from node.signing.token_keys import create_key as create_token_key
from node.signing.token_keys import has_key
from tests.signing.tokens import PIN, Tokens

STEPS = ("made", "admitted", "switched")


class Dies(Exception):
    """The process is gone."""


class Steps:
    """A choreography that can be done and undone again, and dies when told."""

    what = "test"
    steps = STEPS

    def __init__(self) -> None:
        self.state: set[str] = set()
        self.told: list[str] = []
        self.dies_in: int | None = None

    def do(self, step: str, facts: Mapping[str, str]) -> Mapping[str, str]:
        self._live(f"do {step}")
        self.state.add(step)
        self._live(f"did {step}")
        return {step: "made of it"}

    def undo(self, step: str, facts: Mapping[str, str]) -> None:
        assert facts[step] == "made of it" or self.dies_in is not None
        self._live(f"undo {step}")
        self.state.discard(step)
        self._live(f"undid {step}")

    def _live(self, word: str) -> None:
        self.told.append(word)
        if self.dies_in is not None and len(self.told) > self.dies_in:
            raise Dies


def test_it_stops_where_it_is_told_and_goes_on_from_there(tmp_path: Path) -> None:
    steps, path = Steps(), tmp_path / "journal"
    assert walk(steps, path, "admitted", print).done == "admitted"
    assert steps.state == {"made", "admitted"}
    journal = walk(steps, path, "switched", print)
    assert (journal.done, journal.under_way) == ("switched", None)
    assert journal.facts == dict.fromkeys(STEPS, "made of it")
    assert path.stat().st_mode & 0o077 == 0
    assert steps.told == [f"{word} {step}" for step in STEPS for word in ("do", "did")]


def test_it_turns_back_step_by_step(tmp_path: Path) -> None:
    steps, path = Steps(), tmp_path / "journal"
    walk(steps, path, "switched", print)
    assert walk(steps, path, BEGUN, print).done == BEGUN
    assert steps.state == set()
    assert steps.told[6:] == [
        "undo switched", "undid switched", "undo admitted", "undid admitted", "undo made", "undid made",
    ]  # fmt: skip


@pytest.mark.parametrize(("dies_in", "target"), list(itertools.product(range(6), [*STEPS, BEGUN])))
def test_whoever_dies_anywhere_goes_on_or_turns_back(dies_in: int, target: str, tmp_path: Path) -> None:
    steps, path = Steps(), tmp_path / "journal"
    steps.dies_in = dies_in
    with pytest.raises(Dies):
        walk(steps, path, "switched", print)
    steps.dies_in = None
    journal = replace_facts(path)
    assert walk(steps, path, target, print).done == target
    assert steps.state == set(STEPS[: STEPS.index(target) + 1] if target != BEGUN else ())
    assert journal.what == "test"


def replace_facts(path: Path):
    """A step that died has left no facts of its own; the deeds of these tests ask for none."""
    content = json.loads(path.read_text())
    content["facts"] = dict.fromkeys(STEPS, "made of it")
    path.write_text(json.dumps(content))
    return read_journal(path, "test")


def test_a_journal_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    walk(Steps(), path, "made", print)
    with pytest.raises(ConfigError, match="another rotation"):
        read_journal(path, "node")
    path.write_text("{}")
    with pytest.raises(ConfigError, match="not the journal"):
        read_journal(path, "test")
    with pytest.raises(ConfigError, match="no step 'nowhere'"):
        path_between(STEPS, BEGUN, "nowhere")


def test_one_setting_is_replaced_and_nothing_else() -> None:
    toml = '# mine\n[signing]\nkeystore = "old"  # the key\npin = "x"\n\n[other]\nkeystore = "stays"\n'
    assert with_setting(toml, "signing", "keystore", 'n"ew') == toml.replace('"old"', '"n\\"ew"', 1)
    for wrong in ("pkcs11_key", "keystor"):
        with pytest.raises(ConfigError, match="stands 0 times"):
            with_setting(toml, "signing", wrong, "x")


def test_keys_in_a_key_store_are_made_put_out_of_use_and_destroyed(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pw")
    (tmp_path / "password").chmod(0o600)
    old = create_key(tmp_path / "keys", "pw", scrypt_n=1 << 4)
    settings = SigningSettings(keystore=old.path, password_file=tmp_path / "password")
    assert address_in(settings) == old.address
    place = KeyStorePlace(settings, tmp_path, 1 << 4)
    address, name = place.make(None)
    assert unlock_key(tmp_path / name, "pw").address == address != old.address
    with pytest.raises(KeyStoreError, match="is in use"):
        place.destroy(name)
    for _ in range(2):
        place.disable(name)
        assert not (tmp_path / name).exists()
    for _ in range(2):
        place.enable(name)
    assert unlock_key(tmp_path / name, "pw").address == address
    place.disable(name)
    for _ in range(2):
        place.destroy(name)
    assert not (tmp_path / (name + DISABLED)).exists()
    with pytest.raises(KeyStoreError, match="no such key file"):
        place.enable(name)


def test_keys_in_a_token_are_made_under_a_new_label_and_again_under_the_same(
    tokens: Tokens, tmp_path: Path
) -> None:
    name = tokens.name("sealer")
    create_token_key(name, PIN)
    (tmp_path / "pin").write_text(PIN)
    (tmp_path / "pin").chmod(0o600)
    settings = SigningSettings(
        backend="pkcs11",
        pkcs11_module=name.module,
        pkcs11_token=name.token,
        pkcs11_key=name.key,
        pin_file=tmp_path / "pin",
    )
    place = TokenPlace(settings)
    address, label = place.make(None)
    assert label == "sealer@2"
    assert place.make(label) == place.make(None) == (address, label), "after a crash it is found again"
    assert place.address_of(label) == address
    place.disable(label)
    with pytest.raises(KeyStoreError, match="taken out of use"):
        place.make(label)
    assert place.make(None)[1] == "sealer@3", "what is out of use is left alone"
    place.enable(label)
    place.disable(name.key)
    assert not has_key(name, PIN)
    place.enable(name.key)
    place.disable(name.key)
    place.destroy(name.key)
    assert place.address_of(name.key) is None
    assert TokenPlace(replace(settings, pkcs11_key="sealer@3")).make(None)[1] == "sealer@4"
    assert TokenPlace(replace(settings, pkcs11_key=label)).make("next")[1] == "next"


def test_a_key_at_a_remote_signer_is_made_there() -> None:
    old, new = "0x" + "11" * 20, "0x" + "ab" * 20
    settings = SigningSettings(backend="remote", remote_address=old)
    with pytest.raises(ConfigError, match=f"phoenix signer key new --config signer.toml --like {old}"):
        RemotePlace(settings, None).make(None)
    assert RemotePlace(settings, None).make(new)[1] == new
    told: list[Sequence[str]] = []

    def at_signer(words: Sequence[str]) -> str:
        told.append(words)
        return new

    place = RemotePlace(settings, at_signer)
    assert place.make(None)[1] == new
    for deed in (place.disable, place.enable, place.destroy):
        deed(old)
    assert told == [("new", "--like", old), ("disable", old), ("enable", old), ("destroy", old)]
