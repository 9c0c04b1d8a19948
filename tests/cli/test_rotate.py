"""`phoenix keys rotate` of a key in a real token, around a played network: killed anywhere, forth, back.

The network that is really there: tests/devnet/test_rotation_live.py.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from node.audit.batches import records_from
from node.cli.rotate import STEPS, Making, OnRecord, Patience, ValidatorRotation
from node.config.load import load_settings
from node.primitives.crypto import keccak256, recover_address
from node.primitives.errors import ConfigError
from node.primitives.ids import hex_of
from node.signing.opening import open_own_key
from node.signing.rotation import BEGUN, Journal, walk
from node.signing.signer import SigningRequest
from node.signing.token_keys import create_key, find_address, has_key
from tests.signing.tokens import PIN, Tokens, shared_tokens

OTHER = "0x" + "22" * 20
ASKED = SigningRequest(kind="test", chain_id=1, height=1, digest=keccak256(b"rotated"))


class Killed(BaseException):
    """The process is gone: nothing catches this."""


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return shared_tokens(tmp_path_factory)


@dataclass
class Played:
    """A validator and its chain: votes count at once, a start reads the settings and signs with that key."""

    config: Path
    signers: set[str] = field(default_factory=set)
    signer: str = ""
    calls: int = 0
    dies_at: int | None = None
    url: str = "played"

    def call(self, method: str, *parameters: Any) -> Any:
        self.live()
        match method:
            case "clique_getSigners":
                return sorted(self.signers)
            case "clique_getSealing":
                return {"signer": self.signer, "sealedBlocks": int(self.signer in self.signers)}
            case "clique_propose":
                (self.signers.add if parameters[1] else self.signers.discard)(parameters[0])
                return None
            case "eth_blockNumber":
                return "0x64"
        raise AssertionError(method)

    def start_again(self) -> None:
        """As the node does: the key that the settings name must sign."""
        self.live()
        key = open_own_key(load_settings(self.config).signing)
        assert recover_address(ASKED.digest, key.sign_digest(ASKED)) == key.address
        key.close()
        self.signer = hex_of(key.address)
        self.live()

    def live(self) -> None:
        self.calls += 1
        if self.calls == self.dies_at:
            raise Killed


@dataclass(frozen=True)
class Site:
    """A validator with its key in a token, and the command that changes it."""

    network: Played
    tokens: Tokens
    label: str
    journal: Path

    def rotate(self, to: str, dies_at: int | None = None) -> Journal:
        network = self.network
        network.calls, network.dies_at = 0, dies_at
        settings = load_settings(network.config)
        rotation = ValidatorRotation(
            network.config,
            settings,
            [network],
            network.start_again,
            Patience(5.0),
            Making(),  # type: ignore[list-item]
        )
        log = self.journal.with_name("log")
        return walk(OnRecord(rotation.choreography(), log), self.journal, to, lambda line: network.live())

    def labels(self) -> dict[str, str | None]:
        """Whose key each label has."""
        found = {}
        for name in ("", "@2", "@3"):
            place = self.tokens.name(self.label + name)
            address = find_address(place, PIN)
            if address is not None:
                found[hex_of(address)] = name + ("" if has_key(place, PIN) else " off")
        return found


@pytest.fixture
def site(tokens: Tokens, tmp_path: Path, request: pytest.FixtureRequest) -> Site:
    label = keccak256(request.node.name.encode()).hex()[:12]
    address = hex_of(create_key(tokens.name(label), PIN))
    (tmp_path / "pin").write_text(PIN)
    (tmp_path / "pin").chmod(0o600)
    (tmp_path / "genesis.json").write_text("{}")
    config = tmp_path / "node.toml"
    config.write_text(
        'data_dir = "data"\ngenesis = "genesis.json"\nrole = "validator"\n[production]\nenabled = true\n'
        f'[signing]\nbackend = "pkcs11"\npkcs11_module = "{tokens.name(label).module}"\n'
        f'pkcs11_token = "{tokens.steady}"\npkcs11_key = "{label}"  # ours\npin_file = "pin"\n'
    )
    return Site(Played(config, {OTHER, address}, address), tokens, label, tmp_path / "journal")


def test_a_key_in_a_token_goes_all_the_way_and_back_from_everywhere_but_the_end(site: Site) -> None:
    old = site.network.signer
    for place in STEPS[:-1]:
        facts = site.rotate(place).facts
        assert site.rotate(BEGUN).done == BEGUN
        assert (site.network.signer, site.network.signers) == (old, {OTHER, old}), place
        assert site.labels()[old] == ""
        # What was made is out of use; the next way begins with another one.
        new = site.tokens.name(facts["new_name"])
        assert not has_key(new, PIN)
        site.journal.unlink()
    assert "# ours" in site.network.config.read_text()


def test_the_end_is_the_end(site: Site) -> None:
    old = site.network.signer
    new = site.rotate("destroyed").facts["new_address"]
    assert (site.network.signer, site.network.signers) == (new, {OTHER, new})
    assert site.labels() == {new: "@2"}
    assert old != new
    with pytest.raises(ConfigError, match="does not come back"):
        site.rotate("disabled")
    records = [record.facts for record in records_from(site.journal.with_name("log"), 2, 99)]
    told = [(facts["deed"], facts["step"], facts["outcome"]) for facts in records]
    forth = [("do", step, outcome) for step in STEPS for outcome in ("begun", "done")]
    assert told == [*forth, ("take back", "destroyed", "begun"), ("take back", "destroyed", "failed")]
    assert all((facts["old_address"], facts["new_address"]) == (old, new) for facts in records[1:])
    # And on: the next one is the third.
    site.journal.unlink()
    assert site.rotate("disabled").facts["new_name"] == f"{site.label}@3"


def test_killed_at_any_moment_the_same_command_ends_it(site: Site) -> None:
    old = site.network.signer
    moment = 0
    while True:
        moment += 1
        try:
            journal = site.rotate("destroyed", dies_at=moment)
            break
        except Killed:
            assert site.network.signer in site.network.signers, "whoever signs is a signer, at every moment"
            assert any(has_key(site.tokens.name(site.label + name), PIN) for name in ("", "@2"))
    assert moment > len(STEPS), "it was killed on the way"
    assert journal.done == "destroyed"
    assert site.network.signers == {OTHER, site.network.signer}
    assert site.labels() == {site.network.signer: "@2"}, "one key was made, however often it was killed"
    assert site.network.signer != old


def test_killed_anywhere_it_turns_back_and_another_try_begins_anew(site: Site) -> None:
    old = site.network.signer
    for moment in range(2, 40, 7):
        try:
            site.rotate("disabled", dies_at=moment)
            break
        except Killed:
            assert site.rotate(BEGUN).done == BEGUN
        assert (site.network.signer, site.network.signers) == (old, {OTHER, old}), moment
        assert site.labels()[old] == ""
        site.journal.unlink()
    assert moment > 2, "it was killed on the way"
    assert site.network.signers == {OTHER, site.network.signer}


def test_a_key_that_the_chain_still_counts_on_is_not_put_out_of_use(site: Site) -> None:
    old = site.network.signer
    site.rotate("dropped")
    site.network.signers.add(old)  # somebody voted it in again
    for step in ("disabled", "destroyed"):
        with pytest.raises(ConfigError, match="stays in use"):
            site.rotate(step)
    assert site.labels()[old] == ""
