"""What the compiler made, as files in the repository: whoever deploys or calls needs no compiler."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "artifacts"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract."""

    name: str
    source: str
    """Where it was written: "src/identity/Credentials.sol", or a package's path."""
    abi: list[dict[str, Any]]
    bytecode: bytes
    """Init code, without constructor arguments."""
    deployed_bytecode: bytes
    """Runtime code with its immutables still zero."""
    immutables: tuple[tuple[int, int], ...]
    """(start, length) of bytes that the constructor fills in."""
    storage_layout: dict[str, Any]
    """solc's storage layout; `namespaces` beside it holds the structs of ERC-7201."""

    def same_code(self, code: bytes) -> bool:
        """Whether code found on a chain is this contract's, whatever its immutables are."""
        return self._blank(code) == self._blank(self.deployed_bytecode)

    def _blank(self, code: bytes) -> bytes:
        blanked = bytearray(code)
        for start, length in self.immutables:
            blanked[start : start + length] = bytes(length)
        return bytes(blanked)


@cache
def load(name: str) -> Artifact:
    """The artifact of a contract by its name; FileNotFoundError when there is none."""
    found = json.loads((FOLDER / f"{name}.json").read_text())
    return Artifact(
        name,
        found["source"],
        found["abi"],
        bytes.fromhex(found["bytecode"][2:]),
        bytes.fromhex(found["deployedBytecode"][2:]),
        tuple((start, length) for start, length in found["immutables"]),
        found["storageLayout"],
    )


def names() -> tuple[str, ...]:
    """Every contract that has an artifact, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
