import dataclasses
import os
from pathlib import Path

import pytest

from contracts.suite import ACCOUNT_INGRESS
from devnet import signers
from devnet.bring_up import _start_signer
from devnet.errors import DevnetError
from devnet.generate import encode_toml, generate, genesis_of
from devnet.keys import node_key, sealing_key
from devnet.layout import HOST, Layout, open_layout
from devnet.manifest import Network, Ports, load_manifest
from devnet.members import may_dial, tier_of
from devnet.suite import address_book
from node.chain.genesis_json import load_genesis, parse_genesis
from node.config.load import load_settings
from node.permissioning.allowlist import read_allowlist
from node.permissioning.policy import Meeting, Tier
from node.primitives.chain_spec import Fork, ForkChoice
from node.primitives.crypto import PrivateKey
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, hex_of
from node.signing.keystore import list_keys, unlock_key
from node.signing.passwords import find_password
from node.signing.service_settings import load_service_settings
from p2p.enode import parse_enode


@pytest.fixture(autouse=True)
def without_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens take seconds; the test that is about them switches them on again."""
    monkeypatch.setattr(signers, "missing", lambda: "switched off")


@pytest.fixture
def network() -> Network:
    return load_manifest("local")


@pytest.fixture
def layout(network: Network, tmp_path: Path) -> Layout:
    return generate(network, tmp_path / "home")


def contents(home: Path) -> dict[str, bytes]:
    files = [path for path in home.rglob("*") if path.is_file()]
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


def test_every_node_starts_from_settings_that_hold(layout: Layout) -> None:
    for node in layout.nodes:
        settings = load_settings(node.config)
        assert (settings.name, settings.role, settings.rpc.port) == (node.name, node.plan.role, node.rpc_port)
        assert (settings.data_dir, settings.genesis) == (node.data_dir, layout.genesis)
        if node.plan.role == "light":
            assert settings.p2p.static_peers == ()
            assert settings.light.upstreams == tuple(other.rpc_url for other in layout.upstreams)
            assert settings.light.contract_names == address_book(layout.network)
            continue
        reached = [each for each in layout.peers if may_dial(node.plan, each.plan) and each != node]
        assert settings.p2p.static_peers == tuple(each.enode for each in reached)
        assert settings.permissioning.file is not None
        found = read_allowlist(settings.permissioning.file)
        for other in reached:
            meeting = Meeting(id=parse_enode(other.enode).public_key, host=HOST)
            assert found.meet(parse_enode(node.enode).public_key, meeting).allowed
        assert node.enode not in settings.p2p.static_peers


def test_the_keystore_opens_and_holds_the_key_that_genesis_lists(layout: Layout) -> None:
    spec = load_genesis(layout.genesis)
    for node in map(layout.node, layout.network.validators):
        settings = load_settings(node.config)
        assert settings.signing.keystore is not None
        key = unlock_key(settings.signing.keystore, find_password(settings.signing.password_file))
        assert key.address == sealing_key(layout.network.seed, node.name).address
        assert key.address in spec.genesis.extra_data


def test_members_have_the_tier_of_their_role_and_the_edge_reaches_no_validator(layout: Layout) -> None:
    tiers = {node.name: tier_of(node.plan) for node in layout.nodes}
    assert (tiers["alpha"], tiers["replica-1"], tiers["light-1"]) == (Tier.CORE, Tier.REGIONAL, Tier.EDGE)
    for node in layout.nodes:
        assert may_dial(layout.node("light-1").plan, node.plan) is (tier_of(node.plan) is Tier.REGIONAL)


def test_accounts_are_asked_for_from_block_1_where_there_is_a_contract_suite(layout: Layout) -> None:
    asked = load_genesis(layout.genesis).account_permissioning
    assert asked is not None
    assert (asked.from_block, asked.whole) == (1, False)
    assert asked.ingress == Address(bytes.fromhex(ACCOUNT_INGRESS[2:]))
    bare = dataclasses.replace(layout.network, contract_suite=False)
    assert parse_genesis(genesis_of(bare)).account_permissioning is None


def test_genesis_is_london_from_block_0_with_the_total_order(layout: Layout) -> None:
    spec = load_genesis(layout.genesis)
    assert (spec.chain_id, spec.fork_at(0)) == (325_000, Fork.LONDON)
    assert (spec.engine.period_s, spec.engine.fork_choice) == (2, ForkChoice.TOTAL_ORDER)
    funded = [account for account in spec.alloc.values() if not account.code]
    assert [account.balance for account in funded] == [10**24] * 11, "ten, and the archive node's account"
    assert len(spec.alloc) == 13, "and the two doors of the contract suite"


def test_a_network_shared_with_geth_names_nothing_that_geth_does_not_know(
    network: Network, tmp_path: Path
) -> None:
    shared = dataclasses.replace(network, fork_choice="total-difficulty")
    spec = load_genesis(generate(shared, tmp_path).genesis)
    assert spec.engine.fork_choice is ForkChoice.TOTAL_DIFFICULTY


def test_the_enode_is_that_of_the_node_key(layout: Layout) -> None:
    node = layout.node("beta")
    identity = PrivateKey(bytes.fromhex(node.node_key.read_text().strip())).public_key.hex()
    assert node.enode == f"enode://{identity}@127.0.0.1:30301"
    assert identity == node_key(layout.network.seed, "beta").public_key.hex()


def test_everything_is_readable_by_its_owner_only(layout: Layout) -> None:
    for path in layout.home.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0, path


def test_generating_again_changes_nothing(layout: Layout, network: Network) -> None:
    before = contents(layout.home)
    generate(network, layout.home)
    assert contents(layout.home) == before
    assert open_layout(layout.home) == layout


def test_the_chain_is_the_same_in_every_home(layout: Layout, network: Network, tmp_path: Path) -> None:
    other = generate(network, tmp_path / "other")
    assert other.genesis.read_bytes() == layout.genesis.read_bytes()


def test_an_edited_node_toml_stays_until_the_network_changes(layout: Layout, network: Network) -> None:
    config = layout.node("alpha").config
    config.write_text(config.read_text() + "# tried something\n")
    generate(network, layout.home)
    assert "tried something" in config.read_text()
    generate(dataclasses.replace(network, ports=Ports(rpc=18545)), layout.home)
    assert "tried something" not in config.read_text()
    assert load_settings(config).rpc.port == 18545


def test_a_chain_with_another_genesis_is_not_thrown_away_unasked(layout: Layout, network: Network) -> None:
    before = contents(layout.home)
    with pytest.raises(DevnetError, match="up --fresh"):
        generate(dataclasses.replace(network, chain_id=1), layout.home)
    assert contents(layout.home) == before


def test_an_interrupted_generation_is_finished(layout: Layout, network: Network) -> None:
    before = contents(layout.home)
    (layout.home / "network.json").unlink()
    os.unlink(layout.node("gamma").config)
    os.unlink(list_keys(layout.node("delta").keystore)[0].path)
    generate(network, layout.home)
    assert {name for name in contents(layout.home) if "UTC" not in name} == {
        name for name in before if "UTC" not in name
    }
    load_settings(layout.node("delta").config)


def test_a_damaged_network_file_is_named(layout: Layout) -> None:
    (layout.home / "network.json").write_text("{")
    with pytest.raises(DevnetError, match=r"network\.json cannot be read"):
        open_layout(layout.home)


def test_toml_keeps_texts_that_need_escaping(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text(encode_toml({"name": 'a"\\\n[x]', "rpc": {"cors_origins": ['"'], "enabled": True}}))
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert all("missing" in problem for problem in caught.value.problems)


def test_a_key_in_a_token_has_a_signer_whose_settings_hold(
    network: Network, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.undo()
    if (why := signers.missing()) is not None:
        pytest.skip(why)
    plans = tuple(plan for plan in network.nodes if plan.name in ("alpha", "delta"))
    layout = generate(dataclasses.replace(network, nodes=plans), tmp_path / "home")
    delta = layout.node("delta")
    settings, served = load_settings(delta.config), load_service_settings(delta.signer.config)
    assert settings.signing.backend == "remote"
    assert settings.signing.remote_address == hex_of(sealing_key(network.seed, "delta").address)
    assert settings.signing.remote_url == f"https://127.0.0.1:{served.port}"
    assert (served.keys[0].signing.backend, served.keys[0].clients) == ("pkcs11", frozenset({"delta"}))
    assert not delta.keystore.exists(), "the key lies in the token alone"
    key = sealing_key(network.seed, "delta").secret_bytes()
    for path in layout.home.rglob("*"):
        if path.is_file():
            assert path.stat().st_mode & 0o077 == 0, path
            assert key.hex() not in path.read_bytes().decode(errors="replace"), path
    before = contents(layout.home)
    generate(dataclasses.replace(network, nodes=plans), layout.home)
    assert contents(layout.home) == before
    moved = dataclasses.replace(network, nodes=plans, ports=Ports(metrics=19545))
    generate(moved, layout.home)
    assert load_service_settings(delta.signer.config).port == 19545 + 2


def test_without_softhsm_the_key_lies_in_a_key_store_and_the_network_says_so(
    network: Network, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))  # no softhsm2-util there
    plans = tuple(plan for plan in network.nodes if plan.name in ("alpha", "delta"))
    layout = generate(dataclasses.replace(network, nodes=plans), tmp_path / "home")
    delta, said = layout.node("delta"), list[str]()
    assert delta.plan.key == "token"
    assert load_settings(delta.config).signing.backend == "keystore"
    assert not delta.has_signer
    for node in layout.nodes:
        _start_signer(node, said.append)
    assert said == [
        "key store   delta keeps its key like the others: "
        "SoftHSM2 is not installed (Debian: apt install softhsm2)"
    ]
    # Whoever installs it later is told what uses it; a key is never moved unasked.
    monkeypatch.undo()
    if signers.missing() is None:
        generate(dataclasses.replace(network, nodes=plans), layout.home)
        _start_signer(delta, said.append)
        assert said[1].endswith("SoftHSM2 came after this chain; `--fresh` uses it")
