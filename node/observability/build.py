"""Which program this is: for `phoenix version`, web3_clientVersion, the devp2p hello and a metric."""

import platform
from importlib.metadata import version


def program_version() -> str:
    """The version of the installed distribution: "0.1.0"."""
    return version("phoenix-ledger")


def client_version() -> str:
    """As Ethereum clients name themselves: "phoenix-ledger/v0.1.0/linux-x86_64/python3.11.7"."""
    system = f"{platform.system().lower()}-{platform.machine()}"
    return f"phoenix-ledger/v{program_version()}/{system}/python{platform.python_version()}"
