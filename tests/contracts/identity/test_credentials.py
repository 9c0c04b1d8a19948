"""Credentials, trusted issuers, federation, and the policies that ask them."""

import pytest

from contracts.suite import name_id
from tests.contracts.suite import DAY, GUARDIAN, ISSUER, REGISTRAR, Suite

SCHEMA, CONTENT, EAST, WEST, SOUTH = (
    name_id(each) for each in ("operator-licence", "content", "east", "west", "south")
)
READ, SITE, ANY = name_id("read"), name_id("site"), bytes(32)
HOLDER, UNIVERSITY, EAST_STEWARD, WEST_STEWARD = 30, 31, 32, 33
ZERO = "0x" + "00" * 20


@pytest.fixture
def suite(deployed: Suite) -> Suite:
    for region, steward in ((EAST, EAST_STEWARD), (WEST, WEST_STEWARD)):
        deployed["TrustedIssuers"].send.setSteward(
            region, deployed.people(steward), sender=deployed.people(ISSUER)
        )
    return deployed


def issue(suite: Suite, until: int = 0, schema: bytes = SCHEMA, content: bytes = CONTENT) -> bytes:
    done = suite["Credentials"].send.issue(
        suite.people(HOLDER), schema, content, until, sender=suite.people(UNIVERSITY)
    )
    return done.output


def trust(suite: Suite, region: bytes = EAST, steward: int = EAST_STEWARD) -> None:
    until = suite.chain.now + 100 * DAY
    suite["TrustedIssuers"].send.trust(
        region, SCHEMA, suite.people(UNIVERSITY), until, sender=suite.people(steward)
    )


def trusted(suite: Suite, region: bytes) -> bool:
    return suite["TrustedIssuers"].call.isTrusted(region, SCHEMA, suite.people(UNIVERSITY))


def federate(suite: Suite, region: bytes, partner: bytes, steward: int, until: int) -> None:
    suite["TrustedIssuers"].send.federate(region, partner, SCHEMA, until, sender=suite.people(steward))


def allowed(suite: Suite, resource: bytes = SITE, action: bytes = READ) -> bool:
    return suite["AccessPolicy"].call.isAllowed(suite.people(HOLDER), action, resource)


def test_a_credential_holds_until_it_ends_or_is_taken_back(suite: Suite) -> None:
    book = suite["Credentials"]
    until = suite.chain.now + DAY
    first, second = issue(suite, until), issue(suite, content=name_id("other"))
    found = book.call.credential(first)
    assert (found["issuer"], found["subject"]) == (suite.people(UNIVERSITY), suite.people(HOLDER))
    assert (found["schema"], found["contentHash"], found["validUntil"]) == (SCHEMA, CONTENT, until)
    assert first == book.call.idOf(suite.people(UNIVERSITY), suite.people(HOLDER), SCHEMA, CONTENT)
    assert book.call.isValid(first) is True
    suite.chain.warp(DAY)
    assert (book.call.isValid(first), book.call.isValid(second)) == (False, True)
    with suite.chain.refusing("CredentialsNotIssuer", id=second):
        book.send.revoke(second, ANY, sender=suite.people(HOLDER))
    book.send.revoke(second, b"r" * 32, sender=suite.people(UNIVERSITY))
    assert book.call.isValid(second) is False
    with suite.chain.refusing("CredentialsRevoked", id=second):
        book.send.revoke(second, ANY, sender=suite.people(UNIVERSITY))


def test_refusals_of_credentials(suite: Suite) -> None:
    book, issuer = suite["Credentials"], suite.people(UNIVERSITY)
    issue(suite)
    with suite.chain.refusing("CredentialsExists"):
        issue(suite)
    with suite.chain.refusing("CredentialsZero"):
        book.send.issue(ZERO, SCHEMA, CONTENT, 0, sender=issuer)
    with suite.chain.refusing("CredentialsZero"):
        issue(suite, schema=ANY)
    with suite.chain.refusing("CredentialsPast"):
        issue(suite, until=suite.chain.now, content=ANY[1:] + b"1")
    with suite.chain.refusing("CredentialsUnknown"):
        book.send.revoke(ANY, ANY, sender=issuer)
    with suite.chain.refusing("CredentialsLengthsDiffer"):
        book.send.issueMany([issuer], SCHEMA, [], 0, sender=issuer)
    with suite.chain.refusing("CredentialsTooMany", given=201, most=200):
        book.send.issueMany([issuer] * 201, SCHEMA, [CONTENT] * 201, 0, sender=issuer)
    book.send.pause(sender=suite.people(GUARDIAN))
    with suite.chain.refusing("GovernedPaused"):
        issue(suite, content=name_id("paused"))


