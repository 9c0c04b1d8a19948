"""The contract suite as a genesis allocation, with accounts entered: its rules as a chain's own."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from contracts.artifacts import load
from contracts.deploy import deploy
from contracts.registry import Registry
from contracts.suite import ACCOUNT_INGRESS, NODE_INGRESS
from node.primitives.crypto import EMPTY_HASH
from node.primitives.ids import Address, hex_of
from tests.contracts.sandbox import Sandbox
from tests.contracts.suite import DEPLOYER, GENESIS, SandboxChain, charter_of

SUITE_INGRESS: Final = Address(bytes.fromhex(ACCOUNT_INGRESS[2:]))
ALL: Final = 15


def suite_alloc(chain: Sandbox, accounts: Mapping[str, int]) -> dict[str, Any]:
    """Deploy in a sandbox, with `accounts` and their roles in one organisation; take its contracts out."""
    starter = chain.account(DEPLOYER)
    for name, address in (("NodeIngress", NODE_INGRESS), ("AccountIngress", ACCOUNT_INGRESS)):
        chain.put_code(address, load(name).deployed_bytecode, {0: int(starter, 16)})
    charter = dataclasses.replace(
        charter_of(chain),
        organisations={"all": starter},
        accounts={account: ("all", roles) for account, roles in accounts.items()},
    )
    deploy(SandboxChain(chain), charter, Registry(GENESIS), lambda line: None)
    world, alloc = chain.world, {}
    for owner, account in world.accounts.items():
        if account.code_hash == EMPTY_HASH:
            continue
        slots = {hex(slot): hex(value) for slot, value in world.slots.get(owner, {}).items() if value}
        code = "0x" + world.code(account.code_hash).hex()
        alloc[hex_of(owner)] = {"balance": "0", "nonce": account.nonce, "code": code, "storage": slots}
    return alloc
