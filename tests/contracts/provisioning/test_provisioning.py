"""Provisioning: who may ask, who may give, and that nothing is given twice."""

from typing import Any

import pytest

from node.primitives.crypto import keccak256
from tests.contracts.provisioning.world import (
    GH,
    HOUR,
    OPERATOR,
    OTHER,
    SITE,
    STRANGER,
    TENANT,
    TIER_CORE,
    VCPU,
    Cloud,
    build,
)

REASON, DATA = keccak256(b"reason"), keccak256(b"patients")
REQUESTED, ALLOCATED, ACTIVE, RELEASED, EXPIRED, REJECTED, CANCELLED = range(1, 8)
DAY = 86_400


@pytest.fixture(scope="module")
def built() -> tuple[Cloud, Any]:
    cloud = build()
    return cloud, cloud.chain.snapshot()


@pytest.fixture
def cloud(built: tuple[Cloud, Any]) -> Cloud:
    cloud, snapshot = built
    cloud.chain.restore(snapshot)
    return cloud


def test_from_request_to_release(cloud: Cloud) -> None:
    offer = cloud.offer(64)
    allocation = cloud.request(10)
    assert (cloud.units(allocation), cloud.used(), cloud.committed(offer)) == ((REQUESTED, 10), 10, 0)
    cloud.act(OPERATOR, "allocate", [allocation], offer)
    assert (cloud.units(allocation), cloud.used(), cloud.committed(offer)) == ((ALLOCATED, 10), 10, 10)
    done = cloud.act(OPERATOR, "activate", allocation)
    assert done.only("AllocationActivated")["leaseEnd"] == cloud.chain.now - 2 + HOUR
    cloud.act(TENANT, "resize", allocation, 25)
    assert (cloud.units(allocation), cloud.used(), cloud.committed(offer)) == ((ACTIVE, 25), 25, 25)
    cloud.act(TENANT, "resize", allocation, 5)
    assert (cloud.units(allocation), cloud.used(), cloud.committed(offer)) == ((ACTIVE, 5), 5, 5)
    cloud.act(TENANT, "release", allocation, REASON)
    assert (cloud.units(allocation), cloud.used(), cloud.committed(offer)) == ((RELEASED, 5), 0, 0)
    with cloud.chain.refusing("ProvisioningWrongStatus", status=RELEASED):
        cloud.act(TENANT, "release", allocation, REASON)


def test_only_the_sites_operator_offers(cloud: Cloud) -> None:
    chain = cloud.chain
    with chain.refusing("ProvisioningNotSiteOperator", caller=chain.account(STRANGER)):
        cloud.act(STRANGER, "offerCapacity", SITE, VCPU, 1)
    with chain.refusing("ProvisioningNoUnits"):
        cloud.offer(0)
    offer = cloud.offer(1)
    for function, arguments in (("changeCapacity", (offer, 5)), ("setOfferOpen", (offer, False))):
        with chain.refusing("ProvisioningNotOperator", caller=chain.account(STRANGER)):
            cloud.act(STRANGER, function, *arguments)
    with chain.refusing("ProvisioningUnknownOffer", offer=99):
        cloud.act(OPERATOR, "changeCapacity", 99, 5)


def test_capacity_is_never_promised_twice(cloud: Cloud) -> None:
    chain = cloud.chain
    offer = cloud.offer(10)
    first, second = cloud.request(6), cloud.request(6, OTHER)
    with chain.refusing("ProvisioningCapacityExceeded", wanted=6, free=4):
        cloud.act(OPERATOR, "allocate", [first, second], offer)
    cloud.act(OPERATOR, "allocate", [first], offer)
    with chain.refusing("ProvisioningWrongStatus", status=ALLOCATED):
        cloud.act(OPERATOR, "allocate", [first], offer)
    with chain.refusing("ProvisioningCapacityCommitted", committed=6, capacity=5):
        cloud.act(OPERATOR, "changeCapacity", offer, 5)
    cloud.act(OPERATOR, "changeCapacity", offer, 12)
    cloud.act(OPERATOR, "allocate", [second], offer)
    cloud.act(OPERATOR, "activate", first)
    with chain.refusing("ProvisioningCapacityExceeded", wanted=1, free=0):
        cloud.act(TENANT, "resize", first, 7)


def test_a_quota_counts_requests_too(cloud: Cloud) -> None:
    chain = cloud.chain
    cloud.request(60)
    with chain.refusing("ProvisioningQuotaExceeded", wanted=41, free=40):
        cloud.request(41)
    other = cloud.request(40)
    cloud.act(TENANT, "cancel", other)
    assert (cloud.units(other)[0], cloud.used()) == (CANCELLED, 60)
    cloud.contract.send.setQuota(chain.account(TENANT), VCPU, 10)
    with chain.refusing("ProvisioningQuotaExceeded", wanted=1, free=0):
        cloud.request(1)
    with chain.refusing("AccessManagedUnauthorized"):
        cloud.act(TENANT, "setQuota", chain.account(TENANT), VCPU, 1000)


