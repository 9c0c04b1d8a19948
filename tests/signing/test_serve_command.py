"""`phoenix signer serve` as its own process, and two of them racing for one guard."""

import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.audit.batches import records_from
from node.config.settings import SigningSettings
from node.primitives.crypto import PrivateKey, recover_address
from node.primitives.ids import hex_of
from node.signing.keystore import store_key
from node.signing.remote import open_remote
from node.signing.remote_http import TlsFiles
from node.signing.signer import SigningRequest
from tests.ports import free_port
from tests.signing.authority import Authority
from tests.signing.headers import request
from tests.signing.racer import serving, settings_for

KEY = PrivateKey(b"\x11" * 32)


@contextmanager
def started(config: Path) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", "node", "signer", "serve", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()  # a failed test must not wait for ever; one that has ended minds it not


def test_it_signs_until_it_is_stopped_and_no_second_one_shares_its_guard(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, alice = authority.member("signer"), authority.member("alice")
    (tmp_path / "password").write_text("pw")
    (tmp_path / "password").chmod(0o600)
    keystore = store_key(tmp_path / "keys", KEY, "pw", scrypt_n=1 << 4)
    port, metrics_port, config = free_port(), free_port(), tmp_path / "signer.toml"
    config.write_text(
        f'port = {port}\nmetrics_port = {metrics_port}\ndata_dir = "data"\n'
        f'tls_certificate = "{server.certificate.name}"\ntls_key = "{server.key.name}"\n'
        f'tls_ca = "ca.pem"\n[clients]\nalice = "{alice.fingerprint}"\n'
        f'[[keys]]\nchain_id = 1337\nclients = ["alice"]\nkeystore = "keys/{keystore.path.name}"\n'
        'password_file = "password"\n'
    )
    with started(config) as process:
        assert process.stdout is not None
        said = [next(line for line in process.stdout if "signer is running" in line)]
        with started(config) as second:
            refused, _ = second.communicate(timeout=60)
        assert second.returncode == 3
        assert "another process has it open" in refused
        key = open_remote(
            SigningSettings(
                backend="remote",
                remote_url=f"https://127.0.0.1:{port}",
                remote_address=hex_of(KEY.address),
                remote_certificate=alice.certificate,
                remote_key=alice.key,
                remote_ca=authority.path,
            )
        )
        asked: SigningRequest = request(1)
        assert recover_address(asked.digest, key.sign_digest(asked)) == KEY.address
        key.close()
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=60) as page:
            assert b'phoenix_signer_answers_total{outcome="signed"} 1.0' in page.read()
        process.send_signal(signal.SIGTERM)
        said += process.stdout.readlines()
        process.wait(timeout=60)
    assert process.returncode == 0
    text = "".join(said)
    assert "signed" in text
    kinds = [record.kind for record in records_from(tmp_path / "data/signatures", 2, 9)]
    assert kinds == ["node.started", "key.used", "node.stopped"]
    assert KEY.secret_bytes().hex() not in text
    assert "alice" in text


def test_its_certificate_is_changed_without_a_restart_and_one_that_does_not_fit_is_not_taken(
    tmp_path: Path,
) -> None:
    port = free_port()
    config = serving(tmp_path, port, lease_s=1.0)
    settings = settings_for(tmp_path, port)
    with started(config) as process:
        assert process.stdout is not None
        until(process, "signer is running")
        first = TlsFiles(settings.remote_certificate, settings.remote_key, settings.remote_ca).load()  # type: ignore[arg-type]
        before = certificate(port, first)
        (tmp_path / "signer.pem").write_text("nothing")
        process.send_signal(signal.SIGHUP)
        until(process, "the former stay")
        assert certificate(port, first) == before
        # Another authority, another pair, another certificate for the client: all of it renewed.
        authority = Authority(tmp_path)
        authority.member("signer")
        process.send_signal(signal.SIGHUP)
        until(process, "were read again")
        second = ssl.create_default_context(cafile=str(authority.path))
        second.load_cert_chain(settings.remote_certificate, settings.remote_key)  # type: ignore[arg-type]
        assert certificate(port, second) != before


def until(process: "subprocess.Popen[str]", words: str) -> None:
    assert process.stdout is not None
    assert any(words in line for line in process.stdout)


def certificate(port: int, context: ssl.SSLContext) -> bytes | None:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as stream,
    ):
        return stream.getpeercert(binary_form=True)
