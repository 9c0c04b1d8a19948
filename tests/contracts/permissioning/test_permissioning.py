"""Who may connect and transact: EEA's functions over organisations, at doors that never move."""

import pytest

from contracts.artifacts import load
from contracts.calls import selector_of
from contracts.suite import ACCOUNT_INGRESS, NODE_INGRESS
from node.primitives.crypto import keccak256
from tests.contracts.sandbox import Sandbox
from tests.contracts.suite import ADMIN, DEPLOYER, GUARDIAN, MEMBERS, OUTSIDER, REGISTRAR, Suite, build

V6, V5 = "connectionAllowed(string,string,uint16)", (
    "connectionAllowed(bytes32,bytes32,bytes16,uint16,bytes32,bytes32,bytes16,uint16)"
)  # fmt: skip
YES, NO = b"\xff" * 32, b"\x7f" + b"\xff" * 31
ORG, OTHER = keccak256(b"operator"), keccak256(b"other")
ALPHA, BETA = bytes(range(64)), bytes(range(64, 128))
READ, TRANSACT, DEPLOY, ADMIN_ROLE, CALL, TRANSFER = 1, 2, 4, 8, 16, 32
ZERO = "0x" + "00" * 20
_BUILT: list[tuple[Suite, object]] = []


@pytest.fixture
def suite() -> Suite:
    if not _BUILT:
        chain = Sandbox()
        starter = int(chain.account(DEPLOYER), 16)
        for name, address in (("NodeIngress", NODE_INGRESS), ("AccountIngress", ACCOUNT_INGRESS)):
            chain.put_code(address, load(name).deployed_bytecode, {0: starter})
        made = build(chain)
        lists = made["Organisations"]
        lists.send.addNode(ORG, ALPHA, sender=made.people(ADMIN))
        _BUILT.append((made, made.chain.snapshot()))
    made, snapshot = _BUILT[0]
    made.chain.restore(snapshot)
    return made


def may_connect(suite: Suite, node: bytes, door: str = "NodeIngress") -> bool:
    answer = suite[door].call[V6](node.hex(), "10.0.0.1", 30303)
    pair = node[:32], node[32:], bytes(16), 30303
    assert suite[door].call[V5](*pair, *pair) == (YES if answer else NO)
    return answer


def may_send(suite: Suite, sender: str, target: str, value: int = 0, data: bytes = b"\x00") -> bool:
    return suite["AccountIngress"].call.transactionAllowed(sender, target, value, 0, 21_000, data)


def test_selectors_are_those_of_the_specification() -> None:
    assert keccak256(V6.encode())[:4].hex() == "45a59e5b"
    assert keccak256(V5.encode())[:4].hex() == "3620b1df"
    assert selector_of("AccountIngress", "transactionAllowed").hex() == "936421d5"


def test_a_node_of_an_organisation_may_connect(suite: Suite) -> None:
    assert may_connect(suite, ALPHA) is True
    assert may_connect(suite, BETA) is False
    assert suite["NodeIngress"].call[V6]("0x" + ALPHA.hex().upper(), "", 0) is True


@pytest.mark.parametrize("text", ["", "0x", "zz" * 64, "00" * 63, "00" * 65, "0x" + "00" * 63, "é" * 64])
def test_what_is_no_node_may_not(suite: Suite, text: str) -> None:
    assert suite["NodeIngress"].call[V6](text, "host", 1) is False


def test_both_ends_must_be_allowed(suite: Suite) -> None:
    door = suite["NodeIngress"]
    alpha, beta = ((each[:32], each[32:], bytes(16), 1) for each in (ALPHA, BETA))
    assert door.call[V5](*alpha, *beta) == NO
    assert door.call[V5](*beta, *alpha) == NO


def test_defaults_without_rules() -> None:
    chain = Sandbox()
    for name, address in (("NodeIngress", NODE_INGRESS), ("AccountIngress", ACCOUNT_INGRESS)):
        chain.put_code(address, load(name).deployed_bytecode, {0: int(chain.account(0), 16)})
    nodes, accounts = chain.at("NodeIngress", NODE_INGRESS), chain.at("AccountIngress", ACCOUNT_INGRESS)
    assert nodes.call[V6](ALPHA.hex(), "", 0) is False
    assert nodes.call[V5](ALPHA[:32], ALPHA[32:], bytes(16), 0, ALPHA[:32], ALPHA[32:], bytes(16), 0) == NO
    assert accounts.call.transactionAllowed(chain.account(5), chain.account(6), 0, 0, 0, b"") is True
    with chain.refusing("IngressNotStarter", caller=chain.account(5)):
        nodes.send.start(chain.account(5), sender=chain.account(5))
    with chain.refusing("IngressZeroAuthority"):
        nodes.send.start("0x" + "00" * 20)
    nodes.send.start(chain.account(7))
    with chain.refusing("IngressStarted"):
        nodes.send.start(chain.account(7))


