"""Contracts that others ask, reduced to what was told them beforehand; assembled by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from node.primitives.crypto import keccak256
from node.primitives.state import StateChanges
from tests.contracts.sandbox import CHAIN_ID, Contract, Done, Reverted, Sandbox, canonical, encoded

WORDS = 5
"""Words of every answer: enough for the widest struct asked for (a site)."""
_ANSWERS = bytes.fromhex(
    "36600060003736600020"  # hash of the calldata
    + "".join(f"8060{place:02x}015460{32 * place:02x}52" for place in range(WORDS))
    + f"60{32 * WORDS:02x}6000f3"
)
_COURT = bytes.fromhex(
    "33321460185760005460010180600055600052602060"
    "00f35b602036036020600037600060006020360360006000600035"
    "5af13d600060003e6040573d6000fd5b3d6000f3"
)
"""Asked by a contract: how many questions there have been. Asked by a person: calls word 0 with the rest."""


@dataclass(frozen=True)
class Court:
    """An IDisputes whose `open` numbers its cases from 1, and whose rulings tests give."""

    chain: Sandbox
    address: str

    def rule(self, listener: Contract, dispute: int, outcome: int, reason: bytes) -> Done:
        """Tell the listener."""
        ruling = listener.data.onRuling(dispute, outcome, reason)
        return self.chain.transact(self.address, bytes(12) + canonical(listener.address) + ruling)


def court(chain: Sandbox) -> Court:
    """A court that stands."""
    address = chain.account(900)
    chain.put_code(address, _COURT)
    return Court(chain, address)


class Answers:
    """Answers each exact question with words; zeros to all it was not told."""

    def __init__(self, chain: Sandbox, place: int) -> None:
        self.chain, self.address = chain, chain.account(place)
        chain.put_code(self.address, _ANSWERS)

    def tell(self, signature: str, kinds: list[str], arguments: tuple[Any, ...], *words: int | str) -> None:
        """From now on `signature(arguments)` answers the words (addresses as text)."""
        entry = {
            "type": "function",
            "name": signature,
            "inputs": [{"name": "", "type": kind} for kind in kinds],
        }
        slot = int.from_bytes(keccak256(encoded(entry, arguments)), "big")
        values = [int(word, 16) if isinstance(word, str) else word for word in words]
        self.chain.world.apply(
            StateChanges(
                {}, {canonical(self.address): {(slot + i) % 2**256: each for i, each in enumerate(values)}}
            )
        )


def authority(chain: Sandbox) -> Contract:
    """An AccessManager with account 0 as its only admin and no role granted: `restricted` means account 0."""
    return chain.deploy("AccessManager", chain.account(0))


def signing_domain(name: str, contract: Contract) -> dict[str, Any]:
    """The EIP-712 domain of a contract."""
    return {"name": name, "version": "1", "chainId": CHAIN_ID, "verifyingContract": contract.address}


def attempted(deed: Callable[[], Done]) -> Done | Reverted:
    """What came of it, for models that know beforehand whether it may."""
    try:
        return deed()
    except Reverted as refused:
        return refused
