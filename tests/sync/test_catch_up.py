"""Catching up with honest, slow, lying and vanishing peers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import trio

from node.chain.errors import BranchTooOld
from node.primitives.block import Body
from node.sync.catch_up import CATCH_UP_BLOCKS_MAX
from node.sync.planner import HEADERS_PER_REQUEST, WINDOW_HEADERS_MAX
from node.sync.serving import answer_bodies, answer_headers
from p2p.errors import PENALTY_BAN
from p2p.eth.messages import (
    BlockBodies,
    BlockHeaders,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    Message,
    PooledTransactions,
    Receipts,
)
from tests.sync.world import (
    Branch,
    FakeChain,
    Node,
    cached_transaction,
    long_chain,
    status_of,
    until,
)


def honest(chain: FakeChain) -> Callable[[Any], Message | None]:
    """Answers as a node with this chain gives them."""

    def answer(request: Any) -> Message | None:
        match request:
            case GetBlockHeaders():
                return answer_headers(chain, request)
            case GetBlockBodies():
                return answer_bodies(chain, request)
            case GetReceipts():
                return Receipts(0, ())
            case GetPooledTransactions():
                return PooledTransactions(0, ())
        raise AssertionError(request)

    return answer


async def node(nursery: trio.Nursery, *args: Any, **options: Any) -> Node:
    return await Node("us", nursery, *args, **options).start()


# --- honest peers


async def test_a_chain_of_thousands_is_followed_from_genesis_in_bounded_memory(
    nursery, autojump_clock
) -> None:
    branch = long_chain(3000)
    us = await node(nursery, import_s=0.01)
    them = await Node("them", nursery, branch).start()
    most = 0

    def watch() -> None:
        nonlocal most
        window = us.sync._downloader._current._window
        most = max(most, len(window))

    us.chain.watch = watch
    end = us.connect(them)
    await until(lambda: us.chain.head == branch.head.header)
    assert us.chain.canonical == [block.hash for block in branch.blocks]
    assert sum(us.chain.runs) == 3000
    assert most <= WINDOW_HEADERS_MAX
    # Every header was asked for once, in order; and no empty block's body was.
    asked = [m for m in end.sent if isinstance(m, GetBlockHeaders) and isinstance(m.origin, int)]
    assert [m.origin for m in asked] == [*range(1, 3001, HEADERS_PER_REQUEST), 3001]
    bodies = [h for m in end.sent if isinstance(m, GetBlockBodies) for h in m.hashes]
    assert len(bodies) == len(set(bodies)) == sum(bool(block.transactions) for block in branch.blocks)
    assert end.points == 0


async def test_progress_is_told_while_catching_up_and_not_after(nursery, autojump_clock) -> None:
    us = await node(nursery, import_s=0.01)
    them = await Node("them", nursery, long_chain(600)).start()
    assert us.sync.progress is None
    assert not us.sync.is_behind
    us.connect(them)
    assert us.sync.is_behind or await _passed(until(lambda: us.sync.is_behind, 1))
    await until(lambda: us.chain.head.number >= 192)
    progress = us.sync.progress
    assert (progress.starting_block, progress.highest_block) == (0, 600)
    assert 192 <= progress.current_block <= 600
    await until(lambda: us.sync.progress is None)
    assert (us.chain.head.number, us.sync.is_behind) == (600, False)


async def _passed(waiting) -> bool:
    await waiting
    return True


async def test_bodies_come_from_several_peers(nursery, autojump_clock) -> None:
    branch = Branch().grow(600, lambda number: [cached_transaction(number)])
    us = await node(nursery, import_s=0.001)
    ends = [
        us.connect(await Node(f"peer{place}", nursery, branch).start(), latency_s=0.2) for place in range(3)
    ]
    await until(lambda: us.chain.head.number == 600)
    shares = [sum(len(m.hashes) for m in end.sent if isinstance(m, GetBlockBodies)) for end in ends]
    assert sum(shares) == 600
    # Trio wakes tasks in random order, so one of them may find nothing left to ask for.
    assert sum(share > 0 for share in shares) >= 2


async def test_a_fork_is_left_for_a_heavier_chain(nursery, autojump_clock) -> None:
    common = long_chain(300)
    ours = common.fork(200).grow(50, out_of_turn=True)
    us = await node(nursery, ours)
    assert us.chain.head == ours.head.header
    them = await Node("them", nursery, common).start()
    end = us.connect(them)
    await until(lambda: us.chain.head == common.head.header)
    assert us.chain.canonical == [block.hash for block in common.blocks]
    headers = [m for m in end.sent if isinstance(m, GetBlockHeaders)]
    assert len(headers) < 15  # the ancestor is found by halving


async def test_an_equally_heavy_branch_is_looked_at_under_the_total_order(nursery, autojump_clock) -> None:
    # Two out-of-turn blocks weigh as much as one in turn; the lower number wins.
    common = long_chain(30)
    short = common.fork(30).grow(1)
    long = common.fork(30).grow(2, out_of_turn=True)
    assert short.total_difficulty == long.total_difficulty
    us = await node(nursery, long)
    them = await Node("them", nursery, short).start()
    us.connect(them)
    await until(lambda: us.chain.head == short.head.header)


async def test_what_a_peer_gains_while_we_follow_is_followed_too(nursery, autojump_clock) -> None:
    branch = long_chain(900)
    us = await node(nursery, import_s=0.01)
    them = await Node("them", nursery, branch.fork(300)).start()
    us.connect(them)
    await until(lambda: us.chain.head.number >= 192)
    for block, state in zip(branch.blocks[301:], branch.states[301:], strict=True):
        them.chain._keep(block, state)
    them.sync.announce_block(branch.head)
    await until(lambda: us.chain.head == branch.head.header)


async def test_after_many_blocks_the_best_peer_is_chosen_anew(nursery, autojump_clock, monkeypatch) -> None:
    monkeypatch.setattr("node.sync.catch_up.CATCH_UP_BLOCKS_MAX", 384)
    light = long_chain(200).fork(0).grow(1500, out_of_turn=True)
    heavy = long_chain(1500)
    us = await node(nursery, import_s=0.01)
    us.connect(await Node("light", nursery, light).start())
    await until(lambda: us.chain.head.number >= 192)
    us.connect(await Node("heavy", nursery, heavy).start())
    await until(lambda: us.chain.head == heavy.head.header)
    assert len(us.chain.headers) < 1 + 1500 + 600
    assert CATCH_UP_BLOCKS_MAX >= 1024


async def test_those_who_are_level_are_told_of_the_head_that_was_reached(nursery, autojump_clock) -> None:
    branch = long_chain(400)
    us = await node(nursery)
    late = await Node("late", nursery).start()
    us.connect(late)
    us.connect(await Node("them", nursery, branch).start())
    await until(lambda: late.chain.head == branch.head.header)


# --- peers that fail


async def test_a_source_that_goes_away_is_replaced(nursery, autojump_clock) -> None:
    branch = long_chain(900)
    us = await node(nursery, import_s=0.01)
    first = us.connect(await Node("first", nursery, branch).start())
    await until(lambda: us.chain.head.number >= 192)
    us.connect(await Node("second", nursery, branch).start())
    first.close()
    await until(lambda: us.chain.head == branch.head.header)


async def test_bad_seals_ban_the_peer_before_any_body_is_asked_for(nursery, autojump_clock) -> None:
    branch = long_chain(400)
    forged = FakeChain(branch)
    for number in range(150, 401):  # sealed by nobody
        block = branch.blocks[number]
        header = replace(block.header, extra_data=bytes(97), parent_hash=forged.canonical[number - 1])
        forged.headers[header.hash], forged.bodies[header.hash] = header, block.body
        forged.canonical[number] = header.hash
    forged.head = forged.headers[forged.canonical[400]]
    us = await node(nursery)
    status = status_of(FakeChain(), head_hash=forged.head.hash, total_difficulty=10**9)
    end = us.meet("liar", status, honest(forged))
    await until(lambda: end.gone.is_set())
    assert end.points >= PENALTY_BAN
    assert "invalid header" in end.reasons[-1]
    assert not any(isinstance(message, GetBlockBodies) for message in end.sent)
    us.connect(await Node("them", nursery, branch).start())
    await until(lambda: us.chain.head == branch.head.header)


async def test_headers_that_do_not_link_or_are_others_ban_the_peer(nursery, autojump_clock) -> None:
    branch = long_chain(400)
    chain = FakeChain(branch)

    def shuffled(request: Any) -> Message | None:
        answer = honest(chain)(request)
        if isinstance(answer, BlockHeaders) and len(answer.headers) > 100:
            return replace(answer, headers=answer.headers[:50] + answer.headers[51:])
        return answer

    def another(request: Any) -> Message | None:
        if isinstance(request, GetBlockHeaders) and isinstance(request.origin, bytes):
            return BlockHeaders(0, (branch.blocks[7].header,))
        return honest(chain)(request)

    us = await node(nursery)
    ends = [us.meet(name, status_of(chain), f) for name, f in [("shuffles", shuffled), ("swaps", another)]]
    await until(lambda: all(end.gone.is_set() for end in ends))
    assert [end.points >= PENALTY_BAN for end in ends] == [True, True]
    assert us.chain.head.number == 0


async def test_wrong_bodies_ban_the_peer_and_others_fill_in(nursery, autojump_clock) -> None:
    branch = long_chain(600)
    chain = FakeChain(branch)

    def wrong(request: Any) -> Message | None:
        if isinstance(request, GetBlockBodies):
            return BlockBodies(0, tuple(Body(branch.blocks[5].transactions) for _ in request.hashes))
        return honest(chain)(request)

    us = await node(nursery)
    us.connect(await Node("them", nursery, branch).start(), latency_s=0.05)
    liar = us.meet("liar", replace(status_of(chain), total_difficulty=7, head_hash=chain.canonical[3]), wrong)
    await until(lambda: us.chain.head == branch.head.header)
    assert liar.gone.is_set()
    assert "belongs to no block" in liar.reasons[-1]


async def test_a_source_that_withholds_bodies_is_given_up_and_not_followed_for_a_while(
    nursery, autojump_clock
) -> None:
    branch = long_chain(300)
    chain = FakeChain(branch)

    def withholding(request: Any) -> Message | None:
        return BlockBodies(0, ()) if isinstance(request, GetBlockBodies) else honest(chain)(request)

    us = await node(nursery)
    end = us.meet("miser", status_of(chain), withholding)
    await until(lambda: end.gone.is_set())
    assert set(end.reasons) == {"the peer withholds bodies of its own headers"}
    assert us.chain.head.number == 4  # the fifth block is the first with transactions
    us.connect(await Node("them", nursery, branch).start())
    await until(lambda: us.chain.head == branch.head.header)


async def test_silent_peers_cost_time_and_lose_score_but_not_the_chain(nursery, autojump_clock) -> None:
    branch = long_chain(500)
    us = await node(nursery)
    silent = us.meet("silent", status_of(FakeChain(branch), total_difficulty=10**9), lambda _: None)
    us.connect(await Node("them", nursery, branch).start())
    await until(lambda: us.chain.head == branch.head.header, within_s=60)
    assert silent.points >= 10


async def test_a_peer_with_slow_bodies_holds_nobody_up(nursery, autojump_clock) -> None:
    branch = long_chain(1000)
    chain = FakeChain(branch)
    us = await node(nursery)

    def no_bodies(request: Any) -> Message | None:
        return None if isinstance(request, GetBlockBodies) else honest(chain)(request)

    us.meet("slow", replace(status_of(chain), head_hash=chain.canonical[1], total_difficulty=3), no_bodies)
    us.connect(await Node("them", nursery, branch).start())
    await until(lambda: us.chain.head == branch.head.header, within_s=25)


async def test_headers_in_driblets_are_not_waited_for(nursery, autojump_clock) -> None:
    branch = long_chain(500)
    chain = FakeChain(branch)

    def dribbling(request: Any) -> Message | None:
        answer = honest(chain)(request)
        many = isinstance(answer, BlockHeaders) and request.amount == HEADERS_PER_REQUEST
        return replace(answer, headers=answer.headers[:1]) if many else answer

    us = await node(nursery)
    end = us.meet("dribbles", status_of(chain, total_difficulty=10**9), dribbling)
    us.connect(await Node("them", nursery, branch).start())
    await until(lambda: us.chain.head == branch.head.header, within_s=60)
    assert "headers come in driblets" in end.reasons


async def test_an_offer_that_is_not_delivered_is_paid_for(nursery, autojump_clock) -> None:
    branch = long_chain(500)
    chain = FakeChain(branch.fork(300))

    def boasting(request: Any) -> Message | None:
        if isinstance(request, GetBlockHeaders) and request.origin == branch.head.hash:
            return BlockHeaders(0, (branch.head.header,))
        return honest(chain)(request)

    us = await node(nursery)
    status = status_of(chain, head_hash=branch.head.hash, total_difficulty=10**9)
    end = us.meet("boaster", status, boasting)
    await until(lambda: end.points)
    assert "offered block #500 and gives no more than #300" in end.reasons[0]
    assert us.chain.head.number <= 300


async def test_a_peer_that_does_not_have_its_own_head_is_asked_ever_more_rarely(
    nursery, autojump_clock
) -> None:
    chain = FakeChain()
    us = await node(nursery)
    status = status_of(chain, head_hash=b"\x99" * 32, total_difficulty=10**9)
    end = us.meet("ghost", status, honest(chain))
    await trio.sleep(3600)
    assert 8 <= len(end.sent) <= 30
    assert not end.gone.is_set()


async def test_an_invalid_block_bans_its_source_and_keeps_what_came_before(nursery, autojump_clock) -> None:
    branch = long_chain(400)
    us = await node(nursery)
    us.chain.invalid.add(branch.blocks[250].hash)
    end = us.connect(await Node("them", nursery, branch).start())
    await until(lambda: end.gone.is_set())
    assert us.chain.head.number == 249
    assert "wrong state root" in end.reasons[-1]


async def test_a_branch_that_is_too_old_is_nobodys_fault(nursery, autojump_clock, monkeypatch) -> None:
    branch = long_chain(100)
    us = await node(nursery)

    async def too_old(_: Any) -> None:
        raise BranchTooOld(branch.head.ref, 0, "no state")

    monkeypatch.setattr(us.chain, "import_run", too_old)
    end = us.connect(await Node("them", nursery, branch).start())
    await trio.sleep(120)
    assert (end.points, us.chain.head.number, end.gone.is_set()) == (0, 0, False)


async def test_a_peer_that_changes_its_branch_in_the_middle_is_followed_again(
    nursery, autojump_clock
) -> None:
    first, second = long_chain(600), long_chain(600).fork(250).grow(100, out_of_turn=True).grow(320)
    chains = [FakeChain(first), FakeChain(second)]
    asked = 0

    def turning(request: Any) -> Message | None:
        nonlocal asked
        asked += isinstance(request, GetBlockHeaders)
        return honest(chains[asked > 4])(request)

    us = await node(nursery, import_s=0.001)
    end = us.meet("turns", status_of(chains[0]), turning)
    await until(lambda: asked > 4 and us.sync.progress is None)
    us.sync._roster.note_head(us.sync._roster.get(end.id), second.head.ref, second.total_difficulty)
    await until(lambda: us.chain.head == second.head.header)
    assert end.points == 0
