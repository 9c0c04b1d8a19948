"""The chain holds the hash of every archived file: one anchor of the AuditLog contract for each, in order.

The log of an archive node is named after the account that writes it; somebody with the role AUDITOR opens it
once (`openLog`). What is anchored is read from the chain every time, so a reorganisation that takes an anchor
away is mended by the next look. Beside each file stands a proof that its hash is in the tree that the chain
anchors. Worker threads only: a call may wait for minutes.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from eth_abi import abi as codec

from node.archive.errors import ArchiveFailed
from node.archive.files import ArchivedFile
from node.archive.log import consistency, inclusion, root
from node.primitives.crypto import PrivateKey, keccak256
from node.primitives.ids import Address, Hash32, hex_of

if TYPE_CHECKING:
    from contracts.rpc_chain import RpcChain

NOBODY: Final = "0x" + "00" * 20
READER_KEY: Final = "00" * 31 + "01"
"""Signs nothing: the account that only reads."""


def log_name(writer: Address) -> Hash32:
    """The log of an archive node's account."""
    return keccak256(b"phoenix archive\n" + writer)


class AuditLogCalls:
    """AuditLog through a node's JSON-RPC; a context manager that closes the connection. ArchiveFailed."""

    def __init__(self, url: str, contract: str, private_key: str = READER_KEY) -> None:
        self._url, self._contract, self._key = url, contract, private_key
        self._chain: RpcChain | None = None

    def __enter__(self) -> "AuditLogCalls":
        # web3 is a second of a node's start and 60 MB: only who anchors pays for it.
        from contracts.rpc_chain import RpcChain

        with self._failures():
            self._chain = RpcChain(self._url, self._key)
        return self

    def __exit__(self, *_: object) -> None:
        if self._chain is not None:
            self._chain.close()

    def writer_of(self, log: Hash32) -> str:
        """Who anchors the log; NOBODY while it is not open."""
        return str(self._read("writerOf(bytes32)", ["address"], log)[0])

    def count(self, log: Hash32) -> int:
        """How many anchors it has."""
        return int(self._read("anchorCount(bytes32)", ["uint256"], log)[0])

    def anchor_at(self, log: Hash32, number: int) -> tuple[int, bytes]:
        """Size and root of an anchor."""
        kinds = ["bytes32", "bytes32", "uint64", "uint64"]
        found, _, size, _ = self._read("anchorAt(bytes32,uint256)", kinds, log, number)
        return int(size), bytes(found)

    def anchor(self, log: Hash32, size: int, top: Hash32, document: Hash32, proof: Sequence[Hash32]) -> None:
        """Put an anchor into a block, signed by the log's writer."""
        data = call_data("anchor(bytes32,uint64,bytes32,bytes32,bytes32[])", log, size, top, document, proof)
        with self._failures():
            self._open.send([(self._contract, data)])

    @property
    def _open(self) -> "RpcChain":
        assert self._chain is not None, "use it as a context manager"
        return self._chain

    def _read(self, signature: str, kinds: list[str], *arguments: Any) -> tuple[Any, ...]:
        with self._failures():
            answer = self._open.call(self._contract, call_data(signature, *arguments))
            if not answer:
                raise ArchiveFailed(f"{self._contract} does not answer {signature}: it is no AuditLog")
            return tuple(codec.decode(kinds, answer))

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """All that can go wrong between us and the contract is one kind of failure: try again later."""
        from contracts.deploy import DeployFailed

        try:
            yield
        except (DeployFailed, OSError, ValueError) as error:
            raise ArchiveFailed(f"AuditLog through {self._url}: {error}") from error


class Anchors:
    """The log of one account on one chain."""

    def __init__(self, url: str, contract: Callable[[], str], key: PrivateKey) -> None:
        """`contract` gives AuditLog's address, or raises ArchiveFailed while it is not known."""
        self._url = url
        self._contract = contract
        self._key = key
        self.log = log_name(key.address)

    def count(self) -> int:
        """How many files are anchored. ArchiveFailed with what is missing."""
        contract = self._contract()
        with AuditLogCalls(self._url, contract) as calls:
            if calls.writer_of(self.log) == NOBODY:
                raise ArchiveFailed(
                    f"the log {hex_of(self.log)} is not open in AuditLog {contract}: whoever has the role "
                    f"AUDITOR opens it with openLog({hex_of(self.log)}, {hex_of(self._key.address)})"
                )
            return calls.count(self.log)

    def anchor(self, files: Sequence[ArchivedFile], number: int) -> None:
        """Anchor file `number`, when those before it are; on return it is in a block."""
        entries = _entries(files, number)
        digest = files[number].manifest.digest
        with AuditLogCalls(self._url, self._contract(), self._key.secret_bytes().hex()) as calls:
            calls.anchor(self.log, len(entries), root(entries), digest, consistency(entries, number))

    def check(self, files: Sequence[ArchivedFile], number: int) -> None:
        """ArchiveFailed unless the chain's anchor `number` is that of our files up to this one."""
        entries = _entries(files, number)
        with AuditLogCalls(self._url, self._contract()) as calls:
            size, held = calls.anchor_at(self.log, number)
        if (size, held) != (len(entries), root(entries)):
            raise ArchiveFailed(
                f"the chain's anchor {number} of log {hex_of(self.log)} is of {size} files with root "
                f"{hex_of(held)}, but {files[number].path.name} and those before it have "
                f"{hex_of(root(entries))}: files were altered, or another archive writes to this log"
            )

    def receipt(self, files: Sequence[ArchivedFile], number: int) -> bytes:
        """What stands beside an anchored file: where the chain holds its hash, and the proof of it."""
        entries = _entries(files, number)
        members: dict[str, Any] = {
            "chain_id": files[number].manifest.chain_id,
            "contract": self._contract(),
            "log": hex_of(self.log),
            "writer": hex_of(self._key.address),
            "anchor": number,
            "size": len(entries),
            "root": hex_of(root(entries)),
            "entry": files[number].manifest.sha256.hex(),
            "proof": [hex_of(each) for each in inclusion(entries, number)],
        }
        return json.dumps(members, indent=2).encode() + b"\n"


def _entries(files: Sequence[ArchivedFile], number: int) -> list[bytes]:
    return [bytes(file.manifest.sha256) for file in files[: number + 1]]


def call_data(signature: str, *arguments: Any) -> bytes:
    """What a transaction or call to a contract carries."""
    kinds = signature[signature.index("(") + 1 : -1].split(",")
    return bytes(keccak256(signature.encode())[:4]) + codec.encode(kinds, arguments)
