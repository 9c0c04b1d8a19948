"""did:ethr as the world reads it: npm ethr-did-resolver, unchanged, on our registry and a live node."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import pytest

from contracts.artifacts import load
from node.primitives.ids import hex_of
from tests.chain.harness import ACCOUNTS, KEYS
from tests.interop.npm import node as nodejs
from tests.interop.npm import npm_install
from tests.interop.ours import OurNode, our_node
from tests.interop.test_geth_chain import ALL_AT_ONCE, genesis_of

pytestmark = pytest.mark.interop

PACKAGES: Final = ("ethr-did-resolver@11.1.3", "did-resolver@6.0.0", "ethers@6.17.0")
DRIVER: Final = Path(__file__).with_name("did_resolver.cjs")
IDENTITY, HEIR, RELAYER = ACCOUNTS[1:4]
LIMIT_S: Final = 240


def deploy_registry(node: OurNode) -> str:
    """The registry of the suite, on a chain of its own."""
    client = node.client
    fields = {
        "chainId": client.eth.chain_id, "nonce": 0, "gas": 3_000_000, "value": 0,
        "data": load("EthereumDIDRegistry").bytecode, "maxFeePerGas": 10**10, "maxPriorityFeePerGas": 10**9,
    }  # fmt: skip
    signed = ACCOUNTS[0].sign_transaction(fields)
    digest = client.eth.send_raw_transaction(signed.raw_transaction)
    receipt = client.eth.wait_for_transaction_receipt(digest)
    assert receipt["status"] == 1
    return str(receipt["contractAddress"])


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the resolver said after each step of the driver's story."""
    modules = npm_install(*PACKAGES)
    genesis = genesis_of(1, period=1, epoch=30_000, timestamp=int(time.time()) - 10, forks=ALL_AT_ONCE)
    with our_node(tmp_path_factory.mktemp("did"), "sealer", genesis, signer=KEYS[0]) as node:
        told = {
            "modules": str(modules),
            "rpc": node.client.provider.endpoint_uri,  # type: ignore[attr-defined]
            "chainId": node.client.eth.chain_id,
            "registry": deploy_registry(node),
            **{name: hex_of(bytes(each.key)) for name, each in
               (("identity", IDENTITY), ("heir", HEIR), ("relayer", RELAYER))},
        }  # fmt: skip
        done = subprocess.run(
            [nodejs(), str(DRIVER), json.dumps(told)], capture_output=True, text=True, timeout=LIMIT_S
        )
        assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def methods(answer: dict[str, Any]) -> dict[str, str]:
    """Fragment -> account or key of each way to verify."""
    found = {}
    for each in answer["didDocument"]["verificationMethod"]:
        text = each.get("blockchainAccountId") or each["publicKeyHex"]
        found[each["id"].split("#")[1]] = text.split(":")[-1]
    return found


def services(answer: dict[str, Any]) -> dict[str, str]:
    """Kind -> place of each service."""
    return {each["type"]: each["serviceEndpoint"] for each in answer["didDocument"].get("service", ())}


def test_every_step_is_resolved(answers: dict[str, dict[str, Any]]) -> None:
    for name, answer in answers.items():
        assert "error" not in answer["didResolutionMetadata"], name
        assert answer["didDocument"]["id"] == f"did:ethr:phoenix:{IDENTITY.address}", name


def test_an_address_is_an_identity_and_controls_itself(answers: dict[str, dict[str, Any]]) -> None:
    assert methods(answers["born"]) == {"controller": IDENTITY.address}


def test_delegates_come_and_go(answers: dict[str, dict[str, Any]]) -> None:
    assert methods(answers["delegate"]) == {"controller": IDENTITY.address, "delegate-1": HEIR.address}
    found = answers["authenticating delegate"]
    assert methods(found) == {
        "controller": IDENTITY.address, "delegate-1": HEIR.address, "delegate-2": RELAYER.address,
    }  # fmt: skip
    authenticating = [each.split("#")[1] for each in found["didDocument"]["authentication"]]
    assert authenticating == ["controller", "delegate-2"]
    assert methods(answers["delegate revoked"]) == {
        "controller": IDENTITY.address, "delegate-2": RELAYER.address,
    }  # fmt: skip


def test_attributes_come_and_go(answers: dict[str, dict[str, Any]]) -> None:
    found = answers["attributes"]
    assert "02" * 33 in methods(found).values()
    assert services(found) == {"LedgerService": "https://ledger.example/did"}
    assert "02" * 33 not in methods(answers["attribute revoked"]).values()
    assert services(answers["attribute revoked"]) == services(found)


def test_what_the_identity_signed_somebody_else_may_send(answers: dict[str, dict[str, Any]]) -> None:
    assert HEIR.address in methods(answers["delegate by message"]).values()
    found = answers["attribute by message"]
    assert HEIR.address not in methods(found).values()
    assert services(found)["Relayed"] == "https://relay.example"
    changed = answers["owner changed by message"]
    assert "Relayed" not in services(changed)
    assert methods(changed)["controller"] == HEIR.address


def test_an_owner_hands_back_and_gives_up(answers: dict[str, dict[str, Any]]) -> None:
    assert methods(answers["owner changed back"])["controller"] == IDENTITY.address
    assert answers["given up"]["didDocumentMetadata"]["deactivated"] is True


def test_the_past_can_be_read(answers: dict[str, dict[str, Any]]) -> None:
    assert methods(answers["as it was"]) == methods(answers["delegate"])