def test_only_the_board_changes_whom_a_door_asks(suite: Suite) -> None:
    door, rules = suite["NodeIngress"], b"rules".ljust(32, b"\0")
    for who in (DEPLOYER, REGISTRAR, GUARDIAN, OUTSIDER, *MEMBERS):
        with suite.chain.refusing("IngressUnauthorized", caller=suite.people(who)):
            door.send.setContractAddress(rules, suite.people(who), sender=suite.people(who))
    with suite.chain.refusing("IngressUnauthorized"):
        door.send.emitRulesChangeEvent(True, sender=suite.people(OUTSIDER))
    suite.decide((door, door.data.setContractAddress(rules, "0x" + "00" * 20)), structural=True)
    assert may_connect(suite, ALPHA) is False


@pytest.mark.parametrize("roles", range(1, 64))
def test_deployment_calls_and_value_are_rights_of_their_own(suite: Suite, roles: int) -> None:
    account, other, lists = suite.people(60), suite.people(61), suite["Organisations"]
    lists.send.setAccount(ORG, account, roles, sender=suite.people(ADMIN))
    assert lists.call.rolesOf(account) == roles
    call, transfer = bool(roles & (TRANSACT | CALL)), bool(roles & (TRANSACT | TRANSFER))
    deploy, administer = bool(roles & DEPLOY), bool(roles & ADMIN_ROLE)
    assert may_send(suite, account, other) is call
    assert may_send(suite, account, other, value=1, data=b"") is transfer
    assert may_send(suite, account, other, data=b"") is transfer
    assert may_send(suite, account, other, value=1) is (call and transfer)
    assert may_send(suite, account, ZERO) is deploy
    assert may_send(suite, account, ZERO, value=1) is (deploy and transfer)
    for governed in (lists.address, suite["AccountRules"].address):
        assert may_send(suite, account, governed) is administer
        assert may_send(suite, account, governed, value=1) is (administer and transfer)


def test_who_is_not_entered_may_send_nothing(suite: Suite) -> None:
    for target in (suite.people(61), ZERO, suite["Board"].address):
        assert may_send(suite, suite.people(OUTSIDER), target) is False


def test_neither_suspension_nor_pause_locks_the_board_out(suite: Suite) -> None:
    lists, board = suite["Organisations"], suite["Board"].address
    suite.decide((suite["Board"], suite["Board"].data.admit(suite.people(ADMIN), 1)), structural=True)
    lists.send.setSuspended(ORG, True, sender=suite.people(REGISTRAR))
    lists.send.pause(sender=suite.people(GUARDIAN))
    assert may_send(suite, suite.people(ADMIN), suite.people(61)) is False
    for member in (*MEMBERS, ADMIN):
        assert may_send(suite, suite.people(member), board) is True
    assert may_connect(suite, ALPHA) is False


def test_suspension_shuts_out_and_lets_in_again(suite: Suite) -> None:
    lists, registrar = suite["Organisations"], suite.people(REGISTRAR)
    done = lists.send.setSuspended(ORG, True, sender=registrar)
    assert done.only("NodePermissionsUpdated") == {"addsRestrictions": True}
    assert done.only("AccountPermissionsUpdated") == {"addsRestrictions": True}
    assert (may_connect(suite, ALPHA), lists.call.rolesOf(suite.people(ADMIN))) == (False, 0)
    assert lists.call.organisationOf(suite.people(ADMIN)) == ORG
    with suite.chain.refusing("OrganisationsNotAdmin"):
        lists.send.addNode(ORG, BETA, sender=suite.people(ADMIN))
    lists.send.setSuspended(ORG, False, sender=registrar)
    assert (may_connect(suite, ALPHA), lists.call.rolesOf(suite.people(ADMIN))) == (True, 15)
    with suite.chain.refusing("OrganisationsUnknown"):
        lists.send.setSuspended(OTHER, True, sender=registrar)


def test_a_pause_stops_entries_and_not_removals(suite: Suite) -> None:
    lists, admin = suite["Organisations"], suite.people(ADMIN)
    lists.send.pause(sender=suite.people(GUARDIAN))
    assert may_connect(suite, ALPHA) is True
    with suite.chain.refusing("GovernedPaused"):
        lists.send.addNode(ORG, BETA, sender=admin)
    with suite.chain.refusing("GovernedPaused"):
        lists.send.setAccount(ORG, suite.people(60), READ, sender=admin)
    lists.send.removeNode(ALPHA, sender=admin)
    assert may_connect(suite, ALPHA) is False


