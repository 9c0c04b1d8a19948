"""Which transactions may stand in a block: a rule of the chain, asked of a contract at the parent's state.

The chain spec names the contract (an ingress at an address of genesis) and the first block that is checked.
Every node asks the same question after the same block with the same gas, when it builds and when it imports,
so nobody can include what the rules forbid, and nobody forks by a setting of his own. The question costs the
sender nothing.

    the contract says yes                       in
    it says no, or gives no answer at all       out: a revert, an endless loop, other bytes than 0 or 1
    out, but it goes to the ingress's contract  in: whatever is wrong with the rules, those who can mend
    "repair", whose memberOf(sender) is not 0   them are heard. The board sets the name; it is the Board.

An answer depends on what the spec lets the contract see: "whole" passes the transaction as it is; "kind"
passes sender, target, whether value goes along and the first four bytes of the data, nothing else, so that
one answer serves all transactions of a kind until the lists change.
"""

from dataclasses import replace
from typing import Final

from node.permissioning.contract import (
    MEMBER_OF,
    ORGANISATION_OF,
    TRANSACTION_ALLOWED,
    Answer,
    ContractCaller,
    as_bool,
    as_word,
    registered,
    tail,
    why_not,
    word,
)
from node.permissioning.policy import Decision, NotPermitted, Sending, sending_of
from node.primitives.block import Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.ids import ZERO_ADDRESS, Address, Hash32, hex_of
from node.primitives.state import StateView
from node.primitives.transaction import Transaction

REPAIR: Final = "repair"
"""The name under which an ingress holds who mends the rules."""
LISTS: Final = "administration"
"""The name under which it holds the lists of organisations."""
SELECTOR_BYTES: Final = 4

NOT_ON_CHAIN: Final = Decision(True, "none", "this chain has no rules for accounts")


_Kind = tuple[Address, Address | None, bool, bytes]


class ChainAccountRules:
    """The rule of one chain; any thread."""

    def __init__(self, spec: ChainSpec, caller: ContractCaller) -> None:
        self._spec = spec.account_permissioning
        self._caller = caller
        self._passed: tuple[Hash32 | None, set[_Kind]] = (None, set())
        """What was allowed after one block: most transactions of the next are of a few kinds."""

    @property
    def on_chain(self) -> bool:
        """Whether this chain has such a rule, from whichever block on."""
        return self._spec is not None

    def check(self, parent: Header, view: StateView, tx: Transaction) -> None:
        """May `tx` stand in a child of `parent`, whose state `view` is? NotPermitted says why not."""
        if self._spec is None or parent.number + 1 < self._spec.from_block:
            return
        if self._spec.whole:
            self._refuse(self.decide(parent, view, sending_of(tx)))
            return
        block, passed = self._passed
        if block != parent.hash:
            passed = set()
            self._passed = parent.hash, passed
        # All that the question is made of: the same kind after the same block has the same answer.
        kind = tx.sender, tx.to, tx.value > 0, tx.data[:SELECTOR_BYTES]
        if kind not in passed:
            self._refuse(self.decide(parent, view, sending_of(tx)))
            passed.add(kind)

    def _refuse(self, decision: Decision) -> None:
        if not decision.allowed:
            raise NotPermitted(decision)

    def decide(self, parent: Header, view: StateView, sending: Sending) -> Decision:
        """The same with the reason, for whoever asks why."""
        spec = self._spec
        if spec is None:
            return NOT_ON_CHAIN
        if parent.number + 1 < spec.from_block:
            reason = f"the chain's rules for accounts begin with block {spec.from_block}"
            return Decision(True, "none", reason, parent.number)
        answer = self._caller.ask(parent, view, spec.ingress, self._question(sending))
        verdict = as_bool(answer)
        if verdict:
            return Decision(True, "contract", f"the rules at {hex_of(spec.ingress)} allow it", parent.number)
        if self._mends(parent, view, sending):
            reason = "a member of the board calls the board, whatever the rules say"
            return Decision(True, REPAIR, reason, parent.number)
        return Decision(False, *self._refusal(verdict, answer, sending), parent.number)

    def organisation(self, head: Header, view: StateView, account: Address) -> bytes | None:
        """The organisation that the lists behind the ingress name for an account; None where there is none.

        For fair shares in pools; no block depends on it.
        """
        if self._spec is None:
            return None
        lists = registered(self._caller, head, view, self._spec.ingress, LISTS)
        if lists is None:
            return None
        answer = self._caller.ask(head, view, lists, ORGANISATION_OF + word(account))
        value = as_word(answer)
        return value.to_bytes(32, "big") if value else None

    def _refusal(self, verdict: bool | None, answer: Answer, sending: Sending) -> tuple[str, str]:
        assert self._spec is not None
        if verdict is None:
            return "no-answer", f"the rules at {hex_of(self._spec.ingress)} give no answer: {why_not(answer)}"
        return "contract", f"the rules at {hex_of(self._spec.ingress)} do not allow {sending}"

    def _mends(self, parent: Header, view: StateView, sending: Sending) -> bool:
        assert self._spec is not None
        if sending.to is None:
            return False
        board = registered(self._caller, parent, view, self._spec.ingress, REPAIR)
        if sending.to != board:
            return False
        return bool(as_word(self._caller.ask(parent, view, board, MEMBER_OF + word(sending.sender))))

    def _question(self, sending: Sending) -> bytes:
        assert self._spec is not None
        if not self._spec.whole:
            data = sending.data[:SELECTOR_BYTES]
            sending = replace(sending, value=min(sending.value, 1), gas_price=0, gas_limit=0, data=data)
        target = sending.to or ZERO_ADDRESS
        numbers = (sending.value, sending.gas_price, sending.gas_limit, 6 * 32)
        head = word(sending.sender) + word(target) + b"".join(map(word, numbers))
        return TRANSACTION_ALLOWED + head + tail(sending.data)
