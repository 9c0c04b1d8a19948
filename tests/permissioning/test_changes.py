"""What the audit log is told of a changed members' file: every entry that is other than before."""

from dataclasses import replace

from node.permissioning.allowlist import AllowList, ListedAccount, Member
from node.permissioning.changes import changes
from node.permissioning.policy import Right, Tier
from node.primitives.ids import Address

ALPHA = Member(id=b"\x0a" * 64, name="alpha", organisation="north", tier=Tier.CORE, validator=True)
OMEGA = Member(id=b"\x0b" * 64, organisation="south", tier=Tier.EDGE, addresses=("10.1.0.0/16",))
CLERK = ListedAccount(address=Address(b"\x51" * 20), organisation="north", rights=frozenset({Right.CALL}))
A, B, ACCOUNT = "node " + "0a" * 16, "node " + "0b" * 16, "account 0x" + "51" * 20


def listed(*members: Member, accounts: tuple[ListedAccount, ...] | None = None) -> AllowList:
    known = None if accounts is None else {each.address: each for each in accounts}
    return AllowList({each.id: each for each in members}, known)


def test_who_comes_goes_or_moves_is_named_with_what_it_was() -> None:
    moved = replace(ALPHA, tier=Tier.REGIONAL, validator=False)
    assert changes(listed(ALPHA), listed(ALPHA)) == []
    assert changes(listed(ALPHA), listed(moved, OMEGA)) == [
        f"was: {A} alpha of north (core), validator; is: {A} alpha of north (regional)",
        f"new: {B} 0b0b0b0b of south (edge), from 10.1.0.0/16",
    ]
    assert changes(listed(moved), listed()) == [f"gone: {A} alpha of north (regional)"]
    assert changes(None, listed(OMEGA)) == changes(listed(), listed(OMEGA)), "the first list that can be read"


def test_rights_of_accounts_are_named_and_that_there_is_such_a_list() -> None:
    more = replace(CLERK, rights=frozenset({Right.CALL, Right.DEPLOY}))
    assert changes(listed(), listed(accounts=(CLERK,))) == [
        "accounts: listed ones only",
        f"new: {ACCOUNT} of north may call",
    ]
    assert changes(listed(accounts=(CLERK,)), listed(accounts=(more,))) == [
        f"was: {ACCOUNT} of north may call; is: {ACCOUNT} of north may call deploy"
    ]
    assert changes(listed(accounts=(CLERK,)), listed()) == [
        "accounts: anybody's are taken",
        f"gone: {ACCOUNT} of north may call",
    ]
