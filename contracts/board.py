"""The board at work over JSON-RPC: propose, vote, queue, execute, and say where everything stands.

What a proposal does is read from its own event, so that whoever queues or executes it needs no document.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from eth_abi import abi as codec
from eth_utils.address import to_checksum_address

from contracts.artifacts import load
from contracts.binding import decode_error, kinds_of
from contracts.calls import calldata, created_address, function_of
from contracts.deploy import Chain, DeployFailed, runs_of
from contracts.proposals import (
    IMPLEMENTATION,
    Action,
    Answer,
    Class,
    Draft,
    Stage,
    described,
    moved_members,
    namespaces,
)
from contracts.registry import Registry
from contracts.rpc_chain import LATEST, NEXT
from node.primitives.crypto import keccak256

PROPOSED: Final = keccak256(b"Proposed(uint256,address,uint8,(address,bytes)[],bytes32,uint48)")
WHOLE: Final = 10_000


class Ledger(Chain, Protocol):
    """What the board's people need of a chain beyond deploying."""

    def call(self, to: str | None, data: bytes, block: str = LATEST) -> bytes | None:
        """eth_call by the sender; None when it reverts or cannot run."""
        ...

    def refusal(self, to: str, data: bytes) -> bytes | None:
        """What a call would be refused with in the next block; None when it would go through."""
        ...

    def receipts(self, transactions: Sequence[tuple[str | None, bytes]]) -> list[dict[str, Any]]:
        """Send them in order and wait; what became of each; DeployFailed when one does not succeed."""
        ...

    def logs(self, address: str, topics: Sequence[str]) -> list[dict[str, Any]]:
        """A contract's events since the beginning, by their first topics."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """One proposal, and what it waits for."""

    number: int
    kind: Class
    stage: Stage
    votes_for: int
    votes_against: int
    abstained: int
    quorum: float
    """Share of all weight that must take part."""
    threshold: float
    """Share of the votes for and against that must be for."""
    voting_ends: int
    executable_from: int
    """0 before it is queued."""
    actions: tuple[str, ...]


class BoardRoom:
    """A board on a chain, and one of its people (or nobody, who looks)."""

    def __init__(self, chain: Ledger, registry: Registry) -> None:
        if "Board" not in registry.entries:
            raise DeployFailed("the registry has no Board; `python -m contracts deploy` puts the suite there")
        self._chain = chain
        self._registry = registry
        self._board = registry.entries["Board"].address

    def propose(self, draft: Draft) -> int:
        """Put it to the vote; its number."""
        receipt = self._do("propose", int(draft.kind), list(draft.actions), draft.description)
        (number,) = [
            int(log["topics"][1], 16) for log in receipt["logs"] if log["topics"][0] == _hex(PROPOSED)
        ]
        return number

    def vote(self, number: int, answer: Answer, reason: bytes) -> None:
        """Once, for good; `reason` is the hash of a text."""
        self._do("vote", number, int(answer), reason)

    def queue(self, number: int) -> None:
        """Start the delay of what has passed."""
        self._do("queue", number, list(self.actions_of(number)))

    def execute(self, number: int) -> None:
        """Carry out what was queued, after its delay."""
        self._do("execute", number, list(self.actions_of(number)))

    def cancel(self, number: int) -> None:
        """Withdraw one's own proposal before it is queued."""
        self._do("cancel", number)

    def hold(self, number: int) -> None:
        """A guardian's: more time to think before it is executed."""
        self._do("hold", number)

    def actions_of(self, number: int) -> tuple[Action, ...]:
        """The calls that a proposal makes, as they were voted on."""
        topics = [_hex(PROPOSED), _hex(number.to_bytes(32, "big"))]
        logs = self._chain.logs(self._board, topics)
        if not logs:
            raise DeployFailed(f"there is no proposal {number}")
        data = bytes.fromhex(logs[0]["data"][2:])
        _, actions, _, _ = codec.decode(["uint8", "(address,bytes)[]", "bytes32", "uint48"], data)
        return tuple((to_checksum_address(target), call) for target, call in actions)

    def standings(self) -> Iterator[Standing]:
        """Every proposal, the latest first."""
        logs = self._chain.logs(self._board, [_hex(PROPOSED)])
        for number in sorted((int(log["topics"][1], 16) for log in logs), reverse=True):
            yield self.standing(number)

    def standing(self, number: int) -> Standing:
        """One proposal."""
        (found,) = self._ask("proposal", number)
        names = [each["name"] for each in function_of("Board", "proposal")["outputs"][0]["components"]]
        it = dict(zip(names, found, strict=True))
        quorum, threshold, _, _ = self._ask("rule", it["class"])[0]
        return Standing(
            number,
            Class(it["class"]),
            Stage(self._ask("stage", number, block=NEXT)[0]),
            it["votesFor"],
            it["votesAgainst"],
            it["votesAbstain"],
            quorum / WHOLE,
            threshold / WHOLE,
            it["votingEnds"],
            it["executableFrom"],
            tuple(described(each, self._registry) for each in self.actions_of(number)),
        )

    def upgrade(self, names: Sequence[str]) -> dict[str, Any]:
        """Put new code of these contracts on the chain, used by nobody yet; the document that proposes it.

        DeployFailed when storage would be misread, and for what has no new code.
        """
        for name in names:
            self._refuse_upgrade(name)
        nonce = self._chain.next_nonce()
        places = [created_address(self._chain.sender, nonce + place) for place in range(len(names))]
        self._chain.send([(None, load(name).bytecode) for name in names])
        return {
            "class": Class.STRUCTURAL.name.lower(),
            "description": f"Upgrade {', '.join(names)}.",
            "actions": [
                {"contract": name, "function": "upgradeToAndCall", "arguments": [place, "0x"]}
                for name, place in zip(names, places, strict=True)
            ],
        }

    def _refuse_upgrade(self, name: str) -> None:
        entry = self._registry.entries.get(name + IMPLEMENTATION)
        if entry is None:
            known = sorted(each.removesuffix(IMPLEMENTATION) for each in self._registry.entries
                           if each.endswith(IMPLEMENTATION))  # fmt: skip
            raise DeployFailed(f"{name} cannot be upgraded; there are {', '.join(known)}")
        runs = runs_of(self._chain, self._registry.entries[name].address)
        if load(name).same_code(self._chain.code(runs)):
            raise DeployFailed(f"{name} runs the code of its artifact already, at {runs}")
        if runs != entry.address or entry.layout is None:
            raise DeployFailed(
                f"{name} runs {runs}, and the registry does not know how its state lies; "
                "take the registry (and this program) of the version that put it there"
            )
        moved = moved_members(entry.layout, namespaces(load(name)))
        if moved:
            raise DeployFailed(f"{name}: the new code would misread what is stored: " + "; ".join(moved))

    def _do(self, function: str, *arguments: Any) -> dict[str, Any]:
        """Ask first, so that a refusal has its name and costs nothing; then send and wait."""
        data = calldata("Board", function, *arguments)
        refusal = self._chain.refusal(self._board, data)
        if refusal is not None:
            raise DeployFailed(f"the board refuses: {decode_error(load('Board').abi, refusal)}")
        (receipt,) = self._chain.receipts([(self._board, data)])
        return receipt

    def _ask(self, view: str, *arguments: Any, block: str = LATEST) -> tuple[Any, ...]:
        output = self._chain.call(self._board, calldata("Board", view, *arguments), block)
        if not output:
            raise DeployFailed(f"{self._board} is no board of this version: it does not answer {view}")
        return tuple(codec.decode(kinds_of({"inputs": function_of("Board", view)["outputs"]}), output))


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
