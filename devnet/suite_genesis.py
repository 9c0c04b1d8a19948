"""What the contract suite needs of a local network's genesis."""

from typing import Final

from contracts.genesis import doors
from devnet.keys import accounts_of
from devnet.manifest import Network

DEPLOYER: Final = 1
"""The account that deploys, by its place in `endpoints --json`."""


def suite_doors(network: Network) -> dict[str, dict[str, object]]:
    """The permissioning doors, for the deployer to open; nothing without the suite or with few accounts."""
    if not network.contract_suite:
        return {}
    accounts = accounts_of(network.seed, network.accounts.count)
    return doors(accounts[DEPLOYER]["address"]) if len(accounts) > DEPLOYER else {}
