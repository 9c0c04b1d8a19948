"""Keys are changed on a network of real processes under load, and no epoch is missed; TLS files, too.

Keys of validators in a key store, in a token beside the node, where the command that changes it is killed at
every step, and behind `phoenix signer serve`; and a node's identity.
"""

import hashlib
import itertools
import shlex
import socket
import ssl
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from devnet import processes, signers
from devnet.certificates import certificates
from devnet.layout import HOST
from node.audit.batches import records_from
from node.cli.rotate import STEPS
from node.config.data_dir import audit_path
from node.signing.rotation import replace_file
from tests.devnet.rotating import EPOCH, PHOENIX, Net, rotating_network, until

pytestmark = pytest.mark.long(40)
needs_tokens = pytest.mark.skipif(signers.missing() is not None, reason="SoftHSM2 is not installed")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with rotating_network(tmp_path_factory.mktemp("rotation")) as net:
        yield net


def test_a_validators_key_is_changed_under_load_forth_back_and_forth_again(net: Net) -> None:
    begin = net.head()
    with net.under_load():
        facts = net.rotate("beta", "admitted", "--light")
        old, new = facts["old_address"], facts["new_address"]
        assert {old, new} <= net.signers("gamma")
        assert net.rotate("beta", "begun", "--light")["done"] == "begun"
        assert new not in net.signers("gamma")
        facts = net.rotate("beta", "disabled", "--light")
        new = facts["new_address"]
        for name in ("alpha", "beta", "gamma"):
            assert {old, new} & net.signers(name) == {new}
        assert net.sealing("beta", "signer") == new
        assert net.rotate("beta", "destroyed", "--light")["done"] == "destroyed"
        back = net.run(*net.rotation("beta", "disabled", "--light"), code=2)
        assert "does not come back" in back.stderr
    no_epoch_was_missed(net, begin)
    net.devnet("check")


def test_a_node_gets_another_identity_and_its_peers_know_it(net: Net) -> None:
    layout = net.layout
    peers = [word for name in ("alpha", "gamma") for word in (
        "--peer", layout.node(name).admin_url, "--peer-config", str(layout.node(name).config)
    )]  # fmt: skip
    before = net.call("beta", "admin_nodeInfo")["enode"]  # type: ignore[index]
    facts = net.rotate("beta", "forgotten", "--node-key", *peers, journal="identity")
    assert net.call("beta", "admin_nodeInfo")["enode"] == facts["new_enode"] != before  # type: ignore[index]
    for name in ("alpha", "gamma"):
        known = [peer["enode"] for peer in net.call(name, "admin_peers")]  # type: ignore[attr-defined]
        assert any(facts["new"] in enode for enode in known)
        assert not any(facts["old"] in enode for enode in known)
        assert facts["new"] in layout.node(name).config.read_text()
    # And back again: the old file is still there.
    facts = net.rotate("beta", "begun", "--node-key", *peers, journal="identity")
    assert facts["old"] in net.call("beta", "admin_nodeInfo")["enode"]  # type: ignore[index]


@needs_tokens
def test_keys_in_tokens_are_changed_under_load_and_no_epoch_is_missed(net: Net) -> None:
    net.put_into_token("beta")
    begin = net.head()
    signer = net.layout.node("gamma").signer
    with net.under_load():
        # Beside its node: killed at every step, and the same command goes on.
        for step in STEPS:
            net.killed_at(step, "beta", journal="token")
        beta = net.rotate("beta", "destroyed", journal="token")
        assert net.sealing("beta", "signer") == beta["new_address"]
        # Behind a signer: back from the switch once, and then all the way.
        command = [*PHOENIX, "signer", "key", "--config", str(signer.config)]
        where = shlex.join(["env", f"SOFTHSM2_CONF={signer.token_config}", *command])
        gamma = net.rotate("gamma", "switched", "--at-signer", where)
        assert net.sealing("gamma", "signer") == gamma["new_address"]
        net.rotate("gamma", "admitted", "--at-signer", where)
        assert net.sealing("gamma", "signer") == gamma["old_address"]
        assert net.rotate("gamma", "destroyed", "--at-signer", where) == {**gamma, "done": "destroyed"}
    # One key was made at each place, and the old ones are gone.
    for name, facts in (("beta", beta), ("gamma", gamma)):
        known = net.signers(name)
        assert {facts["new_address"]} == known & {facts["new_address"], facts["old_address"]}
        assert net.sealing(name, "signer") == facts["new_address"]
        until(lambda name=name: net.sealing(name, "problems") == [], "it signs without trouble")
    assert beta["new_name"] == "beta@2"
    served = tomllib.loads(signer.config.read_text())["keys"]
    assert [key["pkcs11_key"] for key in served] == ["gamma@2"]
    log = audit_path(signer.folder / "data")
    done = [record.facts for record in records_from(log, 2, 99) if record.facts["outcome"] == "done"]
    deeds = ["token import", *(f"signer key {deed}" for deed in ("new", "disable", "destroy"))]
    assert [facts["command"] for facts in done] == [f"phoenix {deed}" for deed in deeds]
    no_epoch_was_missed(net, begin)


@needs_tokens
def test_the_tls_files_of_a_signer_and_its_node_are_changed_while_it_seals(net: Net) -> None:
    node = net.layout.node("gamma")
    signer = node.signer

    def sealed() -> int:
        return int(str(net.sealing("gamma", "sealedBlocks")))

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
    until(lambda: net.sealing("gamma", "problems") == [], "it signs without trouble")


def no_epoch_was_missed(net: Net, begin: int) -> None:
    headers = net.headers_since(begin)
    epochs = [header for header in headers if int(header["number"], 16) % EPOCH == 0]
    assert len(epochs) >= 2
    # Vanity, the signers that the checkpoint lists, seal.
    assert all(len(header["extraData"]) > 2 + 2 * (32 + 65) for header in epochs)
    times = [int(header["timestamp"], 16) for header in headers]
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 30


def write(path: Path, text: str) -> None:
    """As an operator's tool does: whole, and its owner's only."""
    replace_file(path, text)


def fingerprint_of(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