def test_many_at_once(suite: Suite) -> None:
    book = suite["Credentials"]
    subjects = [suite.people(200 + place) for place in range(5)]
    contents = [name_id(str(place)) for place in range(5)]
    done = book.send.issueMany(subjects, SCHEMA, contents, 0, sender=suite.people(UNIVERSITY))
    assert len(done.named("CredentialIssued")) == 5
    assert all(book.call.isValid(each) for each in done.output)


def test_a_status_list_is_its_issuers(suite: Suite) -> None:
    book, issuer = suite["Credentials"], suite.people(UNIVERSITY)
    book.send.setStatus(CONTENT, 1, 1 << 7, sender=issuer)
    assert book.call.status(issuer, CONTENT, 256 + 7) is True
    assert book.call.status(issuer, CONTENT, 256 + 8) is False
    assert book.call.status(suite.people(HOLDER), CONTENT, 256 + 7) is False


def test_trust_is_given_by_a_regions_steward_and_ends(suite: Suite) -> None:
    issuers, university = suite["TrustedIssuers"], suite.people(UNIVERSITY)
    trust(suite)
    assert (trusted(suite, EAST), trusted(suite, WEST)) == (True, False)
    assert issuers.call.stewardOf(EAST) == suite.people(EAST_STEWARD)
    with suite.chain.refusing("TrustedIssuersNotSteward", region=EAST):
        trust(suite, EAST, WEST_STEWARD)
    with suite.chain.refusing("TrustedIssuersNotSteward"):
        issuers.send.distrust(EAST, SCHEMA, university, sender=suite.people(WEST_STEWARD))
    issuers.send.distrust(EAST, SCHEMA, university, sender=suite.people(EAST_STEWARD))
    assert trusted(suite, EAST) is False
    trust(suite)
    suite.chain.warp(100 * DAY)
    assert trusted(suite, EAST) is False
    for arguments, error in (
        ((EAST, SCHEMA, ZERO, 2**40), "TrustedIssuersZero"),
        ((EAST, ANY, university, 2**40), "TrustedIssuersZero"),
        ((EAST, SCHEMA, university, suite.chain.now), "TrustedIssuersPast"),
    ):
        with suite.chain.refusing(error):
            issuers.send.trust(*arguments, sender=suite.people(EAST_STEWARD))
    with suite.chain.refusing("TrustedIssuersZero"):
        issuers.send.setSteward(ANY, university, sender=suite.people(ISSUER))


def test_federation_needs_both_and_ends_by_either(suite: Suite) -> None:
    issuers, until = suite["TrustedIssuers"], suite.chain.now + 50 * DAY
    trust(suite)
    federate(suite, EAST, WEST, EAST_STEWARD, until)
    assert trusted(suite, WEST) is False
    federate(suite, WEST, EAST, WEST_STEWARD, until)
    assert trusted(suite, WEST) is True
    assert issuers.call.federatedUntil(WEST, EAST, SCHEMA) == until
    issuers.send.endFederation(EAST, WEST, SCHEMA, sender=suite.people(WEST_STEWARD))
    assert (trusted(suite, WEST), trusted(suite, EAST)) == (False, True)
    with suite.chain.refusing("TrustedIssuersNoAgreement"):
        issuers.send.endFederation(EAST, WEST, SCHEMA, sender=suite.people(WEST_STEWARD))


