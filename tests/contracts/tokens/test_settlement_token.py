"""The settlement token: money comes and goes by a settler against a reference, and is otherwise an ERC-20."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts.sandbox import Reverted
from tests.contracts.suite import DAY, GUARDIAN, SETTLER, Suite, build

FIRST, SECOND = b"1" * 32, b"2" * 32
_BUILT: list[tuple[Suite, object]] = []


def test_mint_and_burn_by_reference(deployed: Suite) -> None:
    token, settler, holder = deployed["SettlementToken"], deployed.people(SETTLER), deployed.people(30)
    done = token.send.mint(holder, 10, FIRST, sender=settler)
    assert done.only("Issued") == {"to": holder, "amount": 10, "reference_": FIRST}
    with deployed.chain.refusing("SettlementTokenReferenceUsed", reference_=FIRST):
        token.send.mint(holder, 10, FIRST, sender=settler)
    with deployed.chain.refusing("SettlementTokenZeroReference"):
        token.send.mint(holder, 10, bytes(32), sender=settler)
    with deployed.chain.refusing("ERC20InsufficientAllowance"):
        token.send.burn(holder, 4, SECOND, sender=settler)
    token.send.approve(settler, 4, sender=holder)
    done = token.send.burn(holder, 4, SECOND, sender=settler)
    assert done.only("Redeemed") == {"from": holder, "amount": 4, "reference_": SECOND}
    assert (token.call.balanceOf(holder), token.call.totalSupply()) == (6, 6)
    with deployed.chain.refusing("AccessManagedUnauthorized", caller=holder):
        token.send.mint(holder, 1, b"3" * 32, sender=holder)


def test_what_people_see(deployed: Suite) -> None:
    token = deployed["SettlementToken"]
    assert (token.call.name(), token.call.symbol(), token.call.decimals()) == (
        "Phoenix settlement unit", "PSU", 6,
    )  # fmt: skip


def test_transfers_stop_in_a_pause(deployed: Suite) -> None:
    token, holder, other = deployed["SettlementToken"], deployed.people(30), deployed.people(31)
    token.send.mint(holder, 10, FIRST, sender=deployed.people(SETTLER))
    token.send.pause(sender=deployed.people(GUARDIAN))
    with deployed.chain.refusing("GovernedPaused"):
        token.send.transfer(other, 1, sender=holder)
    deployed.chain.warp(3 * DAY)
    token.send.transfer(other, 1, sender=holder)
    token.send.approve(other, 2, sender=holder)
    token.send.transferFrom(holder, other, 2, sender=other)
    with deployed.chain.refusing("ERC20InsufficientBalance"):
        token.send.transfer(other, 8, sender=holder)
    with deployed.chain.refusing("ERC20InvalidReceiver"):
        token.send.transfer("0x" + "00" * 20, 1, sender=holder)
    assert (token.call.balanceOf(holder), token.call.balanceOf(other)) == (7, 3)


MOVE = st.tuples(
    st.sampled_from(["mint", "burn", "transfer"]), st.integers(0, 3), st.integers(0, 3), st.integers(0, 50)
)


@settings(max_examples=25)
@given(moves=st.lists(MOVE, max_size=12))
def test_no_money_is_made_or_lost(moves: list[tuple[str, int, int, int]]) -> None:
    if not _BUILT:
        made = build()
        _BUILT.append((made, made.chain.snapshot()))
    suite, snapshot = _BUILT[0]
    suite.chain.restore(snapshot)
    token, settler = suite["SettlementToken"], suite.people(SETTLER)
    books = dict.fromkeys(range(4), 0)
    for number, (kind, source, target, amount) in enumerate(moves, start=1):
        holder, reference = suite.people(30 + source), number.to_bytes(32, "big")
        enough = kind == "mint" or books[source] >= amount
        try:
            if kind == "mint":
                token.send.mint(holder, amount, reference, sender=settler)
                books[source] += amount
            elif kind == "burn":
                token.send.approve(settler, amount, sender=holder)
                token.send.burn(holder, amount, reference, sender=settler)
                books[source] -= amount
            else:
                token.send.transfer(suite.people(30 + target), amount, sender=holder)
                books[source] -= amount
                books[target] += amount
        except Reverted:
            assert not enough
        else:
            assert enough
    assert {place: token.call.balanceOf(suite.people(30 + place)) for place in books} == books
    assert token.call.totalSupply() == sum(books.values())
