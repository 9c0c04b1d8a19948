"""Who may be connected to this node, from all that has a say: operator, file, chain. Decides; does nothing.

In this order; the first that refuses, or that needs no other, is the answer:

    blocked      the operator's own list of the moment
    file         not a member, from a wrong address, or of a tier that may not be dialled so: refused
    validators   two validators of the file always meet: no rule on the chain can part those who agree on it
    contract     what the chain says, where it has rules
    bootstrap    what our chain refuses may be dialled all the same while we are *lost*: our head is old and
                 nobody whom the rules allow is connected. Only a peer that the operator named, only outwards:
                 the other side decides by its own, newer rules. Without it, a node whose chain is so old that
                 all whom it allowed are gone could never learn who is allowed now.
    static       where file or rules cannot be read, the peers that the operator named stay; nobody else comes
"""

from collections.abc import Callable, Collection
from typing import Final, Protocol

from node.permissioning.allowlist import AllowListFile
from node.permissioning.policy import Decision, Meeting

BLOCKED: Final = Decision(False, "blocked", "blocked by the operator")
OPEN: Final = Decision(True, "open", "neither a members' file nor rules on the chain are in force")


class ChainRules(Protocol):
    """The chain's say."""

    def decide(self, meeting: Meeting) -> Decision | None:
        """None where it has none."""
        ...


class NodeRules:
    """A NodePolicy over all sources."""

    def __init__(
        self,
        own_id: bytes,
        *,
        file: AllowListFile | None = None,
        chain: ChainRules | None = None,
        static: Callable[[], Collection[bytes]] = tuple,
        is_lost: Callable[[], bool] = lambda: False,
        seals: bool = False,
    ) -> None:
        """`static`: ids that the operator named; `seals`: without a file, they are our fellow validators."""
        self.blocked: frozenset[bytes] = frozenset()
        self._own_id = own_id
        self._file = file
        self._chain = chain
        self._static = static
        self._is_lost = is_lost
        self._seals = seals

    def decide(self, meeting: Meeting) -> Decision:
        """May this connection be?"""
        if meeting.id in self.blocked:
            return BLOCKED
        by_file = self._by_file(meeting)
        if by_file is not None and (not by_file.allowed or by_file.rule in ("validators", "static")):
            return by_file
        by_chain = None if self._chain is None else self._chain.decide(meeting)
        if by_chain is None:
            return by_file or OPEN
        if by_chain.allowed or meeting.id not in self._static():
            return by_chain
        return self._despite(by_chain, meeting)

    def is_member(self, identity: bytes) -> bool:
        """Whether a node belongs to the network, wherever it is and whoever dials."""
        if self._file is not None and self._file.current is not None:
            return identity in self._file.current.members
        by_chain = None if self._chain is None else self._chain.decide(Meeting(id=identity))
        return by_chain is None or by_chain.allowed or identity in self._static()

    def may_meet(self, one: bytes, other: bytes) -> bool:
        """Whether two members may be connected, whoever dials; where no file knows tiers, any two."""
        file = None if self._file is None else self._file.current
        if file is None:
            return True
        ways = (Meeting(id=other), Meeting(id=other, inbound=True))
        return any(file.meet(one, way).allowed for way in ways)

    def _by_file(self, meeting: Meeting) -> Decision | None:
        if self._file is None:
            if self._seals and self._chain is not None and meeting.id in self._static():
                return Decision(True, "validators", "a validator always meets the peers its operator named")
            return None
        if self._file.current is None:
            if meeting.id in self._static():
                return Decision(True, "static", "the members' file cannot be read; named by the operator")
            return Decision(False, "unreadable", f"the members' file cannot be read: {self._file.problem}")
        return self._file.current.meet(self._own_id, meeting)

    def _despite(self, refused: Decision, meeting: Meeting) -> Decision:
        """A peer that the operator named, and that the chain does not allow."""
        if refused.rule == "no-answer":
            reason = f"named by the operator, who is heard while {refused.reason}"
            return Decision(True, "static", reason, refused.block)
        if not meeting.inbound and self._is_lost():
            reason = "our chain is old and nobody whom it allows is here; the operator named this peer"
            return Decision(True, "bootstrap", reason, refused.block)
        return refused
