"""The artifact of the devnet's contract is what the compiler makes of its source, byte for byte."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from devnet.notebook import ARTIFACT, artifact
from tests.interop.npm import node, npm_install

pytestmark = pytest.mark.interop

SOLC = "solc@0.8.37"
COMPILE = """
const solc = require(process.argv[1] + '/node_modules/solc');
let input = '';
process.stdin.on('data', chunk => input += chunk);
process.stdin.on('end', () => process.stdout.write(solc.compile(input)));
"""


def compiled(source: Path) -> dict[str, Any]:
    """The contract as the compiler describes it."""
    request = {
        "language": "Solidity",
        "sources": {source.name: {"content": source.read_text()}},
        "settings": artifact()["settings"]
        | {
            "outputSelection": {
                "*": {"*": ["abi", "evm.bytecode", "evm.deployedBytecode", "evm.methodIdentifiers"]}
            }
        },
    }
    done = subprocess.run(
        [node(), "-e", COMPILE, str(npm_install(SOLC))],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer = json.loads(done.stdout)
    assert "errors" not in answer
    contract = answer["contracts"][source.name]["Notebook"]
    assert isinstance(contract, dict)
    return contract


def test_the_artifact_is_what_the_source_compiles_to() -> None:
    contract = compiled(ARTIFACT.with_suffix(".sol"))
    kept = artifact()
    assert kept["abi"] == contract["abi"]
    assert kept["bytecode"] == "0x" + contract["evm"]["bytecode"]["object"]
    assert kept["deployedBytecode"] == "0x" + contract["evm"]["deployedBytecode"]["object"]
    assert kept["methods"] == contract["evm"]["methodIdentifiers"]
