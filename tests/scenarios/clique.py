"""Plays Clique stories: commands in, the engine's effects out as text.

Before the engine:      network signers=ABC period=2 epoch=30000
                        node B lead=500 late=500 empty=yes proposals=+D,-C
The chain it sees:      chain BC D+E      blocks in a row, each by its letter; +E a vote to admit E
                        branch 2 DA       forget the blocks above 2, then go on with D and A
                        adopt             the block that the engine sealed last is the tip now
Events at a time:       4.0 head          the tip of the chain is the head now
                        4.0 coming X      X's block on the tip is here, and is being executed
                        4.0 fire          the timer that was set last runs out
                        4.0 stale NAME    a timer runs out that was replaced or cancelled in the meantime
                        4.0 built         answers the engine; also: nothing, waiting, signed, refused WHY
                        4.0 last signed   the block and signature of the guard's record, from the last Sign
                        4.0 propose +E    -E to drop, =E to withdraw
Questions:              status, proposals
"""

from collections.abc import Callable
from dataclasses import replace

from consensus.clique.engine import CliqueEngine
from consensus.clique.rules import NONCE_AUTHORISE, CliqueRules
from consensus.clique.snapshot import CliqueSnapshot
from consensus.effects import (
    BuildBlock,
    CancelTimer,
    Effect,
    PersistProposals,
    SealBlock,
    SetTimer,
    Sign,
    StopBuilding,
)
from consensus.errors import ProposalRefused
from consensus.events import (
    BlockBuilt,
    BlockComing,
    Event,
    LastSigned,
    NewHead,
    NothingToBuild,
    Proposed,
    Signed,
    SigningRefused,
    TimerFired,
    TransactionsWaiting,
)
from node.primitives.block import Block, Body, Header
from node.primitives.chain_spec import CliqueSpec
from node.primitives.ids import ZERO_ADDRESS, Address
from tests.consensus import chains


