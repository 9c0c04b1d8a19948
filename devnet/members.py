"""Who is who on a local network: the members' file of its nodes, and what contracts are told of them."""

from typing import Final

from devnet.keys import node_key
from devnet.manifest import Network, NodePlan
from node.permissioning.allowlist import AllowList, Member, encode_allowlist
from node.permissioning.policy import MAY_DIAL, Tier

MEMBERS_FILE: Final = "members.toml"
"""In the network's home; every node reads it."""
ALL_ROLES: Final = 15
"""READ, TRANSACT (calls and value), DEPLOY and ADMIN, as Organisations numbers them."""
_USUAL_TIER: Final = {"light": Tier.EDGE, "replica": Tier.REGIONAL}


def tier_of(plan: NodePlan) -> Tier:
    """Where a node stands: as the manifest says, or as its role usually does."""
    return Tier(plan.tier) if plan.tier else _USUAL_TIER.get(plan.role, Tier.CORE)


def may_dial(plan: NodePlan, other: NodePlan) -> bool:
    """Whether a node may dial another one by their tiers."""
    return tier_of(other) in MAY_DIAL[tier_of(plan)]


def members_of(network: Network) -> AllowList:
    """Every node of the manifest."""
    members = [
        Member(
            id=node_key(network.seed, plan.name).public_key,
            name=plan.name,
            organisation=plan.organisation,
            tier=tier_of(plan),
            validator=plan.role == "validator",
        )
        for plan in network.nodes
    ]
    return AllowList({member.id: member for member in members})


def members_file(network: Network) -> str:
    """The same, as nodes read it."""
    return encode_allowlist(members_of(network))
