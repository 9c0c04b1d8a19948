"""Whatever people without the board's consent try, in any order: the roles, code and rules stay."""

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.suite import CALLERS, IMPLEMENTATION_SLOT, Role
from tests.contracts.sandbox import Reverted
from tests.contracts.suite import (
    ADMIN,
    ARBITER,
    DAY,
    DEPLOYER,
    GUARDIAN,
    ISSUER,
    MEMBERS,
    OUTSIDER,
    REGISTRAR,
    SETTLER,
    Suite,
    build,
)

ACTORS = (DEPLOYER, *MEMBERS, GUARDIAN, REGISTRAR, SETTLER, ISSUER, ARBITER, OUTSIDER, ADMIN)
GOVERNED = sorted(name for name in CALLERS)
_BUILT: list[tuple[Suite, object]] = []

ATTEMPTS = (
    "grant", "revoke", "relabel", "open target", "re-role", "authority", "execute", "upgrade", "initialize",
    "schedule", "run", "timelock role", "admit", "rule", "remove", "hold", "propose", "vote", "warp",
)  # fmt: skip
MOVE = st.tuples(
    st.sampled_from(ATTEMPTS), st.sampled_from(ACTORS), st.sampled_from(ACTORS), st.integers(0, 100)
)


def attempt(suite: Suite, kind: str, actor: int, friend: int, draw: int) -> None:
    """One try by `actor`, to the advantage of `friend`."""
    chain, who, whom = suite.chain, suite.people(actor), suite.people(friend)
    manager, lock, board = suite["AccessManager"], suite["TimelockController"], suite["Board"]
    target = suite[GOVERNED[draw % len(GOVERNED)]]
    role = draw % len(Role)
    selector = b"\x4f\x1e\xf2\x86"
    grant = manager.data.grantRole(0, whom, 0)
    tries = {
        "grant": lambda: manager.send.grantRole(role, whom, 0, sender=who),
        "revoke": lambda: manager.send.revokeRole(0, lock, sender=who),
        "relabel": lambda: manager.send.setRoleAdmin(role, role, sender=who),
        "open target": lambda: manager.send.setTargetClosed(target, True, sender=who),
        "re-role": lambda: manager.send.setTargetFunctionRole(target, [selector], role, sender=who),
        "authority": lambda: manager.send.updateAuthority(target, whom, sender=who),
        "execute": lambda: manager.send.execute(
            target, target.data.upgradeToAndCall(target, b""), sender=who
        ),
        "upgrade": lambda: target.send.upgradeToAndCall(suite["ContractNames"], b"", sender=who),
        "initialize": lambda: suite["Disputes"].send.initialize(whom, sender=who),
        "schedule": lambda: lock.send.schedule(manager, 0, grant, bytes(32), bytes(32), 10 * DAY, sender=who),
        "run": lambda: lock.send.execute(manager, 0, grant, bytes(32), bytes(32), sender=who),
        "timelock role": lambda: lock.send.grantRole(bytes(32), whom, sender=who),
        "admit": lambda: board.send.admit(whom, 1_000_000, sender=who),
        "rule": lambda: board.send.setRule(1, (1, 5_001, 1, 3_600), sender=who),
        "remove": lambda: board.send.remove(whom, sender=who),
        "hold": lambda: board.send.hold(draw, sender=who),
        "propose": lambda: board.send.propose(draw % 3, [(manager.address, grant)], bytes(32), sender=who),
        # One member of three votes for: never enough.
        "vote": lambda: board.send.vote(draw % 5, 2, bytes(32), sender=suite.people(MEMBERS[2])),
        "warp": lambda: chain.warp(draw * 3_600),
    }
    try:
        tries[kind]()
    except Reverted:
        return
    assert kind in ("propose", "vote", "warp"), f"{kind} by {actor} went through"


def powers(suite: Suite) -> object:
    """Who holds which role, what code runs, who the members are."""
    manager, chain = suite["AccessManager"], suite.chain
    people = [suite.people(place) for place in ACTORS]
    roles = [(role, who) for role in Role for who in people if manager.call.hasRole(int(role), who)[0]]
    code = [
        chain.world.storage(bytes.fromhex(suite[name].address[2:]), IMPLEMENTATION_SLOT) for name in GOVERNED
    ]
    board = suite["Board"].call
    members = [(who, board.weightOf(who)) for who in board.members()]
    return roles, code, members, [board.rule(place) for place in range(3)]


@settings(max_examples=12)
@given(moves=st.lists(MOVE, max_size=25))
def test_nothing_gets_around_the_board(moves: list[tuple[str, int, int, int]]) -> None:
    if not _BUILT:
        made = build()
        _BUILT.append((made, made.chain.snapshot()))
    suite, snapshot = _BUILT[0]
    suite.chain.restore(snapshot)
    before = powers(suite)
    for move in moves:
        attempt(suite, *move)
    assert powers(suite) == before
