"""eth_getProof answers of programs that nobody here wrote verify with our verifier; altered ones do not.

geth's are held to the same in test_light.py.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from web3 import Web3

from node.light.json_rpc import JsonRpc
from node.light.provider import RpcProvider, _proof_claim
from node.light.reads import ProofClaim
from node.primitives.ids import Address, hex_of
from tests.chain.harness import ETHER
from tests.interop.npm import node, npm_install
from tests.interop.ours import wait_until
from tests.interop.test_light import check_claims
from tests.ports import free_port

pytestmark = pytest.mark.interop

ANVIL: Final = "@foundry-rs/anvil@1.7.1"
STORES: Final = bytes.fromhex("6001600055" + "61ffff600155" + "6003606355" + "00")
"""Init code that stores in slots 0, 1 and 99, and leaves no code."""
GANACHE: Final = "ganache@7.9.2"


@contextmanager
def program(kind: str, folder: Path) -> Iterator[str]:
    """A chain of its own with rich accounts that it signs for; its URL."""
    port, log = free_port(), folder / "log"
    if kind == "anvil":
        command = [str(npm_install(ANVIL) / "node_modules" / ".bin" / "anvil"), "--hardfork", "london"]
    else:
        command = [
            node(),
            str(npm_install(GANACHE) / "node_modules" / "ganache" / "dist" / "node" / "cli.js"),
        ]
        command += ["--chain.hardfork", "london"]
    with log.open("wb") as out:
        # What npm puts in place of anvil starts it as a child, and does not take it along when it is killed.
        process = subprocess.Popen(
            [*command, "--port", str(port)], stdout=out, stderr=out, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        client = Web3(Web3.HTTPProvider(url))
        wait_until(lambda: process.poll() is not None or client.is_connected(), f"{kind} answers", log)
        assert process.poll() is None, log.read_text()[-2000:]
        yield url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("kind", ["anvil", "ganache"])
def test_proofs_of_another_program_verify_and_altered_ones_do_not(kind: str, tmp_path: Path) -> None:
    with program(kind, tmp_path) as url:
        client = Web3(Web3.HTTPProvider(url))
        rich = client.eth.accounts[0]
        fields: Any = {"from": rich, "data": STORES, "gas": 200_000}
        receipt = client.eth.wait_for_transaction_receipt(client.eth.send_transaction(fields))
        contract = Address(bytes.fromhex(str(receipt["contractAddress"])[2:]))
        for place in range(3):
            paid: Any = {"from": rich, "to": client.eth.accounts[1 + place], "value": ETHER + place}
            client.eth.wait_for_transaction_receipt(client.eth.send_transaction(paid))
        head = RpcProvider(JsonRpc(url, timeout_s=20.0, bytes_max=1 << 24)).head()
        wanted = {Address(bytes.fromhex(each[2:])): () for each in client.eth.accounts[:5]}
        wanted |= {Address(b"\x07" * 20): (), contract: (0, 1, 7, 99)}
        claims = [claim_of(client, address, slots, head.number) for address, slots in wanted.items()]
        assert sum(len(claim.nodes) for claim in claims) > len(claims)
        check_claims(client, head, claims)


def claim_of(client: Web3, address: Address, slots: tuple[int, ...], number: int) -> ProofClaim:
    """By the block's number: ganache knows no other way."""
    keys = [f"0x{slot:064x}" for slot in slots]
    answer = client.provider.make_request("eth_getProof", [hex_of(address), keys, hex(number)])  # type: ignore[arg-type]
    return _proof_claim(address, slots, answer["result"])
