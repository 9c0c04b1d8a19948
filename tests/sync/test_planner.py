"""What to ask next: targets, ancestors, windows."""

from random import Random

import pytest

from consensus.fork_choice import Candidate
from node.primitives.block import Body
from node.primitives.chain_spec import ForkChoice
from node.sync import planner
from node.sync.planner import (
    BODIES_PER_REQUEST,
    WINDOW_HEADERS_MAX,
    AncestorSearch,
    Offer,
    Window,
    WrongBody,
    choose_target,
    match_bodies,
)
from node.sync.ports import PeerId
from tests.sync.world import GENESIS, Branch, cached_transaction, long_chain

A, B, C = (PeerId(name.encode()) for name in "abc")
HEAD = Candidate(ref=GENESIS.ref, total_difficulty=100)


def test_the_heaviest_unknown_offer_is_followed() -> None:
    offers = [Offer(A, b"a", 101), Offer(B, b"b", 105), Offer(C, b"c", 109)]
    assert choose_target(offers, lambda h: h == b"c", HEAD, ForkChoice.TOTAL_ORDER) == offers[1]
    assert choose_target(offers, lambda _: True, HEAD, ForkChoice.TOTAL_ORDER) is None


def test_an_equal_offer_is_followed_only_where_the_order_is_total() -> None:
    offers = [Offer(A, b"a", 100), Offer(B, b"b", 99)]
    assert choose_target(offers, lambda _: False, HEAD, ForkChoice.TOTAL_ORDER) == offers[0]
    assert choose_target(offers, lambda _: False, HEAD, ForkChoice.TOTAL_DIFFICULTY) is None


@pytest.mark.parametrize("seed", range(200))
def test_the_ancestor_is_found_wherever_it_is(seed: int) -> None:
    random = Random(seed)
    ours, theirs = random.randrange(3000), random.randrange(3000)
    ancestor = random.choice([0, min(ours, theirs), random.randint(0, min(ours, theirs))])
    search, questions = AncestorSearch(ours, theirs), 0
    while search.found is None:
        first, amount = search.question()
        assert 0 <= first <= theirs
        numbers = range(first, min(first + amount, theirs + 1))
        cut = random.randint(1, len(numbers))  # an answer may be short
        search.answer([number <= ancestor for number in numbers[:cut]])
        questions += 1
    assert search.found == ancestor
    assert questions <= 16


def test_a_head_just_ahead_takes_one_question() -> None:
    search = AncestorSearch(500, 501)
    first, amount = search.question()
    search.answer([True] * amount)
    assert (first, amount, search.found) == (469, 32, 500)


# --- bodies


def test_bodies_find_their_headers_with_gaps_and_never_out_of_order() -> None:
    branch = Branch().grow(4, lambda number: [cached_transaction(number)])
    headers = [block.header for block in branch.blocks[1:]]
    bodies = [block.body for block in branch.blocks[1:]]
    assert match_bodies(headers, bodies) == {h.hash: b for h, b in zip(headers, bodies, strict=True)}
    assert match_bodies(headers, [bodies[1], bodies[3]]) == {
        headers[1].hash: bodies[1],
        headers[3].hash: bodies[3],
    }
    for wrong in ([bodies[1], bodies[0]], [Body()], [bodies[0], bodies[0]]):
        with pytest.raises(WrongBody):
            match_bodies(headers, wrong)
    with pytest.raises(WrongBody):
        match_bodies(headers, [Body(bodies[0].transactions, (GENESIS,))])


def full_branch(count: int) -> Branch:
    return Branch().grow(count, lambda number: [cached_transaction(number)])


def window_over(branch: Branch) -> Window:
    window = Window(branch.blocks[0].header)
    window.extend([block.header for block in branch.blocks[1:]])
    return window


def body_map(branch: Branch, headers) -> dict:
    return {header.hash: branch.blocks[header.number].body for header in headers}


def numbers(headers) -> list[int]:
    return [header.number for header in headers]


def test_empty_blocks_need_no_body() -> None:
    branch = Branch().grow(5)
    window = window_over(branch)
    assert window.take(A, 0.0) == ()
    assert window.importable() == tuple(branch.blocks[1:])
    assert window.bytes == 0


def test_peers_are_asked_for_different_bodies_lowest_first() -> None:
    window = window_over(full_branch(300))
    first, second, third = window.take(A, 0.0), window.take(B, 0.0), window.take(C, 0.0)
    assert numbers(first) == list(range(1, 1 + BODIES_PER_REQUEST))
    assert numbers(second) == list(range(129, 257))
    assert numbers(third) == list(range(257, 301))
    assert window.take(C, 0.0) == ()


