"""Consensys' Web3Signer in its eth1 mode: it seals for our node, and our signer answers as it does.

It is no package that could be installed here: PHOENIX_WEB3SIGNER names the program (bin/web3signer of its
distribution), or it is found on the PATH; skipped otherwise. Mutual TLS throughout, as SECURITY.md wants it.
"""

import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
    pkcs12,
)

from node.config.settings import SigningSettings
from node.primitives.crypto import PrivateKey, recover_address
from node.primitives.ids import hex_of
from node.primitives.transaction import TransactionType, decode_transaction
from node.signing.clique_payload import encode_unsealed
from node.signing.keystore import store_key
from node.signing.remote import open_remote
from node.signing.signer import SigningError
from tests.chain.harness import CHAIN_ID, KEYS
from tests.interop.ours import our_node, wait_until
from tests.interop.test_geth_chain import ALL_AT_ONCE, genesis_of
from tests.ports import free_port
from tests.signing.authority import Authority, Member
from tests.signing.headers import request
from tests.signing.signer_process import in_key_store, serving, signer_files

pytestmark = pytest.mark.interop

KEY = KEYS[0]
STRANGER: Final = "0x" + PrivateKey(b"\x55" * 32).public_key.hex()
TO: Final = "0x" + "31" * 20
GWEI: Final = 10**9


