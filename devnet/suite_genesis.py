"""What the contract suite needs of a local network's genesis."""

from typing import Final

from contracts.genesis import doors
from contracts.suite import ACCOUNT_INGRESS
from devnet.keys import accounts_of
from devnet.manifest import Network

REGISTRY: Final = "contracts.json"
"""In the network's home: addresses by name, once the suite is deployed."""
DEPLOYER: Final = 1
"""The account that deploys, by its place in `endpoints --json`."""


def suite_doors(network: Network) -> dict[str, dict[str, object]]:
    """The permissioning doors, for the deployer to open; nothing without the suite or with few accounts."""
    if not network.contract_suite:
        return {}
    accounts = accounts_of(network.seed, network.accounts.count)
    return doors(accounts[DEPLOYER]["address"]) if len(accounts) > DEPLOYER else {}


def suite_rules(network: Network) -> dict[str, object]:
    """The rules for accounts: in force from block 1, open to all until the suite names who may send."""
    if not suite_doors(network):
        return {}
    # The suite's rules look at nobody's amounts, so one answer serves all transactions of a kind.
    return {"accountPermissioning": {"ingress": ACCOUNT_INGRESS, "block": 1, "sees": "kind"}}
