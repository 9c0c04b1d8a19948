"""Which libraries py-evm hashes and recovers with; to be imported before anything of py-evm.

Left alone, eth_hash takes pycryptodome (five times slower than pysha3), and eth_keys may fall back to pure
Python (a hundred times slower than coincurve). Both read the environment when they are first used.
"""

import os

os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")
os.environ.setdefault("ECC_BACKEND_CLASS", "eth_keys.backends.CoinCurveECCBackend")
