"""What a network that is permissioned by contract has in its genesis: the two doors at fixed addresses."""

from contracts.artifacts import load
from contracts.suite import ACCOUNT_INGRESS, NODE_INGRESS


def doors(starter: str) -> dict[str, dict[str, object]]:
    """Entries for genesis.json's alloc; `starter` (an address) may name the authority of both, once."""
    slot = {"0x" + "00" * 32: "0x" + starter.removeprefix("0x").lower().rjust(64, "0")}
    return {
        address: {
            "balance": "0x0",
            "nonce": "0x1",
            "code": "0x" + load(name).deployed_bytecode.hex(),
            "storage": dict(slot),
        }
        for name, address in (("NodeIngress", NODE_INGRESS), ("AccountIngress", ACCOUNT_INGRESS))
    }
