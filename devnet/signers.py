"""Signers of a local network: a validator's key in a token in software, behind `phoenix signer serve`.

nodes/delta/signer/
    softhsm2.conf  tokens/     where SoftHSM2 keeps its tokens: below the network's home, nowhere else
    signer.toml  pin           what `phoenix signer serve` is told
    ca.pem  signer.pem  signer.key  node.pem  node.key
    data/                      the signer's own guard
    signer.log  process.json

Decided when a node is generated: where SoftHSM2 is not installed the key lies in a key store as elsewhere.
"""

import hashlib
import importlib.util
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias

from devnet import processes
from devnet.certificates import certificates
from devnet.errors import DevnetError
from devnet.keys import sealing_key
from devnet.layout import HOST, Layout, NodeFiles, SignerFiles
from devnet.processes import Process
from node.config.data_dir import audit_path
from node.primitives.ids import hex_of

Write: TypeAlias = Callable[[Path, str], None]
"""Writes a file that is its owner's only."""
MODULES: Final = tuple(
    Path(place)
    for place in (
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
        "/usr/local/lib/softhsm/libsofthsm2.so",
    )
)
PIN: Final = "public"
SECURITY_OFFICER_PIN: Final = "public-too"
SERVE_COMMAND: Final = (sys.executable, "-m", "node", "signer", "serve", "--config")


def missing() -> str | None:
    """Why there are no tokens in software here; None when there are."""
    if module() is None or shutil.which("softhsm2-util") is None:
        return "SoftHSM2 is not installed (Debian: apt install softhsm2)"
    if importlib.util.find_spec("pkcs11") is None:
        return "python-pkcs11 is not installed"
    return None


def module() -> Path | None:
    """SoftHSM2's library."""
    return next((place for place in MODULES if place.is_file()), None)


def make_signer(layout: Layout, node: NodeFiles, write: Write) -> None:
    """Whatever the node's signer lacks; its settings anew."""
    signer, library = node.signer, module()
    if not signer.config.exists():
        if library is None:
            raise DevnetError(f"{signer.name}: {missing()}")
        shutil.rmtree(signer.folder, ignore_errors=True)
        signer.tokens.mkdir(parents=True, mode=0o700)
        _make_certificates(node, write)
        _make_token(layout, node, library, write)
    # Last: its presence says that all of this is there.
    if library is not None:
        write(signer.config, _settings(layout, node, library))


def _make_certificates(node: NodeFiles, write: Write) -> None:
    authority, made = certificates(["signer", "node"])
    write(node.signer.ca, authority)
    for name, each in zip(("signer", "node"), made, strict=True):
        write(node.signer.folder / f"{name}.pem", each.certificate)
        write(node.signer.folder / f"{name}.key", each.key)


def _make_token(layout: Layout, node: NodeFiles, library: Path, write: Write) -> None:
    signer = node.signer
    tokens = f"directories.tokendir = {signer.tokens.absolute()}\nobjectstore.backend = file\n"
    write(signer.token_config, tokens)
    write(signer.pin, PIN + "\n")
    secret = signer.folder / "secret"
    write(secret, sealing_key(layout.network.seed, node.name).secret_bytes().hex() + "\n")
    # The PINs of this token are as public as its key, so they may be arguments; a real one's may not.
    init = ["softhsm2-util", "--init-token", "--free", "--label", node.name]
    _run(signer, [*init, "--so-pin", SECURITY_OFFICER_PIN, "--pin", PIN])
    into = [sys.executable, "-m", "node", "token", "import", "--module", str(library), "--token", node.name]
    keyed = ["--label", node.name, "--audit", str(audit_path(signer.folder / "data"))]
    _run(
        signer,
        [*into, *keyed, "--pin-file", str(signer.pin), "--secret-file", str(secret)],
    )
    secret.unlink()


def signing_settings(layout: Layout, node: NodeFiles) -> dict[str, Any]:
    """The section [signing] of the node; paths relative to its folder."""
    place = node.signer.folder.name
    return {
        "backend": "remote",
        "remote_url": f"https://{HOST}:{node.signer.port}",
        "remote_address": hex_of(sealing_key(layout.network.seed, node.name).address),
        "remote_certificate": f"{place}/node.pem",
        "remote_key": f"{place}/node.key",
        "remote_ca": f"{place}/ca.pem",
    }


def start(signer: SignerFiles) -> Process | None:
    """Start a signer that is stopped, let a paused one go on; None when it runs already."""
    process = processes.recorded(signer.process)
    now = processes.state(process)
    if now == "running":
        return None
    if now == "paused" and process is not None:
        processes.resume(process)
        return process
    command = [*SERVE_COMMAND, str(signer.config)]
    return processes.start(command, signer.log, signer.process, _environment(signer))


def stop(signer: SignerFiles, grace_s: float) -> None:
    """Stop it the way an operator does."""
    process = processes.recorded(signer.process)
    if process is not None and processes.state(process) != "stopped":
        processes.stop(process, grace_s)


def _settings(layout: Layout, node: NodeFiles, library: Path) -> str:
    der = ssl.PEM_cert_to_DER_cert((node.signer.folder / "node.pem").read_text())
    return f"""\
host = "{HOST}"
port = {node.signer.port}
data_dir = "data"
tls_certificate = "signer.pem"
tls_key = "signer.key"
tls_ca = "ca.pem"

[clients]
{node.name} = "{hashlib.sha256(der).hexdigest()}"

[[keys]]
chain_id = {layout.network.chain_id}
clients = ["{node.name}"]
backend = "pkcs11"
pkcs11_module = "{library}"
pkcs11_token = "{node.name}"
pkcs11_key = "{node.name}"
pin_file = "pin"
"""


def _environment(signer: SignerFiles) -> dict[str, str]:
    return {**os.environ, "SOFTHSM2_CONF": str(signer.token_config.absolute())}


def _run(signer: SignerFiles, command: list[str]) -> None:
    done = subprocess.run(command, env=_environment(signer), capture_output=True, text=True, check=False)
    if done.returncode:
        raise DevnetError(f"{command[0]} failed for {signer.name}: {(done.stderr or done.stdout).strip()}")
