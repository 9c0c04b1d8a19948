"""py-evm hashes and recovers with the fast libraries, whoever imports what first."""

import subprocess
import sys

PROGRAM = """
import node.execution.py_evm_faults  # the lowest of our modules that imports py-evm
from eth_hash.auto import keccak
from eth_keys.backends import get_backend
keccak(b"")
print(type(keccak.hasher.__self__).__name__, type(get_backend()).__name__)
"""


def test_hashes_come_from_pysha3_and_signatures_from_coincurve():
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["PySha3Backend", "CoinCurveECCBackend"]
