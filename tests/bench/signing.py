"""Signatures per second and milliseconds each: bare keys, then the same behind the guard on LevelDB.

    python tests/bench/signing.py                 about a minute
    python tests/bench/signing.py --count 100     a quick look

The latency behind the guard is what a sealed block waits for: the key, and synced writes of the guard, one
for a key in memory and two for one elsewhere (what is asked is on the disk first). The guard alone is
measured with a key that costs nothing. SoftHSM2 and the remote signer run for real (the remote one in this
process, under mutual TLS on loopback, behind a guard of its own); what is not installed is left out by name.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from node.config.settings import SigningSettings, StorageSettings
from node.primitives.crypto import PrivateKey
from node.primitives.ids import Address, hex_of
from node.signing.guard import GuardedSigner
from node.signing.keystore import store_key
from node.signing.pkcs11 import TokenKey
from node.signing.remote import open_remote
from node.signing.service_listener import serve
from node.signing.service_settings import load_service_settings
from node.signing.serving import Serving
from node.signing.signer import DigestSigner, LocalKey, SigningRequest
from node.signing.token_keys import create_key
from node.storage.leveldb import LevelDB
from tests.signing.authority import Authority
from tests.signing.test_service import request
from tests.signing.tokens import PIN, make_tokens

KEY = PrivateKey(b"\x11" * 32)
CHAIN = 1337


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


def timed(sign: Callable[[SigningRequest], bytes], requests: list[SigningRequest]) -> list[float]:
    """Milliseconds of each, ascending."""
    times = []
    for asked in requests:
        begin = time.perf_counter()
        sign(asked)
        times.append((time.perf_counter() - begin) * 1e3)
    return sorted(times)


def row(name: str, times: list[float]) -> None:
    """One line of the table."""
    per_second = 1e3 / statistics.fmean(times)
    p99 = times[int(len(times) * 0.99)]
    print(f"{name:32} {per_second:>9,.0f} {statistics.median(times):>9.3f} {p99:>9.3f}", flush=True)


@contextmanager
def remote_signer(folder: Path) -> Iterator[int]:
    """A signing service in a thread of its own; gives its port."""
    authority = Authority(folder)
    authority.member("signer")
    client = authority.member("client")
    (folder / "password").write_text("pw")
    (folder / "password").chmod(0o600)
    file = store_key(folder / "keys", KEY, "pw", scrypt_n=1 << 4).path
    config = folder / "signer.toml"
    config.write_text(
        'port = 0\ndata_dir = "data"\nlease_s = 0\ntls_certificate = "signer.pem"\ntls_key = "signer.key"\n'
        f'tls_ca = "ca.pem"\n[clients]\nclient = "{client.fingerprint}"\n[[keys]]\nchain_id = {CHAIN}\n'
        f'clients = ["client"]\nkeystore = "keys/{file.name}"\npassword_file = "password"\n'
    )
    ready, done, ports = Event(), Event(), list[int]()

    async def live() -> None:
        settings = load_service_settings(config)
        kv = LevelDB.open(folder / "remote-guard", StorageSettings())
        async with trio.open_nursery() as nursery:
            serving = Serving(settings, kv)
            ports.append(await nursery.start(serve, serving))
            ready.set()
            await trio.to_thread.run_sync(done.wait)
            nursery.cancel_scope.cancel()
        serving.close()
        kv.close()

    thread = Thread(target=trio.run, args=(live,))
    thread.start()
    ready.wait()
    try:
        yield ports[0]
    finally:
        done.set()
        thread.join()


def keys(folder: Path, closing: ExitStack) -> Iterator[tuple[str, DigestSigner]]:
    """Every back end that is here."""
    yield "keystore (in memory)", LocalKey(KEY)
    try:
        tokens = make_tokens(folder)
    except pytest.skip.Exception as skipped:
        print(f"pkcs11: {skipped}")
    else:
        create_key(tokens.name("bench"), PIN)
        key = TokenKey(tokens.name("bench"), PIN, 10.0)
        closing.callback(key.close)
        yield "pkcs11 (SoftHSM2)", key
    port = closing.enter_context(remote_signer(folder))
    for dialect in ("web3signer", "clef"):
        settings = SigningSettings(
            backend="remote",
            remote_url=f"https://127.0.0.1:{port}",
            remote_dialect=dialect,
            remote_address=hex_of(KEY.address),
            remote_certificate=folder / "client.pem",
            remote_key=folder / "client.key",
            remote_ca=folder / "ca.pem",
        )
        remote = open_remote(settings)
        closing.callback(remote.close)
        yield f"remote ({dialect}, own guard)", remote


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500, help="signatures per line")
    count = parser.parse_args().count
    print(f"{count} signatures each")
    print(f"{'key':32} {'per s':>9} {'p50 ms':>9} {'p99 ms':>9}")
    height = 1
    with tempfile.TemporaryDirectory() as name, ExitStack() as closing:
        folder = Path(name)

        def guarded(key: DigestSigner, label: str) -> GuardedSigner:
            kv = LevelDB.open(folder / f"guard {label}", StorageSettings())
            closing.callback(kv.close)
            return GuardedSigner(key, kv, CHAIN)

        requests = [request(number) for number in range(1, count + 1)]
        row("guard alone: one synced write", timed(guarded(Recorded(requests), "alone")._sign, requests))
        for label, key in keys(folder, closing):
            # Heights grow from line to line, because the remote signer remembers them.
            for title, sign in ((label, key.sign_digest), ("  behind the guard", guarded(key, label)._sign)):
                requests = [request(number) for number in range(height, height + count)]
                height += count
                row(title, timed(sign, requests))


if __name__ == "__main__":
    main()
