"""Headers at hand and at rest: which head is shown, reorganisation, restart, size on disk."""

from pathlib import Path
from typing import Any

import pytest

from consensus.errors import InvalidSeal
from node.light.chain import LIVE_BLOCKS, HeaderChain
from node.light.trust import MILESTONE_EVERY, TrustFile
from node.light.verifier import Trusted
from node.primitives.errors import StorageError
from tests.consensus.chains import GENESIS_TIME, child
from tests.light.made import Made

LATER = GENESIS_TIME + 10**8


def open_chain(made: Made, path: Path, **options: Any) -> HeaderChain:
    start = Trusted(made.genesis, made.states[0], 1)
    defaults: dict[str, Any] = {"tag": b"tag", "headers_kept": 128, "witnesses": 2}
    return HeaderChain(
        made.spec,
        made.rules,
        lambda: start,
        TrustFile(path),
        unix_time=lambda: LATER,
        **(defaults | options),
    )


def take(chain: HeaderChain, made: Made, first: int, last: int | None = None) -> None:
    """Verify and show, batch by batch, as the follower does."""
    headers = made.headers[first : None if last is None else last + 1]
    for start in range(0, len(headers), 128):
        chain.extend(headers[start : start + 128])
        chain.move_head()


def test_a_head_is_shown_once_two_upstreams_have_it(tmp_path: Path) -> None:
    made = Made("ABCD").grow(1)
    chain = open_chain(made, tmp_path / "headers.log")
    take(chain, made, 1)
    assert chain.head.number == 0
    chain.vote("one", made.headers[1].hash)
    assert chain.move_head() is None
    chain.vote("two", made.headers[1].hash)
    moved = chain.move_head()
    assert moved is not None
    assert ([each.number for each in moved.added], moved.removed) == ([1], ())
    assert chain.head.hash == made.headers[1].hash


def test_a_head_is_shown_once_a_majority_has_built_on_it(tmp_path: Path) -> None:
    made = Made("ABCD").grow(5)
    chain = open_chain(made, tmp_path / "headers.log")
    take(chain, made, 1)
    assert chain.head.number == 3, "three of four have sealed block 3 or built on it"


def test_an_upstream_that_lied_has_no_vote(tmp_path: Path) -> None:
    made = Made("ABCD").grow(1)
    chain = open_chain(made, tmp_path / "headers.log")
    take(chain, made, 1)
    for name in ("one", "two"):
        chain.vote(name, made.headers[1].hash)
    chain.unvote("two")
    assert chain.move_head() is None


def test_a_header_that_breaks_a_rule_is_not_taken(tmp_path: Path) -> None:
    made = Made("ABCD").grow(3)
    chain = open_chain(made, tmp_path / "headers.log")
    stranger = child(made.rules, made.states[0], made.headers[0], "Z")
    with pytest.raises(InvalidSeal):
        chain.extend([stranger])
    with pytest.raises(InvalidSeal):
        chain.extend([*made.headers[1:3], child(made.rules, made.states[2], made.headers[2], "Y")])
    assert chain.move_head() is None


def test_a_better_branch_replaces_what_was_shown(tmp_path: Path) -> None:
    made = Made("ABCD").grow(4)
    rival = made.fork(2)
    rival.grow(3, salt=b"rival")
    chain = open_chain(made, tmp_path / "headers.log", witnesses=1)
    take(chain, made, 1)
    chain.vote("one", made.headers[4].hash)
    chain.move_head()
    assert chain.head.hash == made.headers[4].hash
    chain.extend(rival.headers[3:])
    chain.vote("one", rival.headers[5].hash)
    moved = chain.move_head()
    assert moved is not None
    assert [each.hash for each in moved.removed] == [made.headers[4].hash, made.headers[3].hash]
    assert [each.hash for each in moved.added] == [each.hash for each in rival.headers[3:]]
    assert [chain.hash_at(number) for number in range(6)] == [each.hash for each in rival.headers]
    assert chain.by_hash(made.headers[4].hash) is None, "of a branch, and no longer shown"
    assert chain.trusted(made.headers[4].hash) is not None
    assert [pair[0].number for pair in chain.sealed_twice()] == [
        number for number in (3, 4) if made.states[number].author == rival.states[number].author
    ]
    again = open_chain(made, tmp_path / "headers.log")
    assert again.head.hash == rival.headers[5].hash


def test_after_a_restart_all_is_as_it_was(tmp_path: Path) -> None:
    made = Made("ABCD").grow(900)
    chain = open_chain(made, tmp_path / "headers.log")
    take(chain, made, 1)
    chain.close()
    again = open_chain(made, tmp_path / "headers.log")
    assert again.head == chain.head
    assert again.head_state == chain.head_state
    assert again.floor == chain.floor > 0
    for number in (0, 64, again.floor - 1, again.floor, 700, 850, chain.head.number):
        assert again.hash_at(number) == chain.hash_at(number)
        assert again.known_above(number) == chain.known_above(number)
    header = made.headers[again.floor + 7]
    assert again.total_difficulty_of(header) == sum(
        each.difficulty for each in made.headers[: header.number + 1]
    )
    again.extend(made.headers[again.head.number + 1 :])


def test_below_the_window_every_64th_header_is_still_known(tmp_path: Path) -> None:
    made = Made("ABCD").grow(900)
    chain = open_chain(made, tmp_path / "headers.log")
    take(chain, made, 1)
    assert chain.floor % MILESTONE_EVERY == 0
    totals = [0]
    for header in made.headers:
        totals.append(totals[-1] + header.difficulty)
    for number in (1, 64, 65, 120):
        at, block_hash, total = chain.known_above(number)
        assert at == -(-number // 64) * 64
        assert block_hash == made.headers[at].hash
        assert total == totals[at + 1]


@pytest.mark.long
def test_the_file_stays_small(tmp_path: Path) -> None:
    made = Made("ABCD").grow(3_000)
    path = tmp_path / "headers.log"
    chain = open_chain(made, path)
    most = 0
    for first in range(1, 3_000, 100):
        take(chain, made, first, first + 99)
        most = max(most, path.stat().st_size)
    assert most < (LIVE_BLOCKS + 3 * 128 + 64) * 700 + 60_000
    assert len(chain._live) < 2 * LIVE_BLOCKS


def test_headers_of_another_checkpoint_are_not_used(tmp_path: Path) -> None:
    made = Made("ABCD").grow(10)
    take(open_chain(made, tmp_path / "headers.log"), made, 1)
    assert open_chain(made, tmp_path / "headers.log", tag=b"other").head.number == 0


def test_whatever_an_append_that_was_cut_short_left_is_dropped(tmp_path: Path) -> None:
    made = Made("ABCD").grow(6)
    path = tmp_path / "headers.log"
    chain = open_chain(made, path)
    take(chain, made, 1, 5)
    whole = path.stat().st_size
    take(chain, made, 6)
    raw = path.read_bytes()
    before, after = made.headers[3].hash, made.headers[4].hash
    for size in (*range(whole, len(raw), 29), *range(len(raw) - 12, len(raw) + 1)):
        path.write_bytes(raw[:size])
        again = open_chain(made, path)
        assert again.head.hash == (after if size == len(raw) else before)
        again.close()


def test_damage_anywhere_else_is_said(tmp_path: Path) -> None:
    made = Made("ABCD").grow(6)
    path = tmp_path / "headers.log"
    take(open_chain(made, path), made, 1)
    raw = bytearray(path.read_bytes())
    raw[40] ^= 1
    path.write_bytes(raw)
    with pytest.raises(StorageError, match="remove it, and the light client starts again"):
        open_chain(made, path)
