"""What archived files are held against: a chain behind a URL, a chain on this machine's disk, or one hash.

A file whose last block is the chain's proves all its blocks, because each header names its parent's hash. A
trusted hash proves the block that has it and everything before it, as far as the files reach without a gap;
blocks after it rest on their seals alone, and that is said.
"""

import http.client
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from node.archive.anchor import AuditLogCalls
from node.archive.errors import ArchiveFailed, BadFile
from node.archive.files import ArchivedFile, breaks
from node.archive.log import includes
from node.archive.verify import Verified, verify_file
from node.primitives.chain_spec import ChainSpec
from node.primitives.errors import RequestError
from node.primitives.ids import Address, BlockNumber, Hash32, hex_of

REQUEST_TIMEOUT_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 4 << 20


class Witness(Protocol):
    """A chain that is believed."""

    name: str
    """For people."""

    def hash_at(self, number: BlockNumber) -> Hash32 | None:
        """Hash of its block at a number; None where it has none."""
        ...


class RpcWitness:
    """A node's JSON-RPC. ArchiveFailed when it does not answer."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise RequestError(f"{url} is no http:// or https:// URL")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.name = url
        self._connection = kind(parts.hostname, parts.port, timeout=REQUEST_TIMEOUT_S)
        self._path = parts.path or "/"
        self._ids = count(1)

    def hash_at(self, number: BlockNumber) -> Hash32 | None:
        """See Witness."""
        block = self._ask("eth_getBlockByNumber", hex(number), False)
        try:
            return None if block is None else Hash32(bytes.fromhex(block["hash"][2:]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArchiveFailed(f"{self.name}: answers no block to eth_getBlockByNumber") from error

    def head(self) -> BlockNumber:
        """The last block's number."""
        return int(self._ask("eth_blockNumber"), 16)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _ask(self, method: str, *params: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            headers = {"Content-Type": "application/json"}
            self._connection.request("POST", self._path, json.dumps(request), headers)
            reply = json.loads(self._connection.getresponse().read(ANSWER_BYTES_MAX))
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            raise ArchiveFailed(f"{self.name}: {error or type(error).__name__}") from error
        if not isinstance(reply, dict) or "result" not in reply:
            raise ArchiveFailed(f"{self.name}: {method}: {reply}")
        return reply["result"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beliefs:
    """What the reader believes; whatever is None is not asked for."""

    spec: ChainSpec | None = None
    genesis: Hash32 | None = None
    chain: Witness | None = None
    trusted: Hash32 | None = None
    signer: Address | None = None
    """Who must have signed the manifests."""
    audit_log: tuple[str, str] | None = None
    """(URL, address of AuditLog): every file must be anchored there."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was proved, or why it was not asked."""

    what: str
    detail: str


Report = Callable[[str, int, int], None]
"""Name of the file, blocks done in it, blocks in it."""


def prove_files(
    files: Sequence[ArchivedFile], beliefs: Beliefs, report: Report = lambda name, done, total: None
) -> list[Finding]:
    """Prove every file, and all of them against what is believed; BadFile names file and cause."""
    gaps = list(breaks(files))
    if gaps and beliefs.trusted is not None:
        raise BadFile(f"{gaps[0]}; what lies before a gap cannot be proved by a hash behind it")
    proved: list[Verified] = []
    for file in files:
        before = proved[-1] if proved else None
        name, manifest = file.path.name, file.manifest
        follows = before is not None and before.link.header.number + 1 == manifest.first.number
        try:
            _check_beliefs(file, beliefs)
            proved.append(
                verify_file(
                    manifest,
                    file.content(),
                    spec=beliefs.spec,
                    before=before.link if before is not None and follows else None,
                    progress=lambda done, total, name=name: report(name, done, total),  # type: ignore[misc]
                )
            )
        except BadFile as error:
            raise BadFile(f"{name}: {error}") from error
    return [*_of_files(files, proved, gaps, beliefs), *_of_beliefs(files, proved, beliefs)]


def _check_beliefs(file: ArchivedFile, beliefs: Beliefs) -> None:
    """What can be told before the file is read."""
    manifest = file.manifest
    if beliefs.signer is not None and file.signed.signer != beliefs.signer:
        raise BadFile(f"signed by {hex_of(file.signed.signer)}, not by {hex_of(beliefs.signer)}")
    if beliefs.genesis is not None and manifest.genesis != beliefs.genesis:
        raise BadFile(
            f"of the chain of genesis {hex_of(manifest.genesis)}; the one given is {hex_of(beliefs.genesis)}"
        )
    if beliefs.spec is not None and (manifest.period_s, manifest.epoch_blocks) != (
        beliefs.spec.engine.period_s,
        beliefs.spec.engine.epoch_blocks,
    ):
        raise BadFile("says another Clique period or epoch than the genesis file")


def _of_files(
    files: Sequence[ArchivedFile], proved: Sequence[Verified], gaps: Sequence[str], beliefs: Beliefs
) -> list[Finding]:
    manifests = [each.manifest for each in proved]
    blocks, transactions = sum(m.blocks for m in manifests), sum(m.transactions for m in manifests)
    signers = sorted({hex_of(file.signed.signer) for file in files})
    origin = "block 0" if manifests[0].first.number == 0 else "the first manifest"
    rules = "and every header by the rules of the genesis file" if beliefs.spec else "genesis file not given"
    return [
        Finding(
            "files", f"{len(files)}, blocks #{manifests[0].first.number} to #{manifests[-1].last.number}"
        ),
        Finding("blocks", f"{blocks} with {transactions} transactions: every body and receipt has its root"),
        Finding("accumulators", f"{len(files)} recomputed; checksums and indexes hold"),
        Finding("seals", f"{blocks} by Clique's rules from the signers of {origin}; {rules}"),
        Finding("manifests", f"signed by {', '.join(signers)}"),
        *(Finding("gap", text) for text in gaps),
    ]


def _of_beliefs(files: Sequence[ArchivedFile], proved: Sequence[Verified], beliefs: Beliefs) -> list[Finding]:
    found = []
    if beliefs.chain is not None:
        found.append(_against_chain(proved, beliefs.chain))
    if beliefs.trusted is not None:
        found.append(_against_hash(proved, beliefs.trusted))
    if beliefs.audit_log is not None:
        found.append(_against_anchors(files, *beliefs.audit_log))
    return found


def _against_chain(proved: Sequence[Verified], chain: Witness) -> Finding:
    for each in proved:
        last = each.manifest.last
        held = chain.hash_at(last.number)
        if held != last.hash:
            has = f"{chain.name} has {'no such block' if held is None else hex_of(held) + ' there'}"
            raise BadFile(f"{each.manifest.file}: ends with #{last.number} {hex_of(last.hash)}, but {has}")
    return Finding("chain", f"the last block of every file is that of {chain.name}")


def _against_hash(proved: Sequence[Verified], trusted: Hash32) -> Finding:
    for each in proved:
        if trusted in each.hashes:
            number = each.manifest.first.number + each.hashes.index(trusted)
            first, last = proved[0].manifest.first.number, proved[-1].manifest.last.number
            rest = "" if number == last else f"; #{number + 1} to #{last} by their seals alone"
            return Finding("trusted hash", f"is block #{number}: proves #{first} to #{number}{rest}")
    raise BadFile(f"no block of the files has the trusted hash {hex_of(trusted)}")


def _against_anchors(files: Sequence[ArchivedFile], url: str, contract: str) -> Finding:
    logs = set()
    with AuditLogCalls(url, contract) as calls:
        for file in files:
            beside = file.read_anchor()
            if beside is None:
                raise BadFile(f"{file.path.name}: no {file.anchor_path.name} beside it: not anchored")
            try:
                log, number = Hash32(bytes.fromhex(beside["log"][2:])), int(beside["anchor"])
                proof = [bytes.fromhex(each[2:]) for each in beside["proof"]]
            except (KeyError, TypeError, ValueError) as error:
                raise BadFile(f"{file.anchor_path.name}: cannot be read: {error}") from error
            if not 0 <= number < calls.count(log):
                raise BadFile(f"{file.path.name}: the chain has no anchor {number} in log {hex_of(log)}")
            size, root = calls.anchor_at(log, number)
            entry = bytes(file.manifest.sha256)
            if not includes(Hash32(root), size, entry, number, proof):
                raise BadFile(
                    f"{file.path.name}: its SHA-256 is not entry {number} of log {hex_of(log)} as the chain "
                    f"anchors it, with root {hex_of(root)}"
                )
            logs.add(f"log {hex_of(log)} by {calls.writer_of(log)}")
    return Finding("anchors", f"{len(files)} in {contract}: {', '.join(sorted(logs))}")
