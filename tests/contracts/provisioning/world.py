"""A site with an operator, two tenants and the registers around them, as far as provisioning asks."""

from dataclasses import dataclass
from typing import Any

from node.primitives.crypto import keccak256
from tests.contracts.fakes import Answers, authority
from tests.contracts.sandbox import Contract, Done, Sandbox

SITE, VCPU, GH, PLACE = (keccak256(name) for name in (b"site 7", b"vCPU", b"GH", b"provisioning.place"))
OPERATOR, TENANT, OTHER, STRANGER = 1, 2, 3, 4
HOUR = 3600
TIER_CORE = 1


@dataclass
class Cloud:
    """Provisioning and the fakes it asks."""

    chain: Sandbox
    contract: Contract
    regions: Answers
    policy: Answers
    residency: Answers
    provenance: Answers

    def act(self, who: int, function: str, *arguments: Any) -> Done:
        return self.contract.send[function](*arguments, sender=self.chain.account(who))

    def allow(self, who: int, *, allowed: bool = True) -> None:
        arguments = (self.chain.account(who), PLACE, SITE)
        self.policy.tell("isAllowed", ["address", "bytes32", "bytes32"], arguments, int(allowed))

    def offer(self, capacity: int) -> int:
        return int(self.act(OPERATOR, "offerCapacity", SITE, VCPU, capacity).output)

    def request(self, units: int, who: int = TENANT, data: bytes = bytes(32), lease: int = HOUR) -> int:
        return int(self.act(who, "request", VCPU, units, data, lease).output)

    def activated(self, units: int, offer: int) -> int:
        allocation = self.request(units)
        self.act(OPERATOR, "allocate", [allocation], offer)
        self.act(OPERATOR, "activate", allocation)
        return allocation

    def units(self, allocation: int) -> tuple[int, int]:
        """(status, units)"""
        found = self.contract.call.allocationOf(allocation)
        return found["status"], found["units"]

    def committed(self, offer: int) -> int:
        return int(self.contract.call.offerOf(offer)["committed"])

    def used(self, who: int = TENANT) -> int:
        return int(self.contract.call.quotaOf(self.chain.account(who), VCPU)[1])


def build() -> Cloud:
    """Quota 100 for both tenants, both allowed at the one site."""
    chain = Sandbox()
    fakes = [Answers(chain, place) for place in range(800, 804)]
    contract = chain.proxy("Provisioning", authority(chain).address, *(fake.address for fake in fakes))
    cloud = Cloud(chain, contract, *fakes)
    cloud.regions.tell("site", ["bytes32"], (SITE,), 1, TIER_CORE, 1, chain.account(OPERATOR), 0)
    cloud.regions.tell("isActive", ["bytes32"], (SITE,), 1)
    cloud.regions.tell("jurisdictionOf", ["bytes32"], (SITE,), int.from_bytes(GH, "big"))
    for tenant in (TENANT, OTHER):
        cloud.allow(tenant)
        contract.send.setQuota(chain.account(tenant), VCPU, 100)
    return cloud
