"""What a header must be after a trusted one, and what a run of seals attests. Pure.

Every header that becomes part of the light client's chain passes `verify_next`: the same header rules and the
same `SealRules` as in a node. Which of them are *shown* is another question, because a light client does not
execute: one dishonest signer can seal a well-formed header over a state that never was.

The argument for `attested`. Of N signers, any that seals must sit out the next N//2 blocks; a run of
successive blocks therefore soon has N//2 + 1 different authors, more than half. A full node seals only on a
block that it has executed. If more than half of the signers are honest, one of those authors is, and so the
first block of the run, and everything below it, is valid: executed by an honest validator. It says nothing of
finality: Clique has none.

The same argument lets the client skip. Let S be the signers after a trusted header T, and let R be a run of
linked headers far above it. If the authors in R include more than half of S, and more than half of S were
honest when they sealed, then an honest signer of S built on the first block of R. CometBFT's rule has the
same form (a share of the trusted set large enough to hold an honest member signs the new header); here it
takes a run of headers, because a Clique header carries one seal. What is skipped is used as a head to answer
from, and only until every header between has been verified in the background. An epoch header that a run
attests lists the signers after it, so that a longer gap is crossed in hops when the signers have changed.

What it does not withstand: keys of former signers that are stolen later. That bounds how old a trusted header
may be for skipping: setting light.trust_period_s.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from consensus.clique.rules import CliqueRules
from consensus.clique.snapshot import CliqueSnapshot
from consensus.headers import verify_header, verify_not_future
from consensus.validators import Validators
from node.light.errors import Inconsistent
from node.primitives.block import Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.ids import Address


@dataclass(frozen=True, slots=True)
class Trusted:
    """A header that is verified or given, with what the next one is judged by."""

    header: Header
    state: CliqueSnapshot
    total_difficulty: int
    """Sum of difficulties, from block 0 or from a checkpoint that does not say its own."""


def verify_next(spec: ChainSpec, rules: CliqueRules, parent: Trusted, header: Header, now: float) -> Trusted:
    """The header as a trusted one; ChainError (InvalidHeader, InvalidSeal, FutureBlock) says why not."""
    verify_header(spec, parent.header, header)
    verify_not_future(header, now)
    state = rules.advance(parent.state, parent.header, header)
    return Trusted(header, state, parent.total_difficulty + header.difficulty)


def verify_links(headers: Sequence[Header]) -> None:
    """Inconsistent unless each header is the next one's parent."""
    for parent, header in pairwise(headers):
        if header.parent_hash != parent.hash or header.number != parent.number + 1:
            raise Inconsistent(f"header {header.ref} does not follow {parent.ref}")


def attested(
    signers: Validators, run: Sequence[Header], author_of: Callable[[Header], Address]
) -> int | None:
    """Place of the highest header in a linked run on which more than half of `signers` have built.

    Its own author counts. None when the whole run has too few of them.
    """
    seen: set[Address] = set()
    for place in range(len(run) - 1, -1, -1):
        author = author_of(run[place])
        if author in signers:
            seen.add(author)
        if len(seen) >= signers.majority:
            return place
    return None


def state_at_epoch(rules: CliqueRules, before: Sequence[Header], epoch: Header) -> CliqueSnapshot:
    """The snapshot after an epoch's header: its list, and the authors of the linked headers up to it.

    Votes end at an epoch, so nothing else of the past counts. `before` are the headers that precede it.
    """
    bare = rules.initial(epoch)
    if epoch.number == 0:
        return bare
    authors = [rules.author(header) for header in (*before, epoch) if header.number > 0]
    distance = bare.distance(epoch.number, authors[-1])
    return CliqueSnapshot(
        number=epoch.number,
        signers=bare.signers,
        recents=tuple(authors[-bare.limit :]),
        author=authors[-1],
        turn_distance=distance or 0,
    )
