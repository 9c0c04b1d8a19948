"""A node as a process of its own: the certificates of its JSON-RPC are replaced while it runs."""

import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from devnet.generate import genesis_of
from devnet.manifest import load_manifest
from tests.ports import free_port
from tests.signing.authority import Authority

pytestmark = pytest.mark.long


def until(holds: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, f"{what}\n{log.read_text()}"
        time.sleep(0.1)


def test_new_files_are_served_by_themselves_and_at_once_at_sighup(tmp_path: Path) -> None:
    first = Authority(tmp_path, "first")
    served = first.member("node")
    port, log = free_port(), tmp_path / "log"
    (tmp_path / "genesis.json").write_text(json.dumps(genesis_of(load_manifest("local"))))
    (tmp_path / "node.toml").write_text(
        f'role = "full"\ndata_dir = "data"\ngenesis = "genesis.json"\n[p2p]\nport = {free_port()}\n'
        f'host = "127.0.0.1"\n[rpc]\nport = {port}\ntls_certificate = "node.pem"\ntls_key = "node.key"\n'
    )

    def accepted_by(authority: Authority) -> bool:
        context = ssl.create_default_context(cafile=str(authority.path))
        try:
            with (
                socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as stream,
            ):
                stream.sendall(b"GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n")
                return stream.recv(99).startswith(b"HTTP/1.1 ")
        except (ConnectionRefusedError, ssl.SSLCertVerificationError):
            return False

    def replace(name: str) -> Authority:
        (tmp_path / name).mkdir()
        authority = Authority(tmp_path / name, name)
        member = authority.member("node")
        shutil.copy(member.key, served.key)
        shutil.copy(member.certificate, served.certificate)
        return authority

    command = [sys.executable, "-m", "node", "run", "--config", str(tmp_path / "node.toml")]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            until(lambda: accepted_by(first), "it answers", log)
            second = replace("second")
            until(lambda: accepted_by(second), "the new files are found", log)
            assert not accepted_by(first)
            third = replace("third")
            process.send_signal(signal.SIGHUP)
            until(lambda: accepted_by(third), "the new files are taken up", log)
            served.certificate.write_text("nothing")
            process.send_signal(signal.SIGHUP)
            until(lambda: "the old ones stay" in log.read_text(), "it says that they do not fit", log)
            assert accepted_by(third)
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
