"""Validators and replicas as processes of a local network, for what happens between them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devnet.bring_up import PortChoice, bring_down, bring_up
from devnet.layout import Layout, open_layout
from devnet.manifest import load_manifest
from tests.ports import free_ports

START_TIMEOUT_S = 120.0


@contextmanager
def running_network(folder: Path, manifest: str) -> Iterator[Layout]:
    """Up and proved, on ports that nobody has; gone at the end."""
    file, home = folder / "network.toml", folder / "net"
    file.write_text(manifest)
    network = load_manifest(str(file))
    size = len(network.nodes)
    first = free_ports(3 * size)
    ports = PortChoice(first, first + size, first + 2 * size)
    try:
        bring_up(network, home, ports, fresh=False, timeout_s=START_TIMEOUT_S, say=lambda _: None)
        yield open_layout(home)
    finally:
        bring_down(home, clean=True, say=lambda _: None)
