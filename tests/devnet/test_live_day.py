"""A day of a cloud and a decision of the board on a network of real processes, by people's commands."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from contracts.__main__ import main
from contracts.bindings.validators import Validators
from contracts.suite import name_id
from devnet.day_chain import People
from devnet.layout import Layout, open_layout
from devnet.suite import MEMBERS
from devnet.suite_genesis import REGISTRY
from node.signing.keystore import write_secret_file
from tests.faults.live import ROOT
from tests.ports import free_ports

pytestmark = pytest.mark.long(50)

MANIFEST = """
name = "day"
chain_id = 325_002
period_s = 1
seed = "a day of a cloud: these keys are public"
[ports]
rpc = {0}
p2p = {1}
metrics = {2}
[[nodes]]
name = "alpha"
[[nodes]]
name = "beta"
"""
PATIENCE_S = 120.0


def run(*words: str) -> str:
    """A command's output; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A network of its own with the suite on it; gone at the end."""
    folder = tmp_path_factory.mktemp("day")
    first, manifest = free_ports(6), folder / "day.toml"
    manifest.write_text(MANIFEST.format(first, first + 2, first + 4))
    place = folder / "net"
    try:
        run("devnet", "--home", str(place), "up", "--network", str(manifest))
        yield place
    finally:
        run("devnet", "--home", str(place), "down", "--clean")


def test_every_book_of_the_day_agrees_with_the_model(home: Path) -> None:
    said = run("devnet", "--home", str(home), "load", "--profile", "cloud-day", "--seed", "7", "--json")
    findings: list[dict[str, Any]] = json.loads(said)
    assert [each for each in findings if not each["holds"]] == []
    assert {"deposit of account 6", "events of the day", "what billing runs"} <= {f["what"] for f in findings}
    assert all(each["holds"] for each in json.loads(run("devnet", "--home", str(home), "check", "--json")))


class Desk:
    """`python -m contracts` on this network, for one account after another."""

    def __init__(self, home: Path) -> None:
        self._layout: Layout = open_layout(home)
        self._home = home

    def __call__(self, place: int | None, command: str, *words: str) -> str:
        options = ["--rpc", self._layout.nodes[1].rpc_url, "--registry", str(self._home / REGISTRY)]
        if place is not None:
            path = self._home / f"key-{place}"
            if not path.exists():
                write_secret_file(path, self._layout.accounts[place]["private_key"].encode())
            options += ["--key-file", str(path)]
        # In this process: the board's members have seconds to vote.
        with redirect_stdout(StringIO()) as said:
            assert main([command, *options, *words]) == 0, (command, *words)
        return said.getvalue()

    def until(self, number: int, words: str) -> None:
        """Ask for the proposal's status until it says so."""
        deadline = time.monotonic() + PATIENCE_S
        while words not in (said := self(None, "status", str(number))):
            assert time.monotonic() < deadline, said
            time.sleep(0.1)


def test_the_board_decides_by_the_commands_of_its_members(home: Path) -> None:
    desk = Desk(home)
    document = home / "proposal.json"
    newcomer = "0x" + "51" * 20
    document.write_text(json.dumps({
        "class": "ordinary",
        "description": "A validator more.",
        "actions": [{"contract": "Validators", "function": "add",
                     "arguments": [newcomer, {"name": "newcomer"}]}],
    }))  # fmt: skip
    said = desk(MEMBERS[0], "propose", str(document))
    number = int(said.split()[0])
    assert f"Validators.add({newcomer}, 0x{name_id('newcomer').hex()})" in said
    for place in MEMBERS[:2]:
        desk(place, "vote", str(number), "for", "--reason", "Audited.")
    desk.until(number, "passed (anybody may queue it)  2 for, 0 against")
    # Whoever queues and executes has no document, and is nobody's member.
    desk(0, "queue", str(number))
    desk.until(number, "queued (anybody may execute it, in 0 s)")
    assert "executed" in desk(0, "execute", str(number))
    validators = People(open_layout(home), least=1).bound(Validators)
    assert newcomer in [each.lower() for each in validators.get_validators()]
