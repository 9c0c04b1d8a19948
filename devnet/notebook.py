"""The Notebook contract as calls and answers; its source and artifact stand in devnet/contract."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from eth_abi.abi import decode, encode

from node.primitives.crypto import keccak256
from node.primitives.ids import hex_of

ARTIFACT: Final = Path(__file__).parent / "contract" / "Notebook.json"
PAGES_WRITTEN_SLOT: Final = "0x" + "00" * 32
PAGE_WRITTEN: Final = hex_of(keccak256(b"PageWritten(address,uint256,string)"))
PAGE_TAKEN: Final = hex_of(keccak256(b"PageTaken(uint256,address)")[:4])


@cache
def artifact() -> dict[str, Any]:
    """What the compiler made of Notebook.sol."""
    content = json.loads(ARTIFACT.read_text())
    assert isinstance(content, dict)
    return content


def creation_code() -> str:
    """Data of the transaction that creates the contract."""
    return str(artifact()["bytecode"])


def runtime_code() -> str:
    """What eth_getCode gives afterwards."""
    return str(artifact()["deployedBytecode"])


def write_call(number: int, text: str) -> str:
    """Data of write(number, text)."""
    return _selector("write(uint256,string)") + encode(["uint256", "string"], [number, text]).hex()


def read_call(number: int) -> str:
    """Data of read(number)."""
    return _selector("read(uint256)") + encode(["uint256"], [number]).hex()


def pages_written_call() -> str:
    """Data of pagesWritten()."""
    return _selector("pagesWritten()")


def decode_page(answer: str) -> tuple[str, str]:
    """(author in lower case, text) from the answer to read."""
    author, text = decode(["address", "string"], bytes.fromhex(answer[2:]))
    return str(author).lower(), str(text)


def decode_event(log: dict[str, Any]) -> tuple[str, int, str]:
    """(author in lower case, page, text) from a PageWritten log."""
    (text,) = decode(["string"], bytes.fromhex(log["data"][2:]))
    return "0x" + log["topics"][1][-40:].lower(), int(log["topics"][2], 16), str(text)


def page_taken(number: int, author: str) -> str:
    """Revert data of PageTaken(number, author)."""
    return PAGE_TAKEN + encode(["uint256", "address"], [number, author]).hex()


def _selector(signature: str) -> str:
    return "0x" + str(artifact()["methods"][signature])
