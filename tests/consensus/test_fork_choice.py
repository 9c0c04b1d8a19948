"""Fork choice: the order of EIP-3436, and the plain rule that keeps what it has on a tie."""

from itertools import permutations

import pytest

from consensus.fork_choice import Candidate, best, better, worth_asking
from node.primitives.block import BlockRef
from node.primitives.chain_spec import ForkChoice
from node.primitives.ids import Hash32

PLAIN, TOTAL = ForkChoice.TOTAL_DIFFICULTY, ForkChoice.TOTAL_ORDER


def block(total_difficulty: int, number: int, turn_distance: int = 0, name: int = 1) -> Candidate:
    return Candidate(
        ref=BlockRef(number, Hash32(bytes([name]) * 32)),
        total_difficulty=total_difficulty,
        turn_distance=turn_distance,
    )


@pytest.mark.parametrize("rule", ForkChoice)
def test_more_difficulty_wins_over_everything_else(rule: ForkChoice) -> None:
    heavy, light = block(11, 9, turn_distance=3, name=9), block(10, 5, turn_distance=0, name=1)
    assert better(heavy, light, rule)
    assert not better(light, heavy, rule)


@pytest.mark.parametrize("rule", ForkChoice)
def test_a_block_is_not_better_than_itself(rule: ForkChoice) -> None:
    assert not better(block(10, 5), block(10, 5), rule)


def test_on_a_tie_the_plain_rule_keeps_the_branch_seen_first() -> None:
    first, second = block(10, 5, name=1), block(10, 5, name=2)
    assert best([second], first, PLAIN) == first
    assert best([first], second, PLAIN) == second


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        pytest.param(block(10, 5, 3, 9), block(10, 6, 0, 1), id="then the lower number"),
        pytest.param(block(10, 5, 1, 9), block(10, 5, 2, 1), id="then the more recent in-turn author"),
        pytest.param(block(10, 5, 1, 1), block(10, 5, 1, 2), id="then the lower hash"),
        pytest.param(block(10, 5, 1, 0x7F), block(10, 5, 1, 0x80), id="hashes are unsigned numbers"),
    ],
)
def test_total_order_breaks_ties(winner: Candidate, loser: Candidate) -> None:
    assert better(winner, loser, TOTAL)
    assert not better(loser, winner, TOTAL)


def test_total_order_ends_at_the_same_head_whatever_the_order_of_arrival() -> None:
    blocks = [
        block(10, 5, 1, 1),
        block(10, 5, 1, 2),
        block(10, 6, 0, 3),
        block(10, 5, 0, 4),
        block(9, 4, 0, 5),
    ]
    assert {best(order[1:], order[0], TOTAL) for order in permutations(blocks)} == {block(10, 5, 0, 4)}


def test_only_under_total_order_is_a_peer_with_equal_difficulty_asked() -> None:
    head = block(10, 5)
    assert worth_asking(10, head, TOTAL)
    assert not worth_asking(10, head, PLAIN)
    assert not worth_asking(9, head, TOTAL)
    assert worth_asking(11, head, PLAIN)
