"""Secrets stay where they are: not in arguments, environments, logs, files or a node's memory."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.primitives.crypto import PrivateKey, keccak256
from node.primitives.ids import hex_of
from node.signing.token_keys import import_key
from tests.signing.signer_process import signer_files
from tests.signing.tokens import PIN, Tokens

SECRET = keccak256(b"a key that no source file holds")
NODE = """
import json, sys
from pathlib import Path
from node.config.settings import SigningSettings, StorageSettings
from node.signing.guard import GuardedSigner
from node.signing.remote import open_remote
from node.storage.leveldb import LevelDB
from tests.signing.headers import request
folder, port, address = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
settings = SigningSettings(
    backend="remote", remote_url=f"https://127.0.0.1:{port}", remote_address=address,
    remote_certificate=folder / "node.pem", remote_key=folder / "node.key", remote_ca=folder / "ca.pem",
)
signer = GuardedSigner(open_remote(settings), LevelDB.open(folder / "guard", StorageSettings()), 1337)
for number in range(1, 6):
    signer._sign(request(number))
print("signed", flush=True)
sys.stdin.read()
"""


def memory(pid: int) -> Iterator[bytes]:
    """Every readable piece of a process's memory; a skip where that is not allowed."""
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            for line in maps:
                span, rights = line.split()[:2]
                begin, end = (int(each, 16) for each in span.split("-"))
                if rights.startswith("r") and "[v" not in line:
                    file.seek(begin)
                    yield file.read(end - begin)
    except PermissionError:
        pytest.skip("this system shows no process's memory")
    except OSError:
        return  # a mapping that went away


def test_neither_pin_nor_key_can_be_found(tokens: Tokens, tmp_path: Path) -> None:
    key = PrivateKey(SECRET)
    import_key(tokens.name("hidden"), PIN, key)
    name, (read, write) = tokens.name("hidden"), os.pipe()
    files = signer_files(
        tmp_path,
        "node",
        f'chain_id = 1337\nbackend = "pkcs11"\npkcs11_module = "{name.module}"\n'
        f'pkcs11_token = "{name.token}"\npkcs11_key = "{name.key}"\npin_fd = {read}\n',
    )
    os.write(write, PIN.encode() + b"\n")
    os.close(write)
    serve = [sys.executable, "-m", "node", "signer", "serve", "--config", str(files.config)]
    asks = [sys.executable, "-c", NODE, str(tmp_path), str(files.port), hex_of(key.address)]
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with (
        subprocess.Popen(serve, pass_fds=[read], **piped) as signer,  # type: ignore[call-overload]
    ):
        os.close(read)
        try:
            said = [next(line for line in signer.stdout if b"signer is running" in line)]
            with subprocess.Popen(asks, stdin=subprocess.PIPE, **piped) as asker:  # type: ignore[call-overload]
                assert asker.stdout.readline() == b"signed\n"
                seen = {
                    f"{what} of {who.pid}": Path(f"/proc/{who.pid}/{what}").read_bytes()
                    for who in (signer, asker)
                    for what in ("cmdline", "environ")
                }
                for place, piece in enumerate(memory(asker.pid)):
                    seen[f"memory {place} of the node"] = piece
                asker.communicate(b"")
        finally:
            signer.terminate()
            said += signer.stdout.readlines()
    seen["what the signer logs"] = b"".join(said)
    assert b"signed" in seen["what the signer logs"]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            seen[str(path)] = path.read_bytes()
    assert any(hex_of(key.address).encode() in seen[place] for place in seen if place.startswith("memory"))
    secrets = (SECRET, SECRET.hex().encode(), PIN.encode())
    found = [place for place, content in seen.items() if any(secret in content for secret in secrets)]
    assert found == []
