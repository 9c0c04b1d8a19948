"""What operations cost: gas.json is checked in, and a change of it is a change that somebody sees.

`python -m tests.contracts.test_gas` writes it anew; contracts/README.md has the table.
"""

import json
import re
from pathlib import Path

from contracts.suite import name_id
from tests.contracts.sandbox import Done
from tests.contracts.suite import ADMIN, ARBITER, DAY, ISSUER, MEMBERS, REGISTRAR, SETTLER, Suite, build

RECORDED = Path(__file__).with_name("gas.json")
README = Path(__file__).parents[2] / "contracts" / "README.md"
ORG, SCHEMA, REGION, SITE = name_id("operator"), name_id("schema"), name_id("region"), name_id("site")
DETAIL = b"\x11" * 32


def measure() -> dict[str, int]:
    """Operation -> gas of its transaction, on a fresh suite."""
    suite, costs = build(), dict[str, int]()
    for part in (_governance, _disputes, _permissioning, _registry, _identity, _tokens):
        costs |= {name: done.gas_used for name, done in part(suite).items()}
    return costs


def _governance(suite: Suite) -> dict[str, Done]:
    board, validators, people = suite["Board"], suite["Validators"], suite.people
    listed = [(validators.address, validators.data.add(people(50), ORG))]
    found = {"Board.propose": board.send.propose(0, listed, DETAIL, sender=people(MEMBERS[0]))}
    number = found["Board.propose"].output
    for member in MEMBERS:
        found["Board.vote"] = board.send.vote(number, 2, DETAIL, sender=people(member))
    suite.chain.warp(2 * DAY)
    found["Board.queue"] = board.send.queue(number, listed)
    suite.chain.warp(DAY)
    found["Board.execute (one validator more)"] = board.send.execute(number, listed)
    return found


def _disputes(suite: Suite) -> dict[str, Done]:
    disputes, people = suite["Disputes"].send, suite.people
    found = {"Disputes.open": disputes.open(DETAIL, DETAIL, [people(30), people(31)], sender=people(30))}
    case = found["Disputes.open"].output
    panel = [people(40), people(41), people(42)]
    found["Disputes.appoint (3)"] = disputes.appoint(case, panel, sender=people(ARBITER))
    found["Disputes.vote"] = disputes.vote(case, 1, DETAIL, sender=panel[0])
    return found


def _permissioning(suite: Suite) -> dict[str, Done]:
    lists, people = suite["Organisations"].send, suite.people
    return {
        "Organisations.addOrganisation": lists.addOrganisation(
            name_id("new"), people(60), DETAIL, sender=people(REGISTRAR)
        ),
        "Organisations.addNode": lists.addNode(ORG, bytes(range(64)), sender=people(ADMIN)),
        "Organisations.setAccount": lists.setAccount(ORG, people(61), 3, sender=people(ADMIN)),
    }


def _registry(suite: Suite) -> dict[str, Done]:
    book, registrar = suite["RegionRegistry"].send, suite.people(REGISTRAR)
    book.addJurisdiction(ORG, "Kenya", sender=registrar)
    book.addRegion(REGION, ORG, "Nairobi", sender=registrar)
    return {
        "RegionRegistry.addSite": book.addSite(SITE, REGION, 1, suite.people(30), DETAIL, sender=registrar)
    }


def _identity(suite: Suite) -> dict[str, Done]:
    did, credentials, people = suite["EthereumDIDRegistry"].send, suite["Credentials"].send, suite.people
    subjects = [people(200 + place) for place in range(100)]
    contents = [name_id(str(place)) for place in range(100)]
    steward = people(32)
    suite["TrustedIssuers"].send.setSteward(REGION, steward, sender=people(ISSUER))
    return {
        "EthereumDIDRegistry.addDelegate": did.addDelegate(
            people(30), SCHEMA, people(31), DAY, sender=people(30)
        ),
        "EthereumDIDRegistry.setAttribute": did.setAttribute(
            people(30), SCHEMA, DETAIL, DAY, sender=people(30)
        ),
        "Credentials.issue": credentials.issue(people(30), SCHEMA, DETAIL, 0, sender=people(31)),
        "Credentials.issueMany (100)": credentials.issueMany(
            subjects, SCHEMA, contents, 0, sender=people(31)
        ),
        "Credentials.setStatus (256 entries)": credentials.setStatus(
            DETAIL, 0, 2**256 - 1, sender=people(31)
        ),
        "TrustedIssuers.trust": suite["TrustedIssuers"].send.trust(
            REGION, SCHEMA, people(31), 2**40, sender=steward
        ),
        "AccessPolicy.grant": suite["AccessPolicy"].send.grant(
            SCHEMA, SITE, people(30), 2**40, sender=people(REGISTRAR)
        ),
    }


def _tokens(suite: Suite) -> dict[str, Done]:
    token, people = suite["SettlementToken"].send, suite.people
    return {
        "SettlementToken.mint": token.mint(people(30), 1_000, DETAIL, sender=people(SETTLER)),
        "SettlementToken.transfer": token.transfer(people(31), 10, sender=people(30)),
    }


def test_operations_cost_what_is_recorded() -> None:
    assert measure() == json.loads(RECORDED.read_text())


def test_the_table_in_readme_is_what_is_recorded() -> None:
    shown = re.findall(r"^\| `([^`]+)` \| ([\d,]+) \|$", README.read_text(), re.MULTILINE)
    assert {name: int(gas.replace(",", "")) for name, gas in shown} == json.loads(RECORDED.read_text())


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(measure(), indent=1) + "\n")
