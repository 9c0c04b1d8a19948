"""From a checkpoint to the head: near, far, far with a head shown meanwhile, across changes of signers."""

from pathlib import Path
from typing import Any

import pytest

from consensus.errors import InvalidSeal
from node.light.catch_up import NEAR, Follower
from node.light.chain import HeaderChain
from node.light.errors import Inconsistent
from node.light.trust import TrustFile
from node.light.verifier import Trusted, attested, state_at_epoch
from node.primitives.block import Header
from tests.consensus.chains import GENESIS_TIME, address, child
from tests.light.made import Made, MadeProvider

LATER = GENESIS_TIME + 10**6


class Shown(Follower):
    """Notes which heads were shown while headers were being verified."""

    heads: list[int]

    def _skip(self, provider: Any, head: Header) -> None:
        super()._skip(provider, head)
        self.heads = [*getattr(self, "heads", []), self.provisional.head.number if self.provisional else -1]


def follower(made: Made, tmp_path: Path, **options: Any) -> tuple[HeaderChain, Shown]:
    start = Trusted(made.genesis, made.states[0], 1)
    chain = HeaderChain(
        made.spec, made.rules, lambda: start, TrustFile(tmp_path / "headers.log"),
        tag=b"", headers_kept=512, witnesses=2, unix_time=lambda: LATER,
    )  # fmt: skip
    defaults: dict[str, Any] = {
        "trust_period_s": 10.0**9,
        "unix_time": lambda: LATER,
        "clock": lambda: 0.0,
        "pause": lambda _: None,
    }
    return chain, Shown(chain, made.rules, made.spec.engine.epoch_blocks, **(defaults | options))


def follow(shown: Shown, provider: Any, times: int = 3) -> None:
    for _ in range(times):
        shown.follow(provider)


def test_a_near_head_is_reached_backwards(tmp_path: Path) -> None:
    made = Made("ABCD").grow(50)
    chain, shown = follower(made, tmp_path)
    follow(shown, MadeProvider(made))
    assert chain.head.number == 48
    assert not hasattr(shown, "heads")


def test_a_far_head_is_shown_at_once_and_verified_behind(tmp_path: Path) -> None:
    made = Made("ABCD").grow(700)
    chain, shown = follower(made, tmp_path)
    follow(shown, MadeProvider(made))
    assert shown.heads[0] == 698, "three of the four trusted signers have built on it"
    assert chain.head.number == 698
    assert shown.provisional is None


def test_a_run_of_too_few_trusted_signers_attests_nothing() -> None:
    made = Made("ABCD").grow(12)
    run, rules = made.headers[5:], made.rules
    signers = made.states[0].signers
    assert attested(signers, run, rules.author) == len(run) - 3
    assert attested(signers, run[-2:], rules.author) is None
    others = Made("EFGH").states[0].signers
    assert attested(others, run, rules.author) is None


def test_an_old_checkpoint_shows_nothing_that_is_not_verified(tmp_path: Path) -> None:
    made = Made("ABCD").grow(500)
    chain, shown = follower(made, tmp_path, trust_period_s=100.0)
    follow(shown, MadeProvider(made))
    assert shown.heads == [-1]
    assert chain.head.number == 498


def test_signers_that_were_all_replaced_are_followed(tmp_path: Path) -> None:
    """Every signer of the checkpoint is gone: nothing can be shown early, everything is verified."""
    made = Made("ABC").grow(20)
    for name in "DEF":
        made.admit(name)
    for name in "ABC":
        made.drop(name)
    made.grow(800)
    chain, shown = follower(made, tmp_path)
    follow(shown, MadeProvider(made))
    assert shown.heads[0] == -1
    assert chain.head.number == made.headers[-1].number - 1
    assert set(chain.head_state.signers) == {address(name) for name in "DEF"}


def test_epochs_lead_from_old_signers_to_new_ones(tmp_path: Path) -> None:
    made = Made("ABC", epoch_blocks=200).grow(10)
    for joins, leaves in zip("DEF", "ABC", strict=True):
        made.admit(joins)
        made.drop(leaves)
        made.grow(200 - made.headers[-1].number % 200 + 20)
    made.grow(500)
    chain, shown = follower(made, tmp_path)
    follow(shown, MadeProvider(made))
    assert shown.heads[0] == made.headers[-1].number - 1, "by way of an epoch that both kinds of signers span"
    assert chain.head.number == made.headers[-1].number - 1


def test_the_state_at_an_epoch_follows_from_headers_alone() -> None:
    made = Made("ABCDE", epoch_blocks=50)
    made.add(made.next_author(), vote=("F", True))
    made.grow(60)
    epoch = made.headers[50]
    assert state_at_epoch(made.rules, made.headers[45:50], epoch) == made.states[50]


def test_a_far_chain_that_breaks_a_rule_somewhere_is_refused(tmp_path: Path) -> None:
    """Valid at its end, so that it is shown at first; what is behind it is found out."""
    made = Made("ABCD").grow(700)
    forged = made.fork(300)
    stranger = child(made.rules, made.states[300], made.headers[300], "Z")
    forged.headers.append(stranger)
    chain, shown = follower(made, tmp_path)
    provider = MadeProvider(made)
    provider.headers = lambda first, count: (
        forged.headers if first <= 301 < first + count else made.headers
    )[
        # type: ignore[method-assign]
        first : first + count
    ]
    with pytest.raises((InvalidSeal, Inconsistent)):
        shown.follow(provider)
    assert chain.head.number <= 301


def test_a_branch_that_was_head_at_the_last_stop_is_left(tmp_path: Path) -> None:
    made = Made("ABCD").grow(40)
    rival = made.fork(38)
    rival.add(
        next(
            n for n in "ABCD" if n != made.next_author() and rival.states[-1].last_signed(address(n)) is None
        ),
        salt=b"r",
    )
    chain, shown = follower(made, tmp_path)
    chain.vote("other", made.genesis.hash)
    follow(shown, MadeProvider(rival, "one"))
    follow(shown, MadeProvider(rival, "two"))
    assert chain.head.hash == rival.headers[-1].hash
    made.grow(NEAR + 200)
    follow(shown, MadeProvider(made, "one"))
    follow(shown, MadeProvider(made, "two"))
    assert chain.head.hash == made.headers[-1].hash


def test_a_chain_that_leaves_ours_too_deep_is_not_followed(tmp_path: Path) -> None:
    made = Made("ABCD").grow(600)
    rival = made.fork(100).grow(700, salt=b"rival")
    chain, shown = follower(made, tmp_path)
    follow(shown, MadeProvider(made))
    with pytest.raises(Inconsistent, match="leaves ours below"):
        shown.follow(MadeProvider(rival))
    assert chain.head.number == 598
