from pathlib import Path

import pytest

from devnet.manifest import NodePlan, load_manifest
from node.primitives.errors import ConfigError


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "net.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_manifest(str(path))
    return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]


def test_the_local_network_has_four_validators_two_seconds_apart() -> None:
    network = load_manifest("local")
    assert len(network.validators) == 4
    assert [node.name for node in network.nodes if node.role == "replica"] == ["replica-1", "replica-2"]
    assert [node.name for node in network.nodes if node.role == "light"] == ["light-1", "light-2"]
    assert (network.period_s, network.fork_choice) == (2, "eip-3436")


def test_a_small_manifest_has_defaults(tmp_path: Path) -> None:
    path = tmp_path / "net.toml"
    path.write_text(
        'name = "n"\nchain_id = 9\nseed = "s"\n[[nodes]]\nname = "a"\n[[nodes]]\nname="b"\nrole="full"\n'
    )
    network = load_manifest(str(path))
    assert network.nodes == (NodePlan(name="a"), NodePlan(name="b", role="full"))
    assert network.validators == ("a",)


def test_all_mistakes_come_at_once_with_their_places(tmp_path: Path) -> None:
    text = 'nam = "x"\nchain_id = "1"\n[ports]\nrcp = 1\n[accounts]\ncount = 1.5\n[[nodes]]\nrole = "king"\n'
    assert problems(tmp_path, text) == [
        "net.toml:1:1: nam is not known here; did you mean name?",
        "net.toml:2:1: chain_id is a whole number, not '1'",
        "net.toml:4:1: rcp is not known here; did you mean rpc?",
        "net.toml:6:1: accounts.count is a whole number, not 1.5",
        "net.toml:8:1: nodes.role is one of 'validator', 'full', 'replica', 'light', 'archive', not 'king'",
        "net.toml:7:3: nodes.name is missing",
        "net.toml: name is missing",
        "net.toml: seed is missing",
    ]


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ('[[nodes]]\nname="a"\nrole="full"', "nobody would make blocks"),
        ('[[nodes]]\nname="a"\n[[nodes]]\nname="a"', "two nodes are called 'a'"),
        ('[[nodes]]\nname="../a"', "'../a' is no name for a node"),
        ('period_s = 0\n[[nodes]]\nname="a"', "period_s is 0; 1 or more is needed"),
        ('[ports]\nrpc = 30300\n[[nodes]]\nname="a"', "the rpc ports from 30300 overlap the p2p ports"),
        (
            '[ports]\nrpc = 65535\n[[nodes]]\nname="a"\n[[nodes]]\nname="b"',
            "ports 65535 to 65536 do not all exist",
        ),
        ("nodes = []", "0 nodes; 1 to 64 are possible"),
        ('[accounts]\ncount = 0\n[[nodes]]\nname="a"', "0 accounts; 1 to 10000 are possible"),
        ("nodes = 4", "nodes is a list of tables; write [[nodes]] above each"),
        ('ports = 4\n[[nodes]]\nname="a"', "ports is a section; write [ports]"),
    ],
)
def test_what_makes_no_network_is_refused(tmp_path: Path, extra: str, problem: str) -> None:
    found = problems(tmp_path, f'name = "n"\nchain_id = 9\nseed = "s"\n{extra}')
    assert any(problem in each for each in found)


def test_an_unknown_network_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="there are: local"):
        load_manifest("lokal")
