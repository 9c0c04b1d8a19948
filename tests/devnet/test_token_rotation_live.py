"""Keys in tokens are changed on a network of real processes under load, and TLS files while it seals.

One key lies beside its node, and the command that changes it is killed at every step; the other one lies
behind `phoenix signer serve`.
"""

import hashlib
import itertools
import json
import os
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from devnet import processes, signers
from devnet.certificates import certificates
from devnet.client import RpcClient, Unreachable
from devnet.keys import sealing_key
from devnet.layout import HOST, Layout, NodeFiles, open_layout
from devnet.load import Outcome, Plan, run_load
from devnet.network import RunningNetwork
from node.audit.batches import records_from
from node.cli.rotate import STEPS
from node.config.data_dir import audit_path
from node.signing.rotation import replace_file
from tests.faults.live import ROOT, free_ports
from tests.signing.tokens import MODULE, PIN

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(signers.missing() is not None, reason="SoftHSM2 is not installed"),
]
EPOCH = 10
PHOENIX = [sys.executable, "-m", "node"]
MANIFEST = """\
name = "tokens"
chain_id = 78
period_s = 1
epoch_blocks = {epoch}
contract_suite = false
seed = "rotating tokens"
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


class Others(RunningNetwork):
    """The node that is never started again on the way."""

    @property
    def nodes(self) -> tuple[NodeFiles, ...]:
        return (self.layout.node("alpha"),)


@dataclass(frozen=True)
class Net:
    """The network, and the store of beta's token."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "SOFTHSM2_CONF": str(self.home.parent / "softhsm2.conf")}

    @property
    def layout(self) -> Layout:
        return open_layout(self.home)

    def run(self, *command: str, code: int = 0) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def devnet(self, *words: str) -> str:
        return self.run(sys.executable, "-m", "devnet", "--home", str(self.home), *words)

    def call(self, name: str, method: str, *params: object) -> object:
        client = RpcClient(self.layout.node(name).admin_url)
        try:
            return client.call(method, *params)
        finally:
            client.close()

    def signers(self, name: str) -> set[str]:
        return set(self.call(name, "clique_getSigners"))  # type: ignore[call-overload]

    def load(self, seconds: float) -> Outcome:
        with Others(self.layout) as network:
            return run_load(network, Plan(5.0, seconds), lambda line: None)

    def rotation(self, name: str, to: str, *more: str) -> list[str]:
        """The command that changes the key of a node."""
        own = self.layout.node(name)
        others = [node for node in self.layout.nodes if node.name != name]
        rpcs = [word for node in (own, *others) for word in ("--rpc", node.admin_url)]
        restart = f"{sys.executable} -m devnet --home {self.home} perturb restart {name}"
        journal = str(self.home.parent / f"{name}.json")
        return [
            *PHOENIX, "keys", "rotate", "--config", str(own.config), "--state", journal, *rpcs,
            "--restart", restart, "--to", to, "--timeout", "90", "--json", *more,
        ]  # fmt: skip

    def rotate(self, name: str, to: str, *more: str) -> dict[str, str]:
        said = self.run(*self.rotation(name, to, *more))
        facts: dict[str, str] = json.loads(said[said.index("{\n") :])
        return facts

    def killed_at(self, step: str, name: str) -> None:
        """Begin where it was, and die as soon as this step is begun."""
        with subprocess.Popen(
            self.rotation(name, "destroyed"), cwd=ROOT, env=self.environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
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
        for file, text in (
            ("pin", PIN),
            ("secret", sealing_key(self.layout.network.seed, name).secret_bytes().hex()),
        ):
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

    def headers(self, begin: int) -> list[dict[str, str]]:
        end = int(str(self.call("alpha", "eth_blockNumber")), 16)
        blocks = [self.call("alpha", "eth_getBlockByNumber", hex(n), False) for n in range(begin, end + 1)]
        return blocks  # type: ignore[return-value]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    folder = tmp_path_factory.mktemp("tokens")
    first = free_ports(14)
    manifest = folder / "tokens.toml"
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


def test_keys_in_tokens_are_changed_under_load_and_no_epoch_is_missed(net: Net) -> None:
    net.put_into_token("beta")
    begin = int(str(net.call("alpha", "eth_blockNumber")), 16)
    loaded: list[Outcome] = []
    load = threading.Thread(target=lambda: loaded.append(net.load(seconds=30.0)), daemon=True)
    load.start()
    # Beside its node: killed at every step, and the same command goes on.
    for step in STEPS:
        net.killed_at(step, "beta")
    beta = net.rotate("beta", "destroyed")
    assert net.call("beta", "clique_getSealing")["signer"] == beta["new_address"]  # type: ignore[index]
    # Behind a signer: back from the switch once, and then all the way.
    signer = net.layout.node("gamma").signer
    command = [*PHOENIX, "signer", "key", "--config", str(signer.config)]
    where = shlex.join(["env", f"SOFTHSM2_CONF={signer.token_config}", *command])
    gamma = net.rotate("gamma", "switched", "--at-signer", where)
    assert net.call("gamma", "clique_getSealing")["signer"] == gamma["new_address"]  # type: ignore[index]
    net.rotate("gamma", "admitted", "--at-signer", where)
    assert net.call("gamma", "clique_getSealing")["signer"] == gamma["old_address"]  # type: ignore[index]
    assert net.rotate("gamma", "destroyed", "--at-signer", where) == {**gamma, "done": "destroyed"}
    # One key was made at each place, and the old ones are gone.
    for name, facts in (("beta", beta), ("gamma", gamma)):
        known = net.signers(name)
        assert {facts["new_address"]} == known & {facts["new_address"], facts["old_address"]}
        sealing = net.call(name, "clique_getSealing")
        assert sealing["signer"] == facts["new_address"]  # type: ignore[index]
        assert sealing["problems"] == []  # type: ignore[index]
    assert beta["new_name"] == "beta@2"
    served = tomllib.loads(signer.config.read_text())["keys"]
    assert [key["pkcs11_key"] for key in served] == ["gamma@2"]
    log = audit_path(signer.folder / "data")
    done = [record.facts for record in records_from(log, 2, 99) if record.facts["outcome"] == "done"]
    deeds = ["token import", *(f"signer key {deed}" for deed in ("new", "disable", "destroy"))]
    assert [facts["command"] for facts in done] == [f"phoenix {deed}" for deed in deeds]
    load.join()
    assert (loaded[0].refused.total(), loaded[0].missing) == (0, 0)
    headers = net.headers(begin)
    epochs = [header for header in headers if int(header["number"], 16) % EPOCH == 0]
    assert len(epochs) >= 3
    # Vanity, the signers that the checkpoint lists, seal.
    assert all(len(header["extraData"]) > 2 + 2 * (32 + 65) for header in epochs)
    times = [int(header["timestamp"], 16) for header in headers]
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 30


def test_the_tls_files_of_a_signer_and_its_node_are_changed_while_it_seals(net: Net) -> None:
    node = net.layout.node("gamma")
    signer = node.signer

    def sealed() -> int:
        return int(net.call("gamma", "clique_getSealing")["sealedBlocks"])  # type: ignore[index]

    def presented() -> bytes:
        context = ssl.create_default_context(cafile=str(signer.ca))
        context.load_cert_chain(signer.folder / "node.pem", signer.folder / "node.key")
        with (
            socket.create_connection((HOST, signer.port), timeout=30) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as stream,
        ):
            return stream.getpeercert(binary_form=True) or b""

    before, process = presented(), processes.recorded(signer.process)
    authority, made = certificates(["signer", "node"])
    text = signer.config.read_text()
    # A new authority vouches for all of them; nobody is told, the files are found.
    old = fingerprint_of((signer.folder / "node.pem").read_text())
    write(signer.config, text.replace(old, fingerprint_of(made[1].certificate)))
    write(signer.ca, authority)
    for name, each in zip(("signer", "node"), made, strict=True):
        write(signer.folder / f"{name}.pem", each.certificate)
        write(signer.folder / f"{name}.key", each.key)
    now = sealed()
    until(lambda: sealed() >= now + 3, "it seals on")
    until(lambda: presented() != before, "the signer shows its new certificate")
    assert processes.recorded(signer.process) == process, "nothing was started again"
    # And one that does not fit: the former stays, and is said to.
    write(signer.folder / "signer.pem", "nothing")
    until(lambda: "the former stay" in signer.log.read_text(), "it says so")
    now = sealed()
    until(lambda: sealed() >= now + 2, "it seals on")
    assert net.call("gamma", "clique_getSealing")["problems"] == []  # type: ignore[index]


def write(path: Path, text: str) -> None:
    """As an operator's tool does: whole, and its owner's only."""
    replace_file(path, text)


def fingerprint_of(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