def test_placement_obeys_residency_and_policy_and_the_sites_state(cloud: Cloud) -> None:
    chain = cloud.chain
    offer, allocation = cloud.offer(10), cloud.request(1, data=DATA)
    tenant = chain.account(TENANT)
    assert not cloud.contract.call.isPlaceable(tenant, DATA, SITE)
    with chain.refusing("ProvisioningNotResident", dataClass=DATA, jurisdiction=GH):
        cloud.act(OPERATOR, "allocate", [allocation], offer)
    cloud.residency.tell("isResident", ["bytes32", "bytes32"], (DATA, GH), 1)
    assert cloud.contract.call.isPlaceable(tenant, DATA, SITE)
    cloud.allow(TENANT, allowed=False)
    with chain.refusing("ProvisioningNotAllowed", tenant=tenant, site=SITE):
        cloud.act(OPERATOR, "allocate", [allocation], offer)
    cloud.allow(TENANT)
    cloud.regions.tell("isActive", ["bytes32"], (SITE,), 0)
    with chain.refusing("ProvisioningSiteNotActive", site=SITE):
        cloud.act(OPERATOR, "allocate", [allocation], offer)
    cloud.regions.tell("isActive", ["bytes32"], (SITE,), 1)
    cloud.act(OPERATOR, "allocate", [allocation], offer)
    cloud.act(OPERATOR, "activate", allocation)
    # What was right when it was placed must still be right when it grows.
    cloud.allow(TENANT, allowed=False)
    with chain.refusing("ProvisioningNotAllowed"):
        cloud.act(TENANT, "resize", allocation, 2)
    cloud.residency.tell("isResident", ["bytes32", "bytes32"], (DATA, GH), 0)
    with chain.refusing("ProvisioningNotResident"):
        cloud.act(TENANT, "resize", allocation, 2)


def test_a_closed_offer_takes_nothing_more(cloud: Cloud) -> None:
    offer = cloud.offer(10)
    allocation, waiting = cloud.activated(1, offer), cloud.request(1)
    cloud.act(OPERATOR, "setOfferOpen", offer, False)
    with cloud.chain.refusing("ProvisioningOfferClosed", offer=offer):
        cloud.act(OPERATOR, "allocate", [waiting], offer)
    with cloud.chain.refusing("ProvisioningOfferClosed", offer=offer):
        cloud.act(TENANT, "resize", allocation, 2)
    cloud.act(OPERATOR, "setOfferOpen", offer, True)
    cloud.act(OPERATOR, "allocate", [waiting], offer)


def test_requests_that_are_refused(cloud: Cloud) -> None:
    chain = cloud.chain
    with chain.refusing("ProvisioningNoUnits"):
        cloud.request(0)
    for lease in (59, 3 * 365 * DAY + 1):
        with chain.refusing("ProvisioningLeaseOutOfRange", leaseSeconds=lease):
            cloud.request(1, lease=lease)
    allocation = cloud.request(1)
    with chain.refusing("ProvisioningNotTenant", caller=chain.account(OTHER)):
        cloud.act(OTHER, "cancel", allocation)
    with chain.refusing("AccessManagedUnauthorized"):
        cloud.act(OPERATOR, "refuse", allocation, REASON)
    cloud.contract.send.refuse(allocation, REASON)
    assert (cloud.units(allocation)[0], cloud.used()) == (REJECTED, 0)
    with chain.refusing("ProvisioningWrongStatus", status=REJECTED):
        cloud.act(TENANT, "cancel", allocation)
    gpu = int(cloud.act(OPERATOR, "offerCapacity", SITE, keccak256(b"GPU"), 5).output)
    with chain.refusing("ProvisioningWrongClass"):
        cloud.act(OPERATOR, "allocate", [cloud.request(1)], gpu)


def test_a_reservation_is_abandoned_or_lapses(cloud: Cloud) -> None:
    chain = cloud.chain
    offer = cloud.offer(10)
    allocation, lapsing = cloud.request(4), cloud.request(4)
    cloud.act(OPERATOR, "allocate", [allocation, lapsing], offer)
    with chain.refusing("ProvisioningNotOperator"):
        cloud.act(STRANGER, "abandon", allocation, REASON)
    cloud.act(OPERATOR, "abandon", allocation, REASON)
    assert (cloud.units(allocation)[0], cloud.committed(offer)) == (REJECTED, 4)
    with chain.refusing("ProvisioningNotExpired"):
        cloud.act(STRANGER, "expire", [lapsing])
    chain.warp(DAY)
    with chain.refusing("ProvisioningExpired"):
        cloud.act(OPERATOR, "activate", lapsing)
    cloud.act(STRANGER, "expire", [lapsing])
    assert (cloud.units(lapsing)[0], cloud.committed(offer), cloud.used()) == (EXPIRED, 0, 0)


