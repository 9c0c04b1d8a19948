"""`phoenix signer serve` as its own process, and two of them racing for one guard."""

import signal
import socket
import ssl
import urllib.request
from pathlib import Path

from node.audit.batches import records_from
from node.primitives.crypto import recover_address
from node.signing.remote import open_remote
from node.signing.remote_http import TlsFiles
from node.signing.signer import SigningRequest
from tests.ports import free_port
from tests.signing.authority import Authority
from tests.signing.headers import request
from tests.signing.racer import KEY, settings_for
from tests.signing.signer_process import RUNNING, hear, in_key_store, signer_files, started


def test_it_signs_until_it_is_stopped_and_no_second_one_shares_its_guard(tmp_path: Path) -> None:
    metrics_port = free_port()
    files = signer_files(
        tmp_path,
        "alice",
        in_key_store(tmp_path, KEY, 1337),
        settings=f"metrics_port = {metrics_port}\n",
    )
    with started(files.config) as process:
        assert process.stdout is not None
        said = [hear(process, RUNNING)]
        with started(files.config) as second:
            refused, _ = second.communicate(timeout=60)
        assert second.returncode == 3
        assert "another process has it open" in refused
        key = open_remote(settings_for(tmp_path, files.port))
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
    files = signer_files(tmp_path, "alice", in_key_store(tmp_path, KEY, 1337))
    port, settings = files.port, settings_for(tmp_path, files.port)
    with started(files.config) as process:
        hear(process, RUNNING)
        first = TlsFiles(settings.remote_certificate, settings.remote_key, settings.remote_ca).load()  # type: ignore[arg-type]
        before = certificate(port, first)
        (tmp_path / "signer.pem").write_text("nothing")
        process.send_signal(signal.SIGHUP)
        hear(process, "the former stay")
        assert certificate(port, first) == before
        # Another authority, another pair, another certificate for the client: all of it renewed.
        authority = Authority(tmp_path)
        authority.member("signer")
        process.send_signal(signal.SIGHUP)
        hear(process, "were read again")
        second = ssl.create_default_context(cafile=str(authority.path))
        second.load_cert_chain(settings.remote_certificate, settings.remote_key)  # type: ignore[arg-type]
        assert certificate(port, second) != before


def certificate(port: int, context: ssl.SSLContext) -> bytes | None:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as stream,
    ):
        return stream.getpeercert(binary_form=True)
