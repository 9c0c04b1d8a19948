"""Which address is which contract of ours, as the chain itself says it.

The suite's ContractNames names every contract, itself included. Anybody can deploy something that emits the
same events, so an address book is believed only when its code is ours and it obeys the authority that the
door in genesis obeys: nobody but the board can then have named anything in it. A network without
that door has its address book in the settings.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from contracts.artifacts import load
from contracts.suite import ACCOUNT_INGRESS, IMPLEMENTATION_SLOT, NODE_INGRESS
from node.primitives.crypto import keccak256
from node.primitives.ids import Address, hex_of
from node.primitives.receipt import Log
from node.primitives.state import StateView
from node.replica.events import decode_event

NAMES: Final = "ContractNames"
NAMED: Final = keccak256(b"ContractNamed(string,address,address)")
STARTED: Final = keccak256(b"IngressStartedBy(address)")
DOOR: Final = Address(bytes.fromhex(NODE_INGRESS[2:]))
_OTHER_DOOR: Final = Address(bytes.fromhex(ACCOUNT_INGRESS[2:]))
_DOOR_AUTHORITY_SLOT: Final = 1
"""`authority` in contracts/src/permissioning/Ingress.sol."""
_MANAGED_SLOT: Final = (
    int.from_bytes(
        keccak256(
            (int.from_bytes(keccak256(b"openzeppelin.storage.AccessManaged"), "big") - 1).to_bytes(32, "big")
        ),
        "big",
    )
    & ~0xFF
)
"""Where AccessManagedUpgradeable keeps its authority (ERC-7201)."""


class Naming(NamedTuple):
    """The address book says: this is that."""

    name: str
    address: Address


def doors(codes: Mapping[Address, bytes]) -> dict[Address, str]:
    """The ingress contracts that genesis holds, given its codes by address."""
    wanted = {DOOR: "NodeIngress", _OTHER_DOOR: "AccountIngress"}
    return {
        address: name
        for address, name in wanted.items()
        if address in codes and load(name).same_code(codes[address])
    }


def naming_of(log: Log) -> Naming | None:
    """What an event of an address book says; None for any other event."""
    event = decode_event(NAMES, log) if log.topics and log.topics[0] == NAMED else None
    if event is None:
        return None
    return Naming(event.arguments["name"], Address(bytes.fromhex(event.arguments["target"][2:])))


def may_establish(logs: Iterable[Log]) -> bool:
    """Whether after these events an address book may be believed that was not before."""
    return any(
        log.topics and (log.topics[0] == NAMED or (log.topics[0] == STARTED and log.address == DOOR))
        for log in logs
    )


def is_address_book(view: StateView, address: Address) -> bool:
    """Whether the contract is the suite's ContractNames, under the authority of the door in genesis."""
    if not _has_code(view, DOOR, "NodeIngress") or not _has_code(view, address, "ERC1967Proxy"):
        return False
    runs = Address(view.storage(address, IMPLEMENTATION_SLOT).to_bytes(32, "big")[12:])
    authority = view.storage(DOOR, _DOOR_AUTHORITY_SLOT)
    return (
        authority != 0
        and _has_code(view, runs, NAMES)
        and view.storage(address, _MANAGED_SLOT) & ((1 << 160) - 1) == authority
    )


def _has_code(view: StateView, address: Address, name: str) -> bool:
    account = view.account(address)
    return account is not None and load(name).same_code(view.code(account.code_hash))


def address_of_text(text: str) -> Address:
    """0x text as it stands in settings and tables."""
    return Address(bytes.fromhex(text[2:]))


def text_of_address(address: Address) -> str:
    """The inverse."""
    return hex_of(address)