def test_a_lease_is_extended_or_ends(cloud: Cloud) -> None:
    chain = cloud.chain
    offer = cloud.offer(10)
    allocation = cloud.activated(4, offer)
    chain.warp(HOUR - 60)
    with chain.refusing("ProvisioningNotOperator"):
        cloud.act(STRANGER, "extend", allocation)
    done = cloud.act(OPERATOR, "extend", allocation).only("LeaseExtended")
    assert done["leaseEnd"] - done["previous"] == HOUR
    chain.warp(HOUR + 60)
    for who, function, arguments in ((OPERATOR, "extend", ()), (TENANT, "resize", (5,))):
        with chain.refusing("ProvisioningExpired"):
            cloud.act(who, function, allocation, *arguments)
    cloud.act(STRANGER, "expire", [allocation])
    with chain.refusing("ProvisioningWrongStatus", status=EXPIRED):
        cloud.act(STRANGER, "expire", [allocation])


def test_a_named_unit_belongs_to_one_allocation(cloud: Cloud) -> None:
    chain, host, spare = cloud.chain, keccak256(b"host 1"), keccak256(b"host 2")
    offer = cloud.offer(10)
    first, second = cloud.activated(1, offer), cloud.activated(1, offer)
    with chain.refusing("ProvisioningUnitNotHeld", unit=host):
        cloud.act(OPERATOR, "bindUnits", first, [host])
    for unit in (host, spare):
        cloud.provenance.tell("custodianOf", ["bytes32"], (unit,), chain.account(OPERATOR))
    cloud.act(OPERATOR, "bindUnits", first, [host])
    assert cloud.contract.call.holderOf(host) == first
    with chain.refusing("ProvisioningUnitTaken", unit=host, allocation=first):
        cloud.act(OPERATOR, "bindUnits", second, [host])
    with chain.refusing("ProvisioningTooManyBound", units=1):
        cloud.act(OPERATOR, "bindUnits", first, [spare])
    with chain.refusing("ProvisioningUnitNotBound"):
        cloud.act(OPERATOR, "freeUnits", second, [host])
    cloud.act(TENANT, "release", first, REASON)
    # Released is not yet wiped: the operator has to say so.
    with chain.refusing("ProvisioningUnitTaken"):
        cloud.act(OPERATOR, "bindUnits", second, [host])
    with chain.refusing("ProvisioningWrongStatus"):
        cloud.act(OPERATOR, "bindUnits", first, [spare])
    cloud.act(OPERATOR, "freeUnits", first, [host])
    cloud.act(OPERATOR, "bindUnits", second, [host])


def test_bound_units_hold_an_allocations_size(cloud: Cloud) -> None:
    chain, hosts = cloud.chain, [keccak256(b"a"), keccak256(b"b")]
    allocation = cloud.activated(3, cloud.offer(10))
    for unit in hosts:
        cloud.provenance.tell("custodianOf", ["bytes32"], (unit,), chain.account(OPERATOR))
    cloud.provenance.tell("isRecalled", ["bytes32"], (hosts[1],), 1)
    with chain.refusing("ProvisioningUnitRecalled", unit=hosts[1]):
        cloud.act(OPERATOR, "bindUnits", allocation, hosts)
    cloud.provenance.tell("isRecalled", ["bytes32"], (hosts[1],), 0)
    cloud.act(OPERATOR, "bindUnits", allocation, hosts)
    with chain.refusing("ProvisioningUnitsStillBound", bound=2):
        cloud.act(TENANT, "resize", allocation, 1)
    with chain.refusing("ProvisioningNoUnits"):
        cloud.act(TENANT, "resize", allocation, 0)


def test_a_pause_stops_growth_and_lets_go(cloud: Cloud) -> None:
    chain = cloud.chain
    offer = cloud.offer(10)
    allocation = cloud.activated(1, offer)
    with chain.refusing("AccessManagedUnauthorized"):
        cloud.act(STRANGER, "pause")
    cloud.contract.send.pause()
    for who, function, arguments in (
        (OPERATOR, "offerCapacity", (SITE, VCPU, 1)),
        (TENANT, "request", (VCPU, 1, bytes(32), HOUR)),
        (OPERATOR, "allocate", ([1], offer)),
        (TENANT, "resize", (allocation, 2)),
    ):
        with chain.refusing("GovernedPaused"):
            cloud.act(who, function, *arguments)
    cloud.act(TENANT, "release", allocation, REASON)
    cloud.contract.send.unpause()
    cloud.request(1)


def test_a_site_that_changes_hands_is_offered_by_its_new_operator(cloud: Cloud) -> None:
    chain = cloud.chain
    offer, waiting = cloud.offer(10), cloud.request(1)
    cloud.regions.tell("site", ["bytes32"], (SITE,), 1, TIER_CORE, 1, chain.account(STRANGER), 0)
    with chain.refusing("ProvisioningNotSiteOperator", caller=chain.account(OPERATOR)):
        cloud.act(OPERATOR, "allocate", [waiting], offer)
    with chain.refusing("ProvisioningNotSiteOperator"):
        cloud.offer(1)
    cloud.act(STRANGER, "offerCapacity", SITE, VCPU, 1)
