"""Our node as a process of its own, on ports of its own: what other clients meet."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from web3 import Web3
from web3.middleware import ExtraDataToPOAMiddleware

from node.config.settings import SigningSettings
from node.primitives.crypto import PrivateKey
from node.signing.keystore import store_key, write_secret_file
from tests.ports import free_port

PATIENCE_S: Final = 90.0
REMOTE: Final = (
    "backend",
    *(f"remote_{what}" for what in ("url", "dialect", "address", "certificate", "key", "ca")),
)
_QUICK_SCRYPT_N: Final = 1 << 12


@dataclass(frozen=True, slots=True)
class OurNode:
    """A running node."""

    name: str
    client: Web3
    enode: str
    log: Path
    admin: Web3

    def rpc(self, method: str, *params: Any) -> Any:
        """One raw call; AssertionError with the node's own words when it is refused."""
        changes_the_node = method.startswith("admin_") or method == "clique_propose"
        provider = (self.admin if changes_the_node else self.client).provider
        answer = provider.make_request(method, params)  # type: ignore[arg-type]
        assert "result" in answer, f"{self.name}: {method}: {answer}"
        return answer["result"]


@contextmanager
def our_node(
    folder: Path,
    name: str,
    genesis: dict[str, Any],
    *,
    signer: PrivateKey | None = None,
    static_peers: Sequence[str] = (),
    signing: SigningSettings | None = None,
    rpc_port: int | None = None,
) -> Iterator[OurNode]:
    """Start it, wait until its RPC answers, stop it by SIGTERM; it must end cleanly. A validator has its key
    from `signer`, or asks the service that `signing` names."""
    home = folder / name
    home.mkdir()
    (home / "genesis.json").write_text(json.dumps(genesis))
    rpc_port, admin_port = rpc_port or free_port(), free_port()
    key: Sequence[str] = ()
    if signer is not None:
        key = _in_key_store(home, signer)
    elif signing is not None:
        key = _at_service(signing)
    (home / "node.toml").write_text(_settings(name, (rpc_port, admin_port), key, static_peers))
    log = home / "node.log"
    with log.open("wb") as out:
        command = [sys.executable, "-m", "node", "run", "--config", str(home / "node.toml")]
        process = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            client = Web3(Web3.HTTPProvider(f"http://127.0.0.1:{rpc_port}"))
            client.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
            wait_until(lambda: process.poll() is not None or client.is_connected(), f"{name} answers", log)
            assert process.poll() is None, log.read_text()[-3000:]
            admin = Web3(Web3.HTTPProvider(f"http://127.0.0.1:{admin_port}"))
            enode = admin.provider.make_request("admin_nodeInfo", [])["result"]["enode"]  # type: ignore[arg-type]
            yield OurNode(name, client, enode, log, admin)
        finally:
            process.terminate()
            code = process.wait(timeout=30)
    assert code == 0, log.read_text()[-3000:]


def wait_until(holds: Callable[[], object], what: str, *logs: Path) -> None:
    """Ask again and again; AssertionError with the ends of the logs when it does not come true."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > deadline:
            tails = "\n".join(f"--- {log}\n{log.read_text(errors='replace')[-2500:]}" for log in logs)
            raise AssertionError(f"after {PATIENCE_S:.0f} s not: {what}\n{tails}")
        time.sleep(0.1)


def _settings(name: str, ports: tuple[int, int], key: Sequence[str], static_peers: Sequence[str]) -> str:
    lines = [
        f'name = "{name}"',
        f'role = "{"validator" if key else "full"}"',
        'data_dir = "data"',
        'genesis = "genesis.json"',
        "[p2p]",
        'host = "127.0.0.1"',
        'advertise_host = "127.0.0.1"',
        f"port = {free_port()}",
        f"static_peers = {json.dumps(list(static_peers))}",
        "[rpc]",
        f"port = {ports[0]}",
        f"admin_port = {ports[1]}",
        'namespaces = ["eth", "net", "web3", "clique"]',
        "[auth]",
        'admin_local_roles = ["admin"]',
    ]
    if key:
        lines += ["[production]", "enabled = true", "[signing]", *key]
    return "\n".join(lines) + "\n"


def _at_service(settings: SigningSettings) -> Sequence[str]:
    named = {name: getattr(settings, name) for name in REMOTE}
    return [f"{name} = {json.dumps(str(value))}" for name, value in named.items() if value is not None]


def _in_key_store(home: Path, key: PrivateKey) -> Sequence[str]:
    key_file = store_key(home / "keystore", key, "x", scrypt_n=_QUICK_SCRYPT_N)
    write_secret_file(home / "password", b"x\n")
    return (f'keystore = "keystore/{key_file.path.name}"', 'password_file = "password"')