def test_blocks_come_out_in_order_and_only_whole_runs_from_the_bottom() -> None:
    branch = full_branch(300)
    window = window_over(branch)
    first, second = window.take(A, 0.0), window.take(B, 0.0)
    window.deliver(B, second, body_map(branch, second))
    assert window.importable() == ()
    window.deliver(A, first, body_map(branch, first))
    run = window.importable()
    assert run == tuple(branch.blocks[1 : 1 + planner.RUN_BLOCKS_MAX])
    window.imported(len(run))
    assert len(window) == 300 - len(run)
    assert window.importable() == tuple(branch.blocks[1 + len(run) : 257])


def test_what_a_peer_leaves_out_is_asked_of_others_and_a_cut_tail_of_anyone() -> None:
    branch = full_branch(10)
    window = window_over(branch)
    asked = window.take(A, 0.0)
    given = [header for header in asked if header.number in (1, 2, 4)]
    window.deliver(A, asked, body_map(branch, given))
    assert window.is_lacking(A)
    assert numbers(window.take(A, 0.0)) == [5, 6, 7, 8, 9, 10]
    assert numbers(window.take(B, 0.0)) == [3]


def test_an_empty_answer_means_the_peer_has_none_of_them() -> None:
    window = window_over(full_branch(4))
    window.deliver(A, window.take(A, 0.0), {})
    assert window.is_lacking(A)
    assert window.take(A, 9.0) == ()
    assert numbers(window.take(B, 9.0)) == [1, 2, 3, 4]


def test_a_peer_that_holds_up_the_rest_is_overtaken() -> None:
    branch = full_branch(200)
    window = window_over(branch)
    slow = window.take(A, 0.0)
    rest = window.take(B, 0.0)
    assert window.take(C, 2.9) == ()
    again = window.take(C, 3.0)
    assert again == slow
    assert window.take(B, 9.0) == ()  # two peers are on it
    window.deliver(C, again, body_map(branch, again))
    window.deliver(B, rest, body_map(branch, rest))
    window.deliver(A, slow, body_map(branch, slow))  # late, and harmless
    assert len(window.importable()) == planner.RUN_BLOCKS_MAX
    window.imported(192)
    window.imported(8)
    assert window.bytes == 0


def test_what_a_peer_gives_back_is_free_again() -> None:
    window = window_over(full_branch(5))
    asked = window.take(A, 0.0)
    assert window.take(B, 0.0) == ()
    window.give_back(A, asked)
    assert window.bytes == 0
    assert window.take(B, 0.0) == asked


def test_bytes_asked_for_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    branch = full_branch(40)
    each = planner.likely_body_bytes(branch.blocks[1].header)
    monkeypatch.setattr(planner, "REQUEST_BODY_BYTES_MAX", 10 * each)
    monkeypatch.setattr(planner, "WINDOW_BODY_BYTES_MAX", 15 * each)
    window = window_over(branch)
    first = window.take(A, 0.0)
    assert (len(first), window.bytes) == (10, 10 * each)
    second = window.take(B, 0.0)
    assert (len(second), window.bytes) == (5, 15 * each)
    assert window.take(C, 0.0) == ()
    window.deliver(B, second, body_map(branch, second))
    # However full the window is, the body that everything waits for can be asked for.
    window.give_back(A, first)
    assert numbers(window.take(C, 0.0))[0] == 1


@pytest.mark.parametrize("seed", range(20))
def test_whatever_peers_do_all_blocks_come_out_once_and_in_order(seed: int) -> None:
    random = Random(seed)
    branch = long_chain(400)
    window = window_over(branch)
    out, now, under_way = [], 0.0, []
    while len(out) < 400:
        now += random.random()
        peer = random.choice([A, B, C])
        asked = window.take(peer, now)
        if asked:
            under_way.append((peer, asked))
        if under_way and random.random() < 0.8:
            peer, asked = under_way.pop(random.randrange(len(under_way)))
            if random.random() < 0.3:
                window.give_back(peer, asked)
            else:
                given = asked[: random.randint(1, len(asked))]
                window.deliver(peer, asked, body_map(branch, given))
        run = window.importable()
        window.imported(len(run))
        out += run
        assert window.bytes >= 0
    assert out == branch.blocks[1:]
    assert window.bytes == 0


def test_the_window_says_how_much_room_is_left() -> None:
    window = window_over(full_branch(3))
    assert window.room == WINDOW_HEADERS_MAX - 3
