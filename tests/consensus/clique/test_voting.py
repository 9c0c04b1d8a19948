"""Every voting case of EIP-225's table, and of go-ethereum v1.13.15 `consensus/clique/snapshot_test.go`.

The stories are facts of those tables, in a shorter notation: a word is one block, its first letter the
author; +X votes to admit X, -X to drop X.
"""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus.clique import errors
from consensus.clique.rules import CliqueRules
from consensus.clique.snapshot import CliqueSnapshot, decode_snapshot, encode_snapshot
from consensus.errors import InvalidSeal
from node.primitives.chain_spec import CliqueSpec
from tests.consensus import chains
from tests.consensus.ledger import Ledger


class Story(NamedTuple):
    motive: str
    signers: str
    blocks: str
    after: str
    epoch: int = 30_000


STORIES = [
    Story("a lone signer goes on alone", "A", "A", "A"),
    Story("one admits a second at once, but a third needs both", "A", "A+B B A+C", "AB"),
    Story(
        "two admit a third and a fourth; the fifth would need three of four",
        "AB",
        "A+C B+C A+D B+D C A+E B+E",
        "ABCD",
    ),
    Story("the last signer may drop itself", "A", "A-A", ""),
    Story("of two, one is not enough to drop the other", "AB", "A-B", "AB"),
    Story("of two, both together drop one", "AB", "A-B B-B", "A"),
    Story("of three, two drop the third", "ABC", "A-C B-C", "AB"),
    Story("of four, two are not enough to drop anybody", "ABCD", "A-C B-C", "ABCD"),
    Story("of four, three drop the fourth", "ABCD", "A-D B-D C-D", "ABC"),
    Story("a voter counts once however often it admits the same", "AB", "A+C B A+C B A+C", "AB"),
    Story("two admissions can be under way at once", "AB", "A+C B A+D B A B+D A B+C", "ABCD"),
    Story("a voter counts once however often it drops the same", "AB", "A-B B A-B B A-B", "AB"),
    Story("two drops can be under way at once", "ABCD", "A-C B C A-D B C A B-D C-D A B-C", "AB"),
    Story("a dropped signer's votes to drop end with it", "ABC", "C-B A-C B-C A-B", "AB"),
    Story("a dropped signer's votes to admit end with it", "ABC", "C+D A-C B-C A+D", "AB"),
    Story(
        "a majority made by a lower threshold alone changes nothing",
        "ABCD",
        "A-C B C A-D B-C C A B-D C-D",
        "ABC",
    ),
    Story(
        "such a majority passes when its target is voted on again, even by a vote that counts for nothing",
        "ABCD",
        "A-C B C A-D B-C C A B-D C-D A C+C",
        "AB",
    ),
    Story(
        "such a majority is gone when the vote that touches it takes one back",
        "ABCD",
        "A-C B C A-D B-C C A B-D C-D A B+C",
        "ABC",
    ),
    Story(
        "no vote outlives a change of its target: F comes, goes, and comes again while voter A is dropped",
        "ABCDE",
        "A+F B+F C+F D-F E-F B-F C-F D+F E+F B-A C-A D-A B+F",
        "BCDEF",
    ),
    Story("an epoch ends all votes", "AB", "A+C B A B+C", "AB", epoch=3),
]


def play(story_signers: str, blocks: str, epoch: int, *, through_disk: bool = False) -> CliqueSnapshot:
    """The snapshot after the blocks; InvalidSeal where one of them is refused."""
    rules = CliqueRules(CliqueSpec(period_s=1, epoch_blocks=epoch))
    parent = chains.genesis(story_signers)
    state = rules.initial(parent)
    for word in blocks.split():
        vote = (word[2], word[1] == "+") if len(word) == 3 else None
        header = chains.child(rules, state, parent, word[0], vote=vote)
        state, parent = rules.advance(state, parent, header), header
        if through_disk:
            state = decode_snapshot(encode_snapshot(state))
    return state


def names(state: CliqueSnapshot) -> str:
    return "".join(map(chains.name_of, state.signers))


@pytest.mark.parametrize("through_disk", [False, True], ids=["memory", "disk"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.motive)
def test_votes_make_these_signers(story: Story, through_disk: bool) -> None:
    assert names(play(story.signers, story.blocks, story.epoch, through_disk=through_disk)) == story.after


@pytest.mark.parametrize("through_disk", [False, True], ids=["one run", "new start after each block"])
@pytest.mark.parametrize(
    ("signers", "blocks", "epoch", "reason"),
    [
        pytest.param("A", "B", 30_000, errors.UnknownSigner, id="a stranger seals"),
        pytest.param("AB", "A A", 30_000, errors.SignedRecently, id="a signer seals twice in a row"),
        # With one epoch's start in between: a split of Rinkeby, go-ethereum issue 17593.
        pytest.param("ABC", "A B A A", 3, errors.SignedRecently, id="an epoch does not forget who signed"),
    ],
)
def test_the_last_block_is_refused(
    signers: str, blocks: str, epoch: int, reason: type[InvalidSeal], through_disk: bool
) -> None:
    before, _, _ = blocks.rpartition(" ")
    play(signers, before, epoch, through_disk=through_disk)
    with pytest.raises(reason):
        play(signers, blocks, epoch, through_disk=through_disk)


@settings(max_examples=60)
@given(
    data=st.data(),
    signers=st.sampled_from(["AB", "ABC", "ABCD", "ABCDEF"]),
    epoch=st.sampled_from([7, 30_000]),
)
def test_random_votes_are_counted_as_the_long_way_round_counts_them(
    data: st.DataObject, signers: str, epoch: int
) -> None:
    rules = CliqueRules(CliqueSpec(period_s=1, epoch_blocks=epoch))
    parent, ledger = chains.genesis(signers), Ledger(signers)
    state = rules.initial(parent)
    for number in range(1, data.draw(st.integers(1, 30)) + 1):
        free = [name for name in names(state).strip("0") if not state.last_signed(chains.address(name))]
        if not free:
            break  # the zero address is a signer now, and nobody has its key
        author = data.draw(st.sampled_from(free))
        target = "0" if number % epoch == 0 else data.draw(st.sampled_from("ABCDEFG0"))
        authorise = number % epoch != 0 and data.draw(st.booleans())
        if len(ledger.signers) == 1 and target in ledger.signers:
            authorise = True  # a chain without signers has nothing more to show
        header = chains.child(rules, state, parent, author, vote=(target, authorise))
        state, parent = rules.advance(state, parent, header), header
        ledger.block(author, target, authorise, epoch_begins=number % epoch == 0)
        votes = [(chains.name_of(v.voter), chains.name_of(v.target), v.authorise) for v in state.votes]
        assert (names(state), votes) == ("".join(sorted(ledger.signers)), ledger.votes)
        assert decode_snapshot(encode_snapshot(state)) == state