def test_other_terms_are_no_agreement_and_time_ends_one(suite: Suite) -> None:
    until = suite.chain.now + 50 * DAY
    trust(suite)
    federate(suite, EAST, WEST, EAST_STEWARD, until)
    federate(suite, WEST, EAST, WEST_STEWARD, until + 1)
    assert trusted(suite, WEST) is False
    federate(suite, WEST, EAST, WEST_STEWARD, until)
    assert trusted(suite, WEST) is True
    federate(suite, WEST, EAST, WEST_STEWARD, until + 1)
    assert trusted(suite, WEST) is False
    federate(suite, EAST, WEST, EAST_STEWARD, until + 1)
    suite.chain.warp(50 * DAY + 1)
    assert trusted(suite, WEST) is False


def test_refusals_of_federation(suite: Suite) -> None:
    issuers, until = suite["TrustedIssuers"], suite.chain.now + DAY
    with suite.chain.refusing("TrustedIssuersSameRegion"):
        federate(suite, EAST, EAST, EAST_STEWARD, until)
    with suite.chain.refusing("TrustedIssuersPast"):
        federate(suite, EAST, WEST, EAST_STEWARD, suite.chain.now)
    with suite.chain.refusing("TrustedIssuersNotSteward"):
        federate(suite, EAST, WEST, WEST_STEWARD, until)
    with suite.chain.refusing("TrustedIssuersNotSteward"):
        issuers.send.endFederation(EAST, WEST, SCHEMA, sender=suite.people(HOLDER))


def test_there_is_a_most_of_partners(suite: Suite) -> None:
    issuers, east, registrar = suite["TrustedIssuers"], suite.people(EAST_STEWARD), suite.people(ISSUER)
    until = suite.chain.now + 90 * DAY
    for place in range(33):
        partner = name_id(f"region {place}")
        issuers.send.setSteward(partner, east, sender=registrar)
        issuers.send.federate(EAST, partner, SCHEMA, until, sender=east)
        if place == 32:
            with suite.chain.refusing("TrustedIssuersTooManyPartners", most=32):
                issuers.send.federate(partner, EAST, SCHEMA, until, sender=east)
        else:
            issuers.send.federate(partner, EAST, SCHEMA, until, sender=east)


def test_a_policy_asks_for_a_credential_that_counts(suite: Suite) -> None:
    policy, holder, registrar = suite["AccessPolicy"], suite.people(HOLDER), suite.people(REGISTRAR)
    policy.send.setRule(READ, SITE, SCHEMA, EAST, sender=registrar)
    assert policy.call.rule(READ, SITE) == {"schema": SCHEMA, "region": EAST}
    credential = issue(suite)
    assert allowed(suite) is False
    policy.send.present(credential, sender=holder)
    assert allowed(suite) is False
    trust(suite)
    assert allowed(suite) is True
    assert (allowed(suite, name_id("elsewhere")), allowed(suite, action=name_id("write"))) == (False, False)
    suite["Credentials"].send.revoke(credential, ANY, sender=suite.people(UNIVERSITY))
    assert allowed(suite) is False
    with suite.chain.refusing("AccessPolicyInvalidCredential"):
        policy.send.present(credential, sender=holder)
    with suite.chain.refusing("AccessPolicyNotSubject"):
        policy.send.present(credential, sender=suite.people(UNIVERSITY))


def test_a_grant_holds_until_its_time_or_suspension(suite: Suite) -> None:
    policy, holder, registrar = suite["AccessPolicy"], suite.people(HOLDER), suite.people(REGISTRAR)
    policy.send.grant(READ, ANY, holder, suite.chain.now + DAY, sender=registrar)
    assert (allowed(suite), allowed(suite, ANY)) == (True, True)
    policy.send.setSuspended(holder, True, sender=registrar)
    assert allowed(suite) is False
    policy.send.setSuspended(holder, False, sender=registrar)
    policy.send.withdraw(READ, ANY, holder, sender=registrar)
    assert allowed(suite) is False
    policy.send.grant(READ, SITE, holder, suite.chain.now + DAY, sender=registrar)
    assert (allowed(suite), allowed(suite, name_id("elsewhere"))) == (True, False)
    suite.chain.warp(DAY)
    assert allowed(suite) is False
    with suite.chain.refusing("AccessPolicyZero"):
        policy.send.grant(READ, SITE, ZERO, 1, sender=registrar)
    with suite.chain.refusing("AccessPolicyZero"):
        suite.chain.proxy("AccessPolicy", suite["AccessManager"], ZERO, ZERO)
