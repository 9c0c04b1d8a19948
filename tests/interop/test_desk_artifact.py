"""The artifact of the RPC tests' contract is what the compiler makes of its source, byte for byte."""

import json
import subprocess

import pytest

from tests.interop.npm import node, npm_install
from tests.interop.test_notebook_artifact import COMPILE, SOLC
from tests.rpc.desk import ARTIFACT, artifact

pytestmark = pytest.mark.interop


def test_the_artifact_is_what_the_source_compiles_to() -> None:
    source = ARTIFACT.with_suffix(".sol")
    request = {
        "language": "Solidity",
        "sources": {source.name: {"content": source.read_text()}},
        "settings": artifact()["settings"] | {"outputSelection": {"*": {"*": ["abi", "evm.bytecode"]}}},
    }
    command = [node(), "-e", COMPILE, str(npm_install(SOLC))]
    done = subprocess.run(
        command, input=json.dumps(request), capture_output=True, text=True, check=True, timeout=60
    )
    contract = json.loads(done.stdout)["contracts"][source.name]["Desk"]
    assert artifact()["abi"] == contract["abi"]
    assert artifact()["bytecode"] == "0x" + contract["evm"]["bytecode"]["object"]
