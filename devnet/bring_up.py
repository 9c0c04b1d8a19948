"""Bring a network up and prove that it works, from whatever state its home directory is in.

Nothing there: generate and start. Running: prove it again. Some nodes dead or paused: start or resume
those, on their own data. Another network there, or other ports while nodes run: say so, and what to do.
"""

import dataclasses
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devnet import launcher, signers
from devnet.client import on_all
from devnet.errors import DevnetError
from devnet.generate import generate
from devnet.layout import Layout, NodeFiles, network_file, open_layout
from devnet.manifest import Network, check_ports
from devnet.network import RunningNetwork, Say
from devnet.proof import Proof, prove

BLOCKS_FIRST: Final = 2
"""Heads to wait for before work is sent: everybody has then seen a block of somebody else."""


@dataclass(frozen=True, slots=True)
class PortChoice:
    """First ports given on the command line; None keeps the manifest's."""

    p2p: int | None = None
    rpc: int | None = None
    metrics: int | None = None
    admin: int | None = None


def bring_up(
    network: Network, home: Path, choice: PortChoice, *, fresh: bool, timeout_s: float, say: Say
) -> Proof:
    """Start what does not run, wait until all are connected and sealing, and prove it with real work."""
    if fresh:
        throw_away(home, say)
    network = with_ports(network, home, choice)
    layout = prepare(network, home)
    start_missing(layout, say)
    with RunningNetwork(layout) as running:
        running.wait_connected(timeout_s, lambda line: say(f"connecting  {line}"))
        running.wait_heads(BLOCKS_FIRST, timeout_s, lambda line: say(f"sealing     {line}"))
        return prove(running, lambda line: say(f"proof       {line}"))


def with_ports(network: Network, home: Path, choice: PortChoice) -> Network:
    """The network with the ports chosen now, or else those chosen when its home was made."""
    path = home / "ports.json"
    chosen = {name: port for name, port in dataclasses.asdict(choice).items() if port is not None}
    if not chosen and path.exists():
        chosen = json.loads(path.read_text())
    moved = dataclasses.replace(network, ports=dataclasses.replace(network.ports, **chosen))
    problems = [f"{'.'.join(keys)}: {text}" for keys, text in check_ports(moved)]
    if problems:
        raise DevnetError("\n".join(problems))
    if chosen:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(json.dumps(chosen) + "\n")
    return moved


def prepare(network: Network, home: Path) -> Layout:
    """Generate what is missing; DevnetError when nodes run that a change would pull the ground from under."""
    if network_file(home).exists():
        before = open_layout(home)
        alive = [node.name for node in before.nodes if launcher.process_of(node).state != "stopped"]
        if alive and before.network != network:
            raise DevnetError(
                f"{', '.join(alive)} run with other settings ({_difference(before.network, network)}); "
                "`python -m devnet down` stops them"
            )
    return generate(network, home)


def start_missing(layout: Layout, say: Say) -> None:
    """Resume what is paused, start what is stopped; all taken ports are reported before anything starts."""
    states = {node: launcher.process_of(node).state for node in layout.nodes}
    launcher.refuse_taken_ports([node for node, state in states.items() if state == "stopped"])
    for node, state in states.items():
        _start_signer(node, say)
        if state == "paused":
            launcher.resume(node)
            say(f"resumed     {node.name}")
        elif state == "stopped":
            again = "again, on its own data" if node.data_dir.exists() else ""
            process = launcher.start(node)
            say(f"started     {node.name}  pid {process.pid}  {node.rpc_url}  {again}".rstrip())
        else:
            say(f"running     {node.name}  already")


def _start_signer(node: NodeFiles, say: Say) -> None:
    if node.has_signer and launcher.process_of(node.signer).state != "running":
        process = signers.start(node.signer)
        pid = "" if process is None else f"  pid {process.pid}"
        say(f"started     {node.signer.name}{pid}  {node.signer.url}  the key of {node.name} in SoftHSM2")
    elif not node.has_signer and node.plan.key == "token":
        why = signers.missing() or "SoftHSM2 came after this chain; `--fresh` uses it"
        say(f"key store   {node.name} keeps its key like the others: {why}")


def bring_down(home: Path, *, clean: bool, say: Say) -> None:
    """Stop every node, all at the same time; with `clean`, throw the chain away too."""
    if clean:
        throw_away(home, say)
        return
    _stop_all(open_layout(home), say)


def throw_away(home: Path, say: Say) -> None:
    """Stop the nodes and remove the directory, when it is one of ours."""
    if network_file(home).exists():
        _stop_all(open_layout(home), say)
        # Piece by piece: the lock that this command holds lies in the same directory.
        for path in home.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "lock":
                path.unlink()
        say(f"removed     {home}")
    elif home.exists() and any(path.name != "lock" for path in home.iterdir()):
        raise DevnetError(f"{home} holds no network made by devnet; it is left alone")


def _stop_all(layout: Layout, say: Say) -> None:
    # At the same time: each stop waits for its node.
    for node, how in zip(layout.nodes, on_all(layout.nodes, launcher.stop), strict=True):
        say(f"{node.name}: {how}")


def _difference(before: Network, now: Network) -> str:
    names = [field.name for field in dataclasses.fields(Network)]
    return ", ".join(name for name in names if getattr(before, name) != getattr(now, name))
