"""What this node's pool may take: the chain's rules as they stand at the head, and the members' file.

Neither says what may stand in a block: the chain's rules are asked again there, and the file is never asked.
"""

from typing import Protocol

from node.permissioning.accounts import NOT_ON_CHAIN, ChainAccountRules
from node.permissioning.allowlist import AllowListFile
from node.permissioning.policy import Decision, Sending
from node.primitives.block import Header
from node.primitives.errors import RequestError
from node.primitives.ids import Address, Hash32
from node.primitives.state import StateView
from node.primitives.transaction import Transaction


class Reader(Protocol):
    """What is asked of the chain."""

    @property
    def head(self) -> Header:
        """The newest block."""
        ...

    def state_at(self, block_hash: Hash32) -> StateView:
        """The state after a block."""
        ...


class Chain(Protocol):
    """An open chain."""

    @property
    def reader(self) -> Reader:
        """Blocks and states."""
        ...

    @property
    def account_rules(self) -> ChainAccountRules:
        """What may stand in a block."""
        ...


class PoolPermits:
    """An AccountPolicy over file and chain."""

    def __init__(self, chain: Chain, file: AllowListFile | None) -> None:
        self._chain = chain
        self._file = file

    def allows_at_once(self, tx: Transaction) -> bool:
        """Whether the chain has no rule, and the file, if there is one, allows it; `decide` has the words."""
        if self._chain.account_rules.on_chain:
            return False
        return self._file is None or (self._file.current is not None and self._file.current.allows(tx))

    def decide(self, sending: Sending) -> Decision:
        """By the file, then by the chain; the first refusal is the answer."""
        by_file = self._by_file(sending)
        if by_file is not None and not by_file.allowed:
            return by_file
        if not self._chain.account_rules.on_chain:
            return by_file or NOT_ON_CHAIN  # without a look at the state: every transaction comes by here
        head = self._chain.reader.head
        try:
            view = self._chain.reader.state_at(head.hash)
        except RequestError as error:
            return Decision(False, "no-answer", f"the state cannot be read: {error}", head.number)
        by_chain = self._chain.account_rules.decide(head, view, sending)
        return by_file if by_chain.rule == "none" and by_file is not None else by_chain

    def organisation(self, sender: Address) -> bytes | None:
        """Whose share of pool and blocks an account has: by the file, then by the chain; None for its own."""
        listed = None if self._file is None or self._file.current is None else self._file.current.accounts
        if listed is not None and sender in listed:
            return listed[sender].organisation.encode()
        if not self._chain.account_rules.on_chain:
            return None
        head = self._chain.reader.head
        try:
            view = self._chain.reader.state_at(head.hash)
        except RequestError:
            return None
        return self._chain.account_rules.organisation(head, view, sender)

    def _by_file(self, sending: Sending) -> Decision | None:
        if self._file is None:
            return None
        if self._file.current is None:
            return Decision(False, "unreadable", f"the members' file cannot be read: {self._file.problem}")
        return self._file.current.send(sending)
