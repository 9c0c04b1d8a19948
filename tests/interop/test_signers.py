"""Signers of others: go-ethereum's clef seals for our node, and our signer, in clef's dialect, for geth."""

import hashlib
import json
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from web3 import Web3
from web3.middleware import ExtraDataToPOAMiddleware

from node.config.settings import SigningSettings
from node.primitives.crypto import recover_address
from node.primitives.ids import hex_of
from node.signing.keystore import store_key
from node.signing.remote import open_remote
from node.signing.signer import SigningError
from tests.chain.harness import CHAIN_ID, KEYS
from tests.interop.geth import geth_binary, go_ethereum, run_geth
from tests.interop.ours import our_node, wait_until
from tests.interop.test_geth_chain import ALL_AT_ONCE, genesis_of
from tests.ports import free_port
from tests.signing.headers import request
from tests.signing.signer_process import in_key_store, serving, signer_files

pytestmark = pytest.mark.interop

KEY = KEYS[0]
MASTER, PASSWORD = "the master password", "the key's password"
FORBIDDEN = 1_000_000
RULES = f"""\
function OnSignerStartup(info) {{}}
function ApproveListing() {{ return "Approve" }}
function ApproveSignData(r) {{
  if (r.content_type != "application/x-clique-header") {{ return "Reject" }}
  return r.messages[0].value.indexOf("clique header {FORBIDDEN} ") == 0 ? "Reject" : "Approve"
}}
"""


@contextmanager
def clef(folder: Path) -> Iterator[int]:
    """A clef with our key that approves headers by its rules; gives its port."""
    folder.mkdir()
    (folder / "rules.js").write_text(RULES)
    store_key(folder / "keys", KEY, PASSWORD, scrypt_n=1 << 12)
    base = [str(go_ethereum("clef")), "--keystore", str(folder / "keys"), "--configdir", str(folder / "clef")]
    base += ["--chainid", str(CHAIN_ID), "--lightkdf", "--suppress-bootwarn", "--loglevel", "3"]

    def do(answers: str, *words: str) -> None:
        done = subprocess.run(
            [*base, *words], input=answers, cwd=folder, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr

    do(f"{MASTER}\n{MASTER}\n", "init")
    do(f"{MASTER}\n", "attest", hashlib.sha256(RULES.encode()).hexdigest())
    do(f"{PASSWORD}\n{PASSWORD}\n{MASTER}\n", "setpw", hex_of(KEY.address))
    port, log = free_port(), folder / "log"
    command = [*base, "--rules", "rules.js", "--http", "--http.port", str(port), "--ipcdisable"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=out, stderr=out)
        try:
            assert process.stdin is not None
            process.stdin.write(f"{MASTER}\n".encode())
            process.stdin.flush()
            wait_until(lambda: answers(port) or process.poll() is not None, "clef answers", log)
            yield port
        finally:
            process.kill()
            process.wait(timeout=30)
            if process.stdin is not None:
                process.stdin.close()


def answers(port: int) -> bool:
    call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "account_list", "params": []}).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{port}", call, {"content-type": "application/json"})
    with suppress(OSError), urllib.request.urlopen(asked, timeout=30) as answer:
        return hex_of(KEY.address) in json.loads(answer.read()).get("result", [])
    return False


def test_clef_seals_for_our_node_and_its_refusal_is_passed_on(tmp_path: Path) -> None:
    genesis = genesis_of(1, period=1, epoch=4, timestamp=int(time.time()) - 5, forks=ALL_AT_ONCE)
    with clef(tmp_path / "clef") as port:
        settings = SigningSettings(
            backend="remote",
            remote_url=f"http://127.0.0.1:{port}",
            remote_dialect="clef",
            remote_address=hex_of(KEY.address),
        )
        key = open_remote(settings)
        for extra in (bytes(97), bytes(32) + bytes(range(60)) + bytes(65)):
            asked = request(7, extra=extra)
            assert recover_address(asked.digest, key.sign_digest(asked)) == KEY.address
        with pytest.raises(SigningError, match=r"refuses.*request denied"):
            key.sign_digest(request(FORBIDDEN))
        another = open_remote(replace(settings, remote_address=hex_of(KEYS[1].address)))
        with pytest.raises(SigningError, match="refuses"):
            another.sign_digest(request(7))
        for each in (key, another):
            each.close()
        with our_node(tmp_path, "ours", genesis, signing=settings) as node:
            # Past two checkpoints, whose headers are longer.
            wait_until(lambda: node.client.eth.block_number >= 9, "nine blocks", node.log)
            sealers = {node.rpc("clique_getSigner", hex(number)) for number in range(1, 10)}
            assert sealers == {hex_of(KEY.address)}
            assert node.rpc("clique_getSealing")["problems"] == []


def test_geth_has_its_blocks_sealed_by_our_signer(tmp_path: Path) -> None:
    genesis = genesis_of(1, period=1, epoch=4, timestamp=int(time.time()) - 5, forks=ALL_AT_ONCE)
    (tmp_path / "genesis.json").write_text(json.dumps(genesis))
    run_geth(tmp_path / "data", "init", str(tmp_path / "genesis.json"))
    with our_signer(tmp_path) as port:
        http, address, log = free_port(), hex_of(KEY.address), tmp_path / "geth.log"
        options = (
            f"--datadir {tmp_path / 'data'} --networkid {CHAIN_ID} --port {free_port()} --nodiscover"
            f" --ipcdisable --http --http.port {http} --http.api eth,web3,clique --authrpc.port {free_port()}"
            f" --cache 64 --signer http://127.0.0.1:{port} --mine --miner.etherbase {address}"
        )
        with log.open("wb") as out:
            process = subprocess.Popen([str(geth_binary()), *options.split()], stdout=out, stderr=out)
            try:
                client = Web3(Web3.HTTPProvider(f"http://127.0.0.1:{http}"))
                client.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
                wait_until(lambda: client.is_connected() and client.eth.block_number >= 9, "nine blocks", log)
                for number in range(1, 10):
                    got = client.provider.make_request("clique_getSigner", [hex(number)])  # type: ignore[arg-type]
                    assert got["result"] == address
            finally:
                process.terminate()
                process.wait(timeout=30)


@contextmanager
def our_signer(folder: Path) -> Iterator[int]:
    """`phoenix signer serve` under mutual TLS; gives the port of a tunnel to it, because geth shows no
    certificate."""
    files = signer_files(folder, "geth", in_key_store(folder, KEY, CHAIN_ID))
    context = ssl.create_default_context(cafile=str(files.authority))
    context.load_cert_chain(files.client.certificate, files.client.key)
    with serving(files), socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=tunnel, args=(listener, files.port, context), daemon=True).start()
        yield listener.getsockname()[1]


def tunnel(listener: socket.socket, port: int, context: ssl.SSLContext) -> None:
    """Every plain connection goes on under TLS, until the listener is closed."""
    with suppress(OSError):
        while True:
            plain, _ = listener.accept()
            tcp = socket.create_connection(("127.0.0.1", port), timeout=60)
            secured = context.wrap_socket(tcp, server_hostname="127.0.0.1")
            for one, other in ((plain, secured), (secured, plain)):
                threading.Thread(target=pump, args=(one, other), daemon=True).start()


def pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)
