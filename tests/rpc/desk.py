"""The contract that the tests deploy; source and artifact stand in tests/rpc/contract."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from eth_abi.abi import decode, encode

from node.primitives.crypto import keccak256

ARTIFACT: Final = Path(__file__).parent / "contract" / "Desk.json"
TAKE: Final = "take((address,(string,uint256)[]))"
ORDER_TAKEN: Final = keccak256(b"OrderTaken(address,uint256,uint256)")


@cache
def artifact() -> dict[str, Any]:
    """What the compiler made of Desk.sol."""
    content = json.loads(ARTIFACT.read_text())
    assert isinstance(content, dict)
    return content


def creation_code() -> bytes:
    """Data of the transaction that creates the contract."""
    return bytes.fromhex(str(artifact()["bytecode"])[2:])


def take_call(customer: str, lines: list[tuple[str, int]]) -> bytes:
    """Data of take((customer, lines))."""
    return _selector(TAKE) + encode(["(address,(string,uint256)[])"], [(customer, lines)])


def call(signature: str, *arguments: int) -> bytes:
    """Data of a function that takes numbers."""
    return _selector(signature) + encode(["uint256"] * len(arguments), arguments)


def decode_numbers(answer: str, count: int) -> tuple[int, ...]:
    """So many words of an answer."""
    return tuple(decode(["uint256"] * count, bytes.fromhex(answer[2:])))


def _selector(signature: str) -> bytes:
    return keccak256(signature.encode())[:4]