@dataclass(frozen=True)
class Signer:
    """A running signer of either make, and who may ask it."""

    port: int
    client: Member
    authority: Path
    node_port: int = 0
    """Where it passes on what it does not answer itself."""

    def ask(self, path: str, body: object = None) -> tuple[int, str]:
        """Status and body."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.client.certificate, self.client.key)
        data = None if body is None else json.dumps(body).encode()
        url = f"https://127.0.0.1:{self.port}{path}"
        asked = urllib.request.Request(url, data, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=60, context=context) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def call(self, method: str, *parameters: Any) -> Any:
        """One call of JSON-RPC; its result, or AssertionError with the whole answer."""
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        status, body = self.ask("/", call)
        assert status == 200, body
        answer = json.loads(body)
        assert "result" in answer, body
        return answer["result"]

    def settings(self) -> SigningSettings:
        """Of a node that asks it."""
        return SigningSettings(
            backend="remote",
            remote_url=f"https://127.0.0.1:{self.port}",
            remote_address=hex_of(KEY.address),
            remote_certificate=self.client.certificate,
            remote_key=self.client.key,
            remote_ca=self.authority,
        )


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    """Web3Signer with our key, from a key store that we wrote; it lets in who is on its list."""
    program = os.environ.get("PHOENIX_WEB3SIGNER") or shutil.which("web3signer")
    if program is None:
        pytest.skip("Web3Signer is not here: PHOENIX_WEB3SIGNER names its program")
    folder = tmp_path_factory.mktemp("web3signer")
    authority = Authority(folder)
    server, client = authority.member("signer"), authority.member("node")
    _in_pkcs12(server, folder / "signer.p12")
    for name in ("p12-password", "key-password"):
        (folder / name).write_text("pw")
    colons = ":".join(client.fingerprint[place : place + 2] for place in range(0, 64, 2)).upper()
    (folder / "known-clients").write_text(f"node {colons}\n")
    file = store_key(folder / "stores", KEY, "pw", scrypt_n=1 << 12).path
    (folder / "keys").mkdir()
    (folder / "keys" / "sealer.yaml").write_text(
        f'type: "file-keystore"\nkeyType: "SECP256K1"\nkeystoreFile: "{file}"\n'
        f'keystorePasswordFile: "{folder / "key-password"}"\n'
    )
    port, node_port, log = free_port(), free_port(), folder / "log"
    options = (
        f"--key-store-path={folder / 'keys'} --data-path={folder} --http-listen-port={port}"
        f" --tls-keystore-file={folder / 'signer.p12'}"
        f" --tls-keystore-password-file={folder / 'p12-password'}"
        f" --tls-known-clients-file={folder / 'known-clients'}"
        f" eth1 --chain-id={CHAIN_ID} --downstream-http-host=127.0.0.1 --downstream-http-port={node_port}"
    )
    signer = Signer(port, client, authority.path, node_port)

    def answers() -> bool:
        with suppress(OSError):
            return signer.ask("/upcheck") == (200, "OK")
        return False

    with log.open("wb") as out:
        process = subprocess.Popen([program, *options.split()], stdout=out, stderr=out, cwd=folder)
        try:
            wait_until(lambda: process.poll() is not None or answers(), "Web3Signer answers", log)
            assert process.poll() is None, log.read_text()[-3000:]
            yield signer
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Signer]:
    """`phoenix signer serve` with the same key, which signs whatever Web3Signer would."""
    kinds = 'kinds = ["clique-header", "transaction"]\n'
    files = signer_files(tmp_path, "node", in_key_store(tmp_path, KEY, CHAIN_ID) + kinds)
    with serving(files):
        yield Signer(files.port, files.client, files.authority)


def test_it_seals_for_our_node_and_signs_transactions_for_it(theirs: Signer, tmp_path: Path) -> None:
    genesis = genesis_of(1, period=1, epoch=4, timestamp=int(time.time()) - 5, forks=ALL_AT_ONCE)
    genesis["alloc"][hex_of(KEY.address)] = {"balance": str(10**18)}
    with our_node(tmp_path, "ours", genesis, signing=theirs.settings(), rpc_port=theirs.node_port) as node:
        # The program of a member asks Web3Signer, which signs and passes on to our node. It finds the nonce.
        fees = {"maxFeePerGas": hex(20 * GWEI), "maxPriorityFeePerGas": hex(GWEI), "gas": "0x5208"}
        sent = [
            theirs.call(
                "eth_sendTransaction", {"from": hex_of(KEY.address), "to": TO, "value": "0x5", **more}
            )
            for more in (fees, {"gas": "0x5208", "gasPrice": hex(20 * GWEI)})
        ]
        receipts = [node.client.eth.wait_for_transaction_receipt(each, timeout=60) for each in sent]
        assert [receipt["status"] for receipt in receipts] == [1, 1]
        assert [receipt["type"] for receipt in receipts] == [TransactionType.FEE_MARKET, 0]
        assert node.client.eth.get_balance(node.client.to_checksum_address(TO)) == 10
        # Past two checkpoints, whose headers are longer.
        wait_until(lambda: node.client.eth.block_number >= 9, "nine blocks", node.log)
        sealers = {node.rpc("clique_getSigner", hex(number)) for number in range(1, 10)}
        assert sealers == {hex_of(KEY.address)}
        assert node.rpc("clique_getSealing")["problems"] == []


def test_every_form_of_header_is_sealed_and_a_key_it_has_not_is_told(theirs: Signer) -> None:
    key = open_remote(theirs.settings())
    for number, extra in enumerate((bytes(97), bytes(32) + bytes(range(60)) + bytes(65)), start=7):
        asked = request(number, extra=extra)
        assert recover_address(asked.digest, key.sign_digest(asked)) == KEY.address
    key.close()
    other = open_remote(replace(theirs.settings(), remote_address=hex_of(KEYS[1].address)))
    with pytest.raises(SigningError, match=r"has no key of 0x.* for us"):
        other.sign_digest(request(7))
    other.close()


def test_our_signer_answers_as_web3signer_does(theirs: Signer, ours: Signer) -> None:
    both, name = (theirs, ours), hex_of(KEY.public_key)
    sign = f"/api/v1/eth1/sign/{name}"
    header = hex_of(encode_unsealed(request(7).header or pytest.fail("a header")))
    for path, body in (
        ("/upcheck", None),
        ("/api/v1/eth1/publicKeys", None),
        (sign, {"data": header}),
        (sign.replace("0x", ""), {"data": header}),
    ):
        one, other = (signer.ask(path, body) for signer in both)
        assert one == other
        assert one[0] == 200
    for path, body in (
        (f"/api/v1/eth1/sign/{STRANGER}", {"data": header}),
        (sign, {}),
        (sign, {"data": ""}),
    ):
        one, other = (signer.ask(path, body) for signer in both)
        assert one[0] == other[0] >= 400
    draft = {"from": hex_of(KEY.address), "to": TO, "value": "0x5", "nonce": "0x0", "gas": "0x5208"}
    for fees in ({"gasPrice": "0x10"}, {"maxFeePerGas": "0x10", "maxPriorityFeePerGas": "0x1"}):
        for data in ({}, {"data": "0x1234"}, {"input": "0x1234"}):
            one, other = (signer.call("eth_signTransaction", draft | fees | data) for signer in both)
            assert one == other
            assert decode_transaction(bytes.fromhex(one[2:])).sender == KEY.address
    assert theirs.call("eth_accounts") == ours.call("eth_accounts") == [hex_of(KEY.address)]


def _in_pkcs12(member: Member, path: Path) -> None:
    key = load_pem_private_key(member.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    certificate = x509.load_pem_x509_certificate(member.certificate.read_bytes())
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"signer", key, certificate, None, BestAvailableEncryption(b"pw")
        )
    )
