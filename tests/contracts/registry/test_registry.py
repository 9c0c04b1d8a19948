"""Regions, sites and names: what is entered is found, what is unknown is refused."""

import pytest

from contracts.calls import calldata
from tests.contracts.suite import GUARDIAN, REGISTRAR, Suite

KE, NAIROBI, LAGOS = b"KE".ljust(32, b"\0"), b"nairobi".ljust(32, b"\0"), b"lagos".ljust(32, b"\0")
SITES = tuple((b"site%d" % place).ljust(32, b"\0") for place in range(4))
CORE, REGIONAL, EDGE = 1, 2, 3
ZERO = bytes(32)


@pytest.fixture
def regions(deployed: Suite) -> Suite:
    registrar, book = deployed.people(REGISTRAR), deployed["RegionRegistry"].send
    book.addJurisdiction(KE, "Kenya", sender=registrar)
    book.addRegion(NAIROBI, KE, "Nairobi", sender=registrar)
    for site in SITES:
        book.addSite(site, NAIROBI, REGIONAL, deployed.people(30), b"e" * 32, sender=registrar)
    return deployed


def test_what_is_entered_is_found(regions: Suite) -> None:
    book = regions["RegionRegistry"].call
    assert book.site(SITES[0]) == {
        "region": NAIROBI, "tier": REGIONAL, "active": True,
        "operator": regions.people(30), "evidence": b"e" * 32,
    }  # fmt: skip
    assert book.jurisdictionOf(SITES[0]) == KE
    assert book.jurisdictionOfRegion(NAIROBI) == KE
    assert book.sitesOf(NAIROBI) == list(SITES)
    assert book.isActive(SITES[0]) is True
    unknown = b"?" * 32
    assert (book.jurisdictionOf(unknown), book.isActive(unknown), book.site(unknown)["tier"]) == (
        ZERO,
        False,
        0,
    )


def test_sites_rest_and_move_between_tiers(regions: Suite) -> None:
    book, registrar = regions["RegionRegistry"], regions.people(REGISTRAR)
    book.send.setSiteActive(SITES[0], False, sender=registrar)
    book.send.setSiteTier(SITES[0], CORE, sender=registrar)
    assert (book.call.isActive(SITES[0]), book.call.site(SITES[0])["tier"]) == (False, CORE)


def test_a_site_changes_hands_when_both_agree(regions: Suite) -> None:
    book, old, new = regions["RegionRegistry"], regions.people(30), regions.people(31)
    with regions.chain.refusing("RegionRegistryNotOperator", site=SITES[0], caller=new):
        book.send.proposeOperator(SITES[0], new, sender=new)
    book.send.proposeOperator(SITES[0], new, sender=old)
    with regions.chain.refusing("RegionRegistryNoTransfer", site=SITES[0], caller=old):
        book.send.acceptOperator(SITES[0], sender=old)
    done = book.send.acceptOperator(SITES[0], sender=new)
    assert done.only("OperatorChanged") == {"site": SITES[0], "before": old, "operator": new}
    assert book.call.site(SITES[0])["operator"] == new


def test_failover_goes_by_priority(regions: Suite) -> None:
    book, registrar = regions["RegionRegistry"], regions.people(REGISTRAR)
    for site, priority in ((SITES[1], 5), (SITES[2], 2), (SITES[3], 9)):
        book.send.setAdjacency(SITES[0], site, priority, sender=registrar)
    assert book.call.failoverOf(SITES[0]) == [SITES[2], SITES[1], SITES[3]]
    book.send.setAdjacency(SITES[0], SITES[3], 1, sender=registrar)
    book.send.setAdjacency(SITES[0], SITES[2], 0, sender=registrar)
    assert book.call.failoverOf(SITES[0]) == [SITES[3], SITES[1]]
    assert book.call.failoverOf(SITES[1]) == []


@pytest.mark.parametrize(
    ("function", "arguments", "error"),
    [
        ("addJurisdiction", (ZERO, ""), "RegionRegistryZeroId"),
        ("addJurisdiction", (KE, ""), "RegionRegistryExists"),
        ("addRegion", (ZERO, KE, ""), "RegionRegistryZeroId"),
        ("addRegion", (LAGOS, LAGOS, ""), "RegionRegistryUnknownJurisdiction"),
        ("addRegion", (NAIROBI, KE, ""), "RegionRegistryExists"),
        ("addSite", (ZERO, NAIROBI, CORE, 30, ZERO), "RegionRegistryZeroId"),
        ("addSite", (LAGOS, LAGOS, CORE, 30, ZERO), "RegionRegistryUnknownRegion"),
        ("addSite", (SITES[0], NAIROBI, CORE, 30, ZERO), "RegionRegistryExists"),
        ("addSite", (LAGOS, NAIROBI, 0, 30, ZERO), "RegionRegistryNoTier"),
        ("addSite", (LAGOS, NAIROBI, EDGE, None, ZERO), "RegionRegistryZeroOperator"),
        ("setSiteActive", (LAGOS, True), "RegionRegistryUnknownSite"),
        ("setSiteTier", (SITES[0], 0), "RegionRegistryNoTier"),
        ("setAdjacency", (SITES[0], LAGOS, 1), "RegionRegistryUnknownSite"),
        ("setAdjacency", (SITES[0], SITES[0], 1), "RegionRegistrySameSite"),
        ("setAdjacency", (SITES[0], SITES[1], 0), "RegionRegistryAdjacencyUnchanged"),
    ],
)
def test_refusals(regions: Suite, function: str, arguments: tuple[object, ...], error: str) -> None:
    people = {30: regions.people(30), None: "0x" + "00" * 20}
    given = [
        people[each] if function == "addSite" and place == 3 else each  # type: ignore[index]
        for place, each in enumerate(arguments)
    ]
    with regions.chain.refusing(error):
        regions["RegionRegistry"].send[function](*given, sender=regions.people(REGISTRAR))


def test_a_pause_stops_entries(regions: Suite) -> None:
    book = regions["RegionRegistry"]
    book.send.pause(sender=regions.people(GUARDIAN))
    with regions.chain.refusing("GovernedPaused"):
        book.send.addJurisdiction(LAGOS, "", sender=regions.people(REGISTRAR))
    book.send.setSiteActive(SITES[0], False, sender=regions.people(REGISTRAR))


def test_names_are_given_by_the_board(deployed: Suite) -> None:
    names, place = deployed["ContractNames"], deployed.people(50)
    with deployed.chain.refusing("ContractNamesUnknown", name="Mail"):
        names.call.addressOf("Mail")
    with deployed.chain.refusing("AccessManagedUnauthorized"):
        names.send.setAddress("Mail", place, sender=deployed.people(REGISTRAR))
    done = deployed.decide((names, names.data.setAddress("Mail", place)))
    assert done.only("ContractNamed") == {"name": "Mail", "before": "0x" + "00" * 20, "target": place}
    assert names.call.addressOf("Mail") == place
    count = len(names.call.names())
    deployed.decide((names, names.data.setAddress("Mail", deployed.people(51))))
    assert (names.call.addressOf("Mail"), len(names.call.names())) == (deployed.people(51), count)
    lock = deployed["TimelockController"].address
    for name, target, error in (
        ("", place, "ContractNamesEmpty"),
        ("Mail", "0x" + "00" * 20, "ContractNamesZero"),
    ):
        with deployed.chain.refusing(error):
            deployed.chain.ask(
                names.address, calldata("ContractNames", "setAddress", name, target), sender=lock
            )