class CliqueStory:
    """One engine and the chain it is shown."""

    def __init__(self) -> None:
        """Before `network` and `node` there is nothing to play with."""
        self._spec = CliqueSpec(period_s=2)
        self._rules = CliqueRules(self._spec)
        self._engine: CliqueEngine | None = None
        self._name = ""
        self._chain: list[tuple[Header, CliqueSnapshot]] = []
        self._timer = ""
        self._request: BuildBlock | None = None
        self._sign: Sign | None = None
        self._sealed: Block | None = None

    def play(self, line: str) -> list[str]:
        """Do one command; the lines of its trace."""
        words = line.split()
        if words[0][0].isdigit():
            return self._happen(round(float(words[0]) * 1000), words[1], " ".join(words[2:]))
        commands: dict[str, Callable[[list[str]], list[str]]] = {
            "network": self._network,
            "node": self._start,
            "chain": self._grow,
            "branch": self._branch,
            "adopt": self._adopt,
            "status": lambda _: [self._running.status],
            "proposals": lambda _: [_proposals(self._running.proposals)],
        }
        return commands[words[0]](words[1:]) or ["ok"]

    @property
    def _running(self) -> CliqueEngine:
        assert self._engine is not None
        return self._engine

    def _network(self, words: list[str]) -> list[str]:
        options = dict(word.split("=") for word in words)
        self._spec = CliqueSpec(int(options.get("period", "2")), int(options.get("epoch", "30000")))
        self._rules = CliqueRules(self._spec)
        genesis = chains.genesis(options["signers"])
        self._chain = [(genesis, self._rules.initial(genesis))]
        return []

    def _start(self, words: list[str]) -> list[str]:
        self._name = words[0]
        options = dict(word.split("=") for word in words[1:])
        proposals = [_vote(text) for text in options.get("proposals", "").split(",") if text]
        self._engine = CliqueEngine(
            self._spec,
            chains.address(self._name),
            vanity=b"story",
            empty_blocks=options.get("empty", "yes") == "yes",
            proposals=[(chains.address(name), authorise) for name, authorise in proposals],
            build_lead_ms=int(options.get("lead", "500")),
            out_of_turn_lead_ms=int(options.get("late", options.get("lead", "500"))),
        )
        return []

    def _grow(self, words: list[str]) -> list[str]:
        for word in words:
            voted = len(word) == 3 and word[1] in "+-"
            for author in word[0] if voted else word:
                parent, state = self._chain[-1]
                vote = _vote(word[1:]) if voted else None
                after_s = max(self._spec.period_s, 1)
                header = chains.child(self._rules, state, parent, author, vote=vote, after_s=after_s)
                self._chain.append((header, self._rules.advance(state, parent, header)))
        return []

    def _branch(self, words: list[str]) -> list[str]:
        del self._chain[int(words[0]) + 1 :]
        return self._grow(words[1:])

    def _adopt(self, _: list[str]) -> list[str]:
        assert self._sealed is not None
        header = self._sealed.header
        while self._chain[-1][0].hash != header.parent_hash:
            self._chain.pop()
        parent, state = self._chain[-1]
        self._chain.append((header, self._rules.advance(state, parent, header)))
        return []

    # --- events and effects

    def _happen(self, since_genesis_ms: int, command: str, rest: str) -> list[str]:
        now_ms = chains.GENESIS_TIME * 1000 + since_genesis_ms
        try:
            effects = self._running.handle(self._event(command, rest), now_ms)
        except ProposalRefused as refusal:
            return [f"refused: {refusal}"]
        return [self._note(effect) for effect in effects] or ["nothing"]

    def _event(self, command: str, rest: str) -> Event:
        match command:
            case "head":
                return NewHead(*self._chain[-1])
            case "coming":
                parent, state = self._chain[-1]
                after_s = max(self._spec.period_s, 1)
                return BlockComing(chains.child(self._rules, state, parent, rest, after_s=after_s))
            case "fire":
                return TimerFired(self._timer)
            case "stale":
                return TimerFired(rest)
            case "built":
                return BlockBuilt(self._built())
            case "nothing":
                assert self._request is not None
                return NothingToBuild(self._request.parent.hash)
            case "waiting":
                return TransactionsWaiting()
            case "propose":
                authorise = None if rest[0] == "=" else rest[0] == "+"
                return Proposed(chains.address(rest[1]), authorise)
        assert self._sign is not None
        assert self._sign.block is not None
        signature = chains.key(self._name).sign(self._sign.digest)
        match command:
            case "signed":
                return Signed(self._sign.digest, signature)
            case "refused":
                return SigningRefused(self._sign.digest, rest)
            case "last":
                return LastSigned(self._sign.block, signature)
        raise ValueError(f"no command {command}")

    def _built(self) -> Block:
        request = self._request
        assert request is not None
        header = replace(
            request.parent,
            parent_hash=request.parent.hash,
            number=request.parent.number + 1,
            timestamp=request.timestamp,
            beneficiary=request.beneficiary,
            nonce=request.nonce,
            difficulty=request.difficulty,
            extra_data=request.extra_data,
        )
        return Block(header, Body())

    def _note(self, effect: Effect) -> str:
        """Remember what an answer needs; the effect as a line."""
        match effect:
            case SetTimer(name, at_ms, jitter_ms_max):
                self._timer = name
                jitter = f" and up to {jitter_ms_max / 1000:.3f} later" if jitter_ms_max else ""
                return f'set timer "{name}" at {_since_genesis(at_ms)}{jitter}'
            case CancelTimer(name):
                return f'cancel timer "{name}"'
            case BuildBlock():
                self._request = effect
                return self._describe(effect)
            case StopBuilding():
                return "stop building"
            case Sign():
                self._sign = effect
                return f"sign {effect.kind} #{effect.height} 0x{effect.digest[:4].hex()}"
            case SealBlock(block):
                self._sealed = block
                author = chains.name_of(self._rules.author(block.header))
                return f"seal #{block.number} by {author} difficulty {block.header.difficulty}"
            case PersistProposals(proposals):
                return f"persist proposals {_proposals(proposals)}"

    def _describe(self, request: BuildBlock) -> str:
        parts = [f"build on {request.parent.ref} for {_since_genesis(request.timestamp * 1000)}"]
        parts.append(f"difficulty {request.difficulty}")
        if request.beneficiary != ZERO_ADDRESS:
            sign = "+" if request.nonce == NONCE_AUTHORISE else "-"
            parts.append(f"vote {sign}{chains.name_of(request.beneficiary)}")
        listed = request.extra_data[32:-65]
        if listed:
            addresses = [Address(listed[start : start + 20]) for start in range(0, len(listed), 20)]
            parts.append(f"listing {''.join(map(chains.name_of, addresses))}")
        if not request.allow_empty:
            parts.append("not empty")
        parts.append(f"to sign at {_since_genesis(request.deadline_ms)}")
        return ", ".join(parts)


def _vote(text: str) -> tuple[str, bool]:
    return text[1], text[0] == "+"


def _proposals(proposals: tuple[tuple[Address, bool], ...]) -> str:
    return (
        " ".join(f"{'+' if authorise else '-'}{chains.name_of(target)}" for target, authorise in proposals)
        or "none"
    )


def _since_genesis(unix_ms: int) -> str:
    return f"{unix_ms / 1000 - chains.GENESIS_TIME:.3f}"
