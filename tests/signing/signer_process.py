"""`phoenix signer serve` as a process of its own, with one key and one client, under mutual TLS."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from node.primitives.crypto import PrivateKey
from node.signing.keystore import store_key
from tests.ports import free_port
from tests.signing.authority import Authority, Member

RUNNING = "signer is running"


@dataclass(frozen=True)
class SignerFiles:
    """Its settings, and what its client needs."""

    config: Path
    port: int
    client: Member
    authority: Path


def signer_files(folder: Path, client: str, key: str, *, settings: str = "") -> SignerFiles:
    """On a port that nobody has. `key`: lines of the key's section; `settings`: lines above all sections."""
    authority = Authority(folder)
    authority.member("signer")
    member, port, config = authority.member(client), free_port(), folder / "signer.toml"
    config.write_text(
        f'port = {port}\ndata_dir = "data"\ntls_certificate = "signer.pem"\ntls_key = "signer.key"\n'
        f'tls_ca = "ca.pem"\n{settings}[clients]\n{client} = "{member.fingerprint}"\n'
        f'[[keys]]\nclients = ["{client}"]\n{key}'
    )
    return SignerFiles(config, port, member, authority.path)


def in_key_store(folder: Path, key: PrivateKey, chain_id: int) -> str:
    """The lines of a key that lies in a key store of its own from now on."""
    (folder / "password").write_text("pw")
    (folder / "password").chmod(0o600)
    file = store_key(folder / "keys", key, "pw", scrypt_n=1 << 4).path
    return f'chain_id = {chain_id}\nkeystore = "keys/{file.name}"\npassword_file = "password"\n'


@contextmanager
def started(config: Path) -> "Iterator[subprocess.Popen[str]]":
    """The process; whoever starts it reads what it says."""
    command = [sys.executable, "-m", "node", "signer", "serve", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()  # a failed test must not wait for ever; one that has ended minds it not


@contextmanager
def serving(files: SignerFiles) -> Iterator[None]:
    """The same from the moment that it serves."""
    with started(files.config) as process:
        hear(process, RUNNING)
        assert process.stdout is not None
        # It writes a line for every request, and would stand still before a full pipe.
        Thread(target=process.stdout.read, daemon=True).start()
        yield


def hear(process: "subprocess.Popen[str]", words: str) -> str:
    """The line with these words, once it is said."""
    assert process.stdout is not None
    line = next((line for line in process.stdout if words in line), None)
    assert line is not None, f"it ended before it said {words!r}"
    return line
