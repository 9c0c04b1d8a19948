"""Which nodes may connect, as a contract on the chain says: both forms of the EEA client specification.

Asked after two blocks. A right is there when the newest *final* block gives it: a fork that dies has let
nobody in. It is gone when the *head* takes it away: whoever is shut out leaves within a block, final or not.

Verdicts are kept on disk with the number of their final block. A node that has lost its database, or has
fallen behind, decides by them until its own final block is newer.
"""

import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from node.permissioning.contract import (
    CONNECTION_ALLOWED,
    CONNECTION_ALLOWED_BOTH,
    GET_CONTRACT_ADDRESS,
    ContractCaller,
    as_bool,
    as_word,
    tail,
    why_not,
    word,
)
from node.permissioning.policy import Decision, Meeting
from node.primitives.block import Header
from node.primitives.errors import RequestError, StorageError
from node.primitives.ids import Address, BlockNumber, Hash32, hex_of
from node.primitives.state import StateView

ALLOWED: Final = (1 << 256) - 1
DENIED: Final = (1 << 255) - 1
"""What the older form answers; anything else is no answer."""
RULES: Final = "rules"
"""The name under which an ingress holds the rules."""
VERDICTS_KEPT: Final = 4_096


class Blocks(Protocol):
    """What is asked of the chain."""

    @property
    def head(self) -> Header:
        """The newest block."""
        ...

    def finalized_header(self) -> Header:
        """The newest block that stays."""
        ...


@dataclass(frozen=True, slots=True)
class Saved:
    """What was decided after the newest final block that we have seen, as it lies on disk."""

    block: BlockNumber = 0
    active: bool = False
    """Whether the ingress had rules."""
    verdicts: dict[bytes, bool] | None = None


class ChainNodeRules:
    """The rules at one ingress; on the event loop only."""

    def __init__(
        self,
        caller: ContractCaller,
        blocks: Blocks,
        state_at: Callable[[Hash32], StateView],
        ingress: Address,
        own_id: bytes,
        cache: Path,
    ) -> None:
        self.ingress = ingress
        self._caller = caller
        self._blocks = blocks
        self._state_at = state_at
        self._own_id = own_id
        self._cache = cache
        self._saved = _load(cache, ingress)
        self._fresh: dict[bytes, bool] = {}

    def decide(self, meeting: Meeting) -> Decision | None:
        """By the chain; None where it has no rules (yet), so that others decide."""
        final, head = self._blocks.finalized_header(), self._blocks.head
        saved = self._saved
        if saved.block > final.number and saved.verdicts is not None:
            known = saved.verdicts.get(meeting.id)
            if not saved.active:
                return None
            if known is not None:
                words = "allow" if known else "do not allow"
                reason = (
                    f"the rules {words} node {meeting.id[:4].hex()}…, as was seen before our chain got here"
                )
                return Decision(known, "cache", reason, saved.block)
        decision = self._ask(final, meeting)
        if decision is not None and decision.allowed and head.hash != final.hash:
            decision = self._ask(head, meeting)
        self._fresh[meeting.id] = decision is None or decision.allowed
        if len(self._fresh) > VERDICTS_KEPT:
            del self._fresh[next(iter(self._fresh))]
        return decision

    def save(self) -> None:
        """Keep on disk what was decided since; nothing while the disk knows better. Blocking."""
        final = self._blocks.finalized_header()
        if final.number < self._saved.block:
            return
        try:
            active = self._has_rules(final, self._state_at(final.hash))
        except (RequestError, StorageError):
            return
        verdicts = {**(self._saved.verdicts or {}), **self._fresh}
        verdicts = dict(list(verdicts.items())[-VERDICTS_KEPT:])
        if (active, verdicts) != (self._saved.active, self._saved.verdicts) or (
            final.number >= self._saved.block + SAVE_BLOCKS
        ):
            self._saved = Saved(final.number, active, verdicts)
            _store(self._cache, self.ingress, self._saved)

    def _ask(self, header: Header, meeting: Meeting) -> Decision | None:
        try:
            view = self._state_at(header.hash)
        except (RequestError, StorageError) as error:
            return Decision(False, "no-answer", f"the rules cannot be read: {error}", header.number)
        if not self._has_rules(header, view):
            return None
        one = self._caller.ask(header, view, self.ingress, question(meeting))
        verdict = as_bool(one)
        if verdict is None:
            both = self._caller.ask(header, view, self.ingress, question_of_both(self._own_id, meeting))
            verdict = {ALLOWED: True, DENIED: False}.get(as_word(both) or 0)
        place = f"the rules at {hex_of(self.ingress)}"
        if verdict is None:
            return Decision(False, "no-answer", f"{place} give no answer: {why_not(one)}", header.number)
        words = "allow" if verdict else "do not allow"
        return Decision(verdict, "contract", f"{place} {words} node {meeting.id[:4].hex()}…", header.number)

    def _has_rules(self, header: Header, view: StateView) -> bool:
        """An ingress without rules has nothing to say; a contract that is no ingress is asked itself."""
        if not self._caller.has_code(header, view, self.ingress):
            return False
        found = self._caller.ask(
            header, view, self.ingress, GET_CONTRACT_ADDRESS + RULES.encode().ljust(32, b"\0")
        )
        return as_word(found) != 0


SAVE_BLOCKS: Final = 32
"""So many final blocks later what is on disk is written again although nothing changed."""


def question(meeting: Meeting) -> bytes:
    """connectionAllowed(string enodeId, string enodeIp, uint16 enodePort)."""
    key, host = tail(meeting.id.hex().encode()), tail((meeting.host or "").encode())
    return CONNECTION_ALLOWED + word(96) + word(96 + len(key)) + word(meeting.port) + key + host


def question_of_both(own_id: bytes, meeting: Meeting) -> bytes:
    """The older form: who dials, then who is dialled, each with address and port."""
    us = own_id + bytes(16 + 16) + word(0)
    them = meeting.id + _mapped(meeting.host) + bytes(16) + word(meeting.port)
    dialler, dialled = (them, us) if meeting.inbound else (us, them)
    return CONNECTION_ALLOWED_BOTH + dialler + dialled


def _mapped(host: str | None) -> bytes:
    """16 bytes; IPv4 as ::ffff:a.b.c.d, and zeros for what is no address."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return bytes(16)
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def _load(path: Path, ingress: Address) -> Saved:
    """What was kept; nothing when it is not there, is another contract's, or cannot be understood."""
    try:
        tree = json.loads(path.read_bytes())
        if tree["ingress"] != hex_of(ingress):
            return Saved()
        verdicts = {bytes.fromhex(key): bool(value) for key, value in tree["verdicts"].items()}
        return Saved(int(tree["block"]), bool(tree["active"]), verdicts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Saved()


def _store(path: Path, ingress: Address, saved: Saved) -> None:
    tree = {
        "ingress": hex_of(ingress),
        "block": saved.block,
        "active": saved.active,
        "verdicts": {key.hex(): value for key, value in (saved.verdicts or {}).items()},
    }
    aside = path.with_name(path.name + ".new")
    aside.write_text(json.dumps(tree))
    aside.replace(path)
