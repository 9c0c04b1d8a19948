"""Calls and creations as bytes: functions of the suite's artifacts by name."""

from typing import Any

from eth_abi import abi as codec
from eth_utils.address import to_checksum_address

from contracts.artifacts import Artifact, load
from contracts.binding import kinds_of
from contracts.generate import signature
from node.primitives import rlp
from node.primitives.crypto import keccak256


def creation(artifact: Artifact, arguments: tuple[Any, ...]) -> bytes:
    """Init code with its constructor's arguments."""
    constructor = next((each for each in artifact.abi if each["type"] == "constructor"), None)
    return artifact.bytecode + (codec.encode(kinds_of(constructor), arguments) if constructor else b"")


def function_of(contract: str, name: str) -> dict[str, Any]:
    """The ABI entry of a function that is not overloaded."""
    (entry,) = [each for each in load(contract).abi if each["type"] == "function" and each["name"] == name]
    return entry


def selector_of(contract: str, name: str) -> bytes:
    """The first four bytes of its calldata."""
    return keccak256(signature(function_of(contract, name)).encode())[:4]


def calldata(contract: str, name: str, *arguments: Any) -> bytes:
    """A call, encoded."""
    return selector_of(contract, name) + codec.encode(kinds_of(function_of(contract, name)), arguments)


def created_address(sender: str, nonce: int) -> str:
    """Where a sender's transaction with this nonce creates its contract."""
    return to_checksum_address(keccak256(rlp.encode([bytes.fromhex(sender[2:]), nonce]))[12:])
