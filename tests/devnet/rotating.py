"""A network of real processes on which keys and certificates are changed: where they lie, and by what."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from devnet.client import RpcClient, Unreachable
from devnet.layout import Layout, NodeFiles, open_layout
from devnet.load import Outcome, Plan, run_load
from devnet.network import RunningNetwork
from node.config.load import load_settings
from node.signing.keystore import unlock_key
from node.signing.passwords import find_password
from tests.faults.live import PATIENCE_S, ROOT
from tests.ports import free_ports
from tests.signing.tokens import MODULE, PIN

EPOCH = 10
PHOENIX = [sys.executable, "-m", "node"]
MANIFEST = """\
name = "rotating"
chain_id = 77
period_s = 1
epoch_blocks = {epoch}
contract_suite = false
seed = "rotating keys"
[ports]
rpc = {rpc}
p2p = {p2p}
metrics = {metrics}
admin = {admin}
[[nodes]]
name = "alpha"
[[nodes]]
name = "beta"
[[nodes]]
name = "gamma"
key = "token"
"""
LOAD = Plan(5.0, 600.0)


class Untouched(RunningNetwork):
    """The node that is never started again on the way."""

    @property
    def nodes(self) -> tuple[NodeFiles, ...]:
        return (self.layout.node("alpha"),)


@dataclass(frozen=True)
class Net:
    """alpha stays as it is; the key of beta lies beside it; that of gamma, where SoftHSM2 is installed, in a
    token behind `phoenix signer serve`."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """Of commands: where beta's token is, once it has one."""
        return {**os.environ, "SOFTHSM2_CONF": str(self.home.parent / "softhsm2.conf")}

    @property
    def layout(self) -> Layout:
        return open_layout(self.home)

    def run(self, *command: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def devnet(self, *words: str) -> str:
        return self.run(sys.executable, "-m", "devnet", "--home", str(self.home), *words).stdout

    def call(self, name: str, method: str, *params: object) -> object:
        client = RpcClient(self.layout.node(name).admin_url, PATIENCE_S)
        try:
            return client.call(method, *params)
        finally:
            client.close()

    def signers(self, name: str) -> set[str]:
        return set(self.call(name, "clique_getSigners"))  # type: ignore[call-overload]

    def sealing(self, name: str, fact: str) -> object:
        return self.call(name, "clique_getSealing")[fact]  # type: ignore[index]

    @contextmanager
    def under_load(self) -> Iterator[None]:
        """Transfers all the while, through the node that stays up; none is refused, none is lost."""
        over, outcomes = threading.Event(), list[Outcome]()

        def load() -> None:
            with Untouched(self.layout) as network:
                outcomes.append(run_load(network, LOAD, lambda line: None, over.is_set))

        thread = threading.Thread(target=load, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(timeout=120)
        (outcome,) = outcomes
        assert (outcome.refused.total(), outcome.missing) == (0, 0)
        assert len(outcome.sent_at) > LOAD.per_second

    def rotation(self, name: str, to: str, *more: str, journal: str = "") -> list[str]:
        """The command that changes the key of a node."""
        own = self.layout.node(name)
        others = [node for node in self.layout.nodes if node.name != name]
        rpcs = [word for node in (own, *others) for word in ("--rpc", node.admin_url)]
        restart = shlex.join([sys.executable, "-m", "devnet", "--home", str(self.home), "perturb", "restart"])
        state = str(self.home.parent / f"{journal or name}.json")
        return [
            *PHOENIX, "keys", "rotate", "--config", str(own.config), "--state", state, *rpcs,
            "--restart", f"{restart} {name}", "--to", to, "--timeout", "90", "--json", *more,
        ]  # fmt: skip

    def rotate(self, name: str, to: str, *more: str, journal: str = "") -> dict[str, str]:
        said = self.run(*self.rotation(name, to, *more, journal=journal)).stdout
        facts: dict[str, str] = json.loads(said[said.index("{\n") :])
        return facts

    def killed_at(self, step: str, name: str, journal: str) -> None:
        """Begin where it was, and die as soon as this step is begun."""
        with subprocess.Popen(
            self.rotation(name, "destroyed", journal=journal), cwd=ROOT, env=self.environment,
            start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stderr is not None
            said = list[str]()
            while not any(line.startswith(f"{step}: ") for line in said):
                said.append(process.stderr.readline())
                assert said[-1], said
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            said += process.stderr.readlines()
        assert process.returncode == -signal.SIGKILL, said

    def put_into_token(self, name: str) -> None:
        """The node's key, out of its key store and into a token beside it."""
        folder, node = self.home.parent, self.layout.node(name)
        (folder / "tokens").mkdir()
        (folder / "softhsm2.conf").write_text(
            f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n"
        )
        signing = load_settings(node.config).signing
        assert signing.keystore is not None
        secret = unlock_key(signing.keystore, find_password(signing.password_file)).secret_bytes().hex()
        for file, text in (("pin", PIN), ("secret", secret)):
            (folder / file).write_text(text)
            (folder / file).chmod(0o600)
        self.run(
            "softhsm2-util", "--init-token", "--free", "--label", "hsm", "--so-pin", "0000", "--pin", PIN
        )
        self.run(
            *PHOENIX, "token", "import", "--module", str(MODULE), "--token", "hsm", "--label", name,
            "--pin-file", str(folder / "pin"), "--secret-file", str(folder / "secret"),
        )  # fmt: skip
        head, _, rest = node.config.read_text().partition("[signing]\n")
        tail = rest.partition("\n\n")[2]
        node.config.write_text(
            f'{head}[signing]\nbackend = "pkcs11"\npkcs11_module = "{MODULE}"\npkcs11_token = "hsm"\n'
            f'pkcs11_key = "{name}"\npin_file = "{folder / "pin"}"\n\n{tail}'
        )
        self.devnet("perturb", "restart", name)
        until(lambda: self.answers(name), f"{name} is up again")

    def answers(self, name: str) -> bool:
        with suppress(Unreachable):
            return self.call(name, "clique_getSealing") is not None
        return False

    def head(self) -> int:
        return int(str(self.call("alpha", "eth_blockNumber")), 16)

    def headers_since(self, begin: int) -> list[dict[str, str]]:
        numbers = range(begin, self.head() + 1)
        return [self.call("alpha", "eth_getBlockByNumber", hex(n), False) for n in numbers]  # type: ignore[misc]


@contextmanager
def rotating_network(folder: Path) -> Iterator[Net]:
    """Up, and away again."""
    first = free_ports(14)
    manifest = folder / "rotating.toml"
    manifest.write_text(
        MANIFEST.format(epoch=EPOCH, rpc=first, p2p=first + 3, metrics=first + 6, admin=first + 10)
    )
    net = Net(folder / "net")
    try:
        net.devnet("up", "--network", str(manifest))
        yield net
    finally:
        net.devnet("down", "--clean")


def until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