def test_organisations_keep_to_themselves(suite: Suite) -> None:
    lists, people = suite["Organisations"], suite.people
    lists.send.addOrganisation(OTHER, people(70), b"e" * 32, sender=people(REGISTRAR))
    with suite.chain.refusing("OrganisationsNotAdmin", organisation=ORG, caller=people(70)):
        lists.send.addNode(ORG, BETA, sender=people(70))
    with suite.chain.refusing("OrganisationsNotAdmin", organisation=ORG):
        lists.send.removeNode(ALPHA, sender=people(70))
    with suite.chain.refusing("OrganisationsNodeTaken", organisation=ORG):
        lists.send.addNode(OTHER, ALPHA, sender=people(70))
    with suite.chain.refusing("OrganisationsAccountTaken", account=people(ADMIN), organisation=ORG):
        lists.send.setAccount(OTHER, people(ADMIN), READ, sender=people(70))
    with suite.chain.refusing("OrganisationsNotAdmin"):
        lists.send.removeAccount(people(ADMIN), sender=people(70))
    lists.send.removeAccount(people(70), sender=people(70))
    lists.send.restoreAdmin(OTHER, people(71), sender=people(REGISTRAR))
    assert lists.call.rolesOf(people(71)) == 15


def test_refusals_of_the_lists(suite: Suite) -> None:
    lists, registrar, admin = suite["Organisations"], suite.people(REGISTRAR), suite.people(ADMIN)
    with suite.chain.refusing("OrganisationsExists", organisation=ORG):
        lists.send.addOrganisation(ORG, admin, bytes(32), sender=registrar)
    with suite.chain.refusing("OrganisationsZero"):
        lists.send.addOrganisation(bytes(32), admin, bytes(32), sender=registrar)
    with suite.chain.refusing("OrganisationsZero"):
        lists.send.addOrganisation(OTHER, "0x" + "00" * 20, bytes(32), sender=registrar)
    with suite.chain.refusing("OrganisationsUnknown"):
        lists.send.restoreAdmin(OTHER, admin, sender=registrar)
    with suite.chain.refusing("OrganisationsBadNodeId", length=63):
        lists.send.addNode(ORG, ALPHA[:63], sender=admin)
    with suite.chain.refusing("OrganisationsUnknownNode"):
        lists.send.removeNode(BETA, sender=admin)
    with suite.chain.refusing("OrganisationsUnknownAccount"):
        lists.send.removeAccount(suite.people(OUTSIDER), sender=admin)
    for roles in (0, 64):
        with suite.chain.refusing("OrganisationsBadRoles", roles=roles):
            lists.send.setAccount(ORG, suite.people(60), roles, sender=admin)


def test_taking_a_role_away_is_told_as_a_restriction(suite: Suite) -> None:
    lists, admin, account = suite["Organisations"], suite.people(ADMIN), suite.people(60)
    given = lists.send.setAccount(ORG, account, 15, sender=admin)
    assert given.only("AccountPermissionsUpdated") == {"addsRestrictions": False}
    taken = lists.send.setAccount(ORG, account, READ, sender=admin)
    assert taken.only("AccountPermissionsUpdated") == {"addsRestrictions": True}
    assert lists.send.removeNode(ALPHA, sender=admin).only("NodePermissionsUpdated") == {
        "addsRestrictions": True
    }


@pytest.mark.parametrize(
    ("before", "after", "restricts"),
    [
        (TRANSACT, CALL, True),
        (TRANSACT, CALL | TRANSFER, False),
        (CALL | TRANSFER, TRANSACT, False),
        (CALL, TRANSACT, False),
        (CALL, TRANSFER, True),
    ],
)
def test_what_is_told_are_rights_and_not_their_names(
    suite: Suite, before: int, after: int, restricts: bool
) -> None:
    lists, admin, account = suite["Organisations"], suite.people(ADMIN), suite.people(60)
    lists.send.setAccount(ORG, account, before, sender=admin)
    told = lists.send.setAccount(ORG, account, after, sender=admin).only("AccountPermissionsUpdated")
    assert told == {"addsRestrictions": restricts}


@pytest.mark.parametrize("name", ["Organisations", "NodeRules", "AccountRules"])
def test_an_upgrade_keeps_the_lists(suite: Suite, name: str) -> None:
    entered = {suite.people(80 + roles): roles for roles in range(1, 64)}
    for account, roles in entered.items():
        suite["Organisations"].send.setAccount(ORG, account, roles, sender=suite.people(ADMIN))
    new = suite.chain.deploy(name)
    suite.decide((suite[name], suite[name].data.upgradeToAndCall(new, b"")), structural=True)
    assert may_connect(suite, ALPHA) is True
    assert may_send(suite, suite.people(ADMIN), suite.people(61)) is True
    assert {each: suite["Organisations"].call.rolesOf(each) for each in entered} == entered


def test_rules_need_what_they_ask(suite: Suite) -> None:
    zero, manager = "0x" + "00" * 20, suite["AccessManager"]
    with suite.chain.refusing("NodeRulesZero"):
        suite.chain.proxy("NodeRules", manager, zero)
    with suite.chain.refusing("AccountRulesZero"):
        suite.chain.proxy("AccountRules", manager, suite["Organisations"], zero)
