"""Which of two branches is the chain. Pure: values in, verdict out; knows no store, engine or clock.

Two rules (`ForkChoice`), both above all by total difficulty:

TOTAL_DIFFICULTY   the heavier branch; on a tie the one that is head already. Two halves of a network can
                   each hold on to their own branch for ever: with Clique's recents that is a halt with
                   every node up (go-ethereum issue 18402). For networks shared with geth only.
TOTAL_ORDER        EIP-3436: on a tie the lower number, then the smaller turn distance, then the lower hash.
                   No two different blocks are equal: all who know the same blocks choose the same head.

About step 3 of EIP-3436 its text contradicts itself: abstract and rationale want the block of the most recent
in-turn signer, the specification since April 2021 the opposite ("largest value"). Besu, the one client known
to have run it, takes the smallest value, as the first version of the text did and as the rationale demands:
the signer who is in turn soon should not have its block chosen now, for then it could not sign in its turn.
So do we.

For whoever syncs: under TOTAL_ORDER a peer whose total difficulty EQUALS ours may hold the better branch. A
sync that asks only peers with a greater one never learns of it, and the order cannot help (`worth_asking`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from node.primitives.block import BlockRef
from node.primitives.chain_spec import ForkChoice


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """The last block of a branch, as far as choosing needs to know it."""

    ref: BlockRef
    total_difficulty: int
    """Sum of the difficulties from genesis to this block."""
    turn_distance: int = 0
    """Blocks since it was last the author's turn, 0 in turn: `SealRules.turn_distance(state after it)`.
    EIP-3436 writes it (number - index of the author) mod number of signers."""


def better(candidate: Candidate, head: Candidate, rule: ForkChoice) -> bool:
    """Whether `candidate` should replace `head`; never true for the head itself."""
    match rule:
        case ForkChoice.TOTAL_DIFFICULTY:
            return candidate.total_difficulty > head.total_difficulty
        case ForkChoice.TOTAL_ORDER:
            return _rank(candidate) < _rank(head)


def best(candidates: Iterable[Candidate], head: Candidate, rule: ForkChoice) -> Candidate:
    """The head after all candidates were seen in the order given, starting from `head`."""
    for candidate in candidates:
        if better(candidate, head, rule):
            head = candidate
    return head


def worth_asking(peer_total_difficulty: int, head: Candidate, rule: ForkChoice) -> bool:
    """Whether a peer that claims this total difficulty for an unknown head may hold a better branch."""
    match rule:
        case ForkChoice.TOTAL_DIFFICULTY:
            return peer_total_difficulty > head.total_difficulty
        case ForkChoice.TOTAL_ORDER:
            return peer_total_difficulty >= head.total_difficulty


def _rank(block: Candidate) -> tuple[int, int, int, bytes]:
    """EIP-3436 as a sort key, best first. Bytes compare as the big-endian numbers they are."""
    return -block.total_difficulty, block.ref.number, block.turn_distance, block.ref.hash
