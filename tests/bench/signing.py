"""Signatures per second and milliseconds each: bare keys, then the same behind the guard on LevelDB.

    python tests/bench/signing.py                 some minutes on a slow disk
    python tests/bench/signing.py --count 50      a quick look

The latency behind the guard is what a sealed block waits for: the key, and synced writes of the guard, one
for a key in memory and two for one elsewhere (what is asked is on the disk first). The guard alone is
measured with a key that costs nothing. The baseline, made before each signature, is one synced write of as
many bytes to a file on the same disk (column "write ms"; "writes" says how many of them a signature takes).
SoftHSM2 and the remote signer run for real: `phoenix signer serve` is a process of its own under mutual TLS
on loopback, and behind a guard of its own. What is not installed is left out by name.
"""

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from node.config.settings import SigningSettings, StorageSettings
from node.primitives.crypto import PrivateKey
from node.primitives.ids import Address, hex_of
from node.signing.guard import GuardedSigner
from node.signing.keystore import store_key
from node.signing.pkcs11 import TokenKey
from node.signing.remote import RemoteKey, open_remote
from node.signing.signer import DigestSigner, LocalKey, SigningRequest
from node.signing.token_keys import create_key
from node.storage.leveldb import LevelDB
from tests.signing.headers import request
from tests.signing.signer_process import serving, signer_files
from tests.signing.tokens import PIN, make_tokens

KEY = PrivateKey(b"\x11" * 32)
CHAIN = 1337
Sign: TypeAlias = Callable[[SigningRequest], bytes]
ROW_BYTES = 256
"""About what the guard writes for a signature, without the block beside it."""


class Recorded:
    """A key that costs nothing: its signatures are made before the clock runs."""

    is_elsewhere = False

    def __init__(self, requests: list[SigningRequest]) -> None:
        self._signatures = {asked.digest: KEY.sign(asked.digest) for asked in requests}

    @property
    def address(self) -> Address:
        return KEY.address

    def sign_digest(self, asked: SigningRequest) -> bytes:
        return self._signatures[asked.digest]


class Disk:
    """One synced write of its own between any two signatures: the disk is another one every second."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def write(self) -> float:
        """Milliseconds."""
        begin = time.perf_counter()
        self._file.write(bytes(ROW_BYTES))
        os.fdatasync(self._file.fileno())
        return (time.perf_counter() - begin) * 1e3

    def close(self) -> None:
        self._file.close()


def row(
    name: str, sign: Callable[[SigningRequest], bytes], requests: list[SigningRequest], disk: Disk
) -> None:
    """One line of the table."""
    times, writes = [], []
    for asked in requests:
        writes.append(disk.write())
        begin = time.perf_counter()
        sign(asked)
        times.append((time.perf_counter() - begin) * 1e3)
    median, write = statistics.median(times), statistics.median(writes)
    p99 = sorted(times)[int(len(times) * 0.99)]
    print(
        f"{name:32} {1e3 / statistics.fmean(times):>9,.0f} {median:>9.3f} {p99:>9.3f} {write:>9.3f} "
        f"{median / write:>9.2f}",
        flush=True,
    )


@contextmanager
def remote_signer(folder: Path, key: str) -> Iterator[int]:
    """`phoenix signer serve` with one key; gives its port."""
    folder.mkdir()
    files = signer_files(folder, "client", f"chain_id = {CHAIN}\n{key}", settings="lease_s = 0\n")
    with serving(files):
        yield files.port


def at(folder: Path, port: int, dialect: str, address: Address) -> RemoteKey:
    """The key of a signer, as a node sees it."""
    return open_remote(
        SigningSettings(
            backend="remote",
            remote_url=f"https://127.0.0.1:{port}",
            remote_dialect=dialect,  # type: ignore[arg-type]
            remote_address=hex_of(address),
            remote_certificate=folder / "client.pem",
            remote_key=folder / "client.key",
            remote_ca=folder / "ca.pem",
        )
    )


def keys(folder: Path, closing: ExitStack) -> Iterator[tuple[str, DigestSigner]]:
    """Every back end that is here."""
    yield "keystore (in memory)", LocalKey(KEY)
    for name, text in (("password", "pw"), ("pin", PIN)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    file = store_key(folder / "keys", KEY, "pw", scrypt_n=1 << 4).path
    held = f'keystore = "../keys/{file.name}"\npassword_file = "../password"\n'
    port = closing.enter_context(remote_signer(folder / "remote", held))
    for dialect in ("web3signer", "clef"):
        remote = at(folder / "remote", port, dialect, KEY.address)
        closing.callback(remote.close)
        yield f"remote ({dialect}, own guard)", remote
    try:
        tokens = make_tokens(folder)
    except pytest.skip.Exception as skipped:
        print(f"pkcs11: {skipped}")
        return
    create_key(tokens.name("bench"), PIN)
    token = TokenKey(tokens.name("bench"), PIN, 10.0)
    closing.callback(token.close)
    yield "pkcs11 (SoftHSM2)", token
    name = tokens.name("behind")
    address = create_key(name, PIN)
    held = (
        f'backend = "pkcs11"\npkcs11_module = "{name.module}"\npkcs11_token = "{name.token}"\n'
        f'pkcs11_key = "{name.key}"\npin_file = "../pin"\n'
    )
    port = closing.enter_context(remote_signer(folder / "hsm", held))
    remote = at(folder / "hsm", port, "web3signer", address)
    closing.callback(remote.close)
    yield "remote (token behind it)", remote


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500, help="signatures per line")
    count = parser.parse_args().count
    print(f"{count} signatures each, {datetime.now(UTC):%Y-%m-%d}")
    print(f"{'key':32} {'per s':>9} {'p50 ms':>9} {'p99 ms':>9} {'write ms':>9} {'writes':>9}")
    height = 1
    with tempfile.TemporaryDirectory() as name, ExitStack() as closing:
        folder = Path(name)
        disk = Disk(folder / "baseline")
        closing.callback(disk.close)

        def guarded(key: DigestSigner, label: str) -> GuardedSigner:
            kv = LevelDB.open(folder / f"guard {label}", StorageSettings())
            closing.callback(kv.close)
            return GuardedSigner(key, kv, CHAIN)

        requests = [request(number) for number in range(1, count + 1)]
        row("guard alone: one synced write", guarded(Recorded(requests), "alone")._sign, requests, disk)
        for label, key in keys(folder, closing):
            # Heights grow from line to line, because the remote signer remembers them.
            for title, sign in ((label, key.sign_digest), ("  behind the guard", guarded(key, label)._sign)):
                requests = [request(number) for number in range(height, height + count)]
                height += count
                row(title, sign, requests, disk)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory of this process, at most: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
