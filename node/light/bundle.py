"""A proof that needs no node: one file, checked years later with nothing but a checkpoint. Pure.

    "phoenix-proof/1\\n" ‖ zlib of RLP [chain id, genesis hash, segments, block hash, claims]
    segments   lists of linked headers; the block is in the last one
    claims     [kind, ...]: account, code, transaction, receipt, log, each with the nodes of its trie

How the block is tied to the checkpoint, whichever the file holds:
- *below*: linked headers from the block up to the checkpoint. Hashes alone prove it: nothing else is trusted.
- *whole*: every header from the checkpoint up to the block, each judged by all rules of Clique.
- *attested*: a run of seals by more than half of the signers known at the checkpoint; where they have
  changed since, epoch headers so attested lead from set to set (`verifier.attested` has the argument).
Above the checkpoint the block must moreover have been built on by more than half of its signers: one
dishonest signer can seal a header over a state that never was, but honest ones do not build on it.
"""

import zlib
from dataclasses import dataclass
from typing import Any, Final

from consensus.clique.extra_data import listed_signers
from consensus.clique.rules import CliqueRules
from node.light.checkpoint import Checkpoint
from node.light.errors import Inconsistent, InvalidClaim
from node.light.reads import account_of, item_of, slot_of, verify_code
from node.light.verifier import attested, verify_links, verify_next
from node.primitives import rlp
from node.primitives.block import Header, decode_header, encode_header
from node.primitives.chain_spec import ChainSpec
from node.primitives.ids import Address, Hash32, hex_of
from node.primitives.receipt import Log, decode_receipt
from node.primitives.state import EMPTY_ACCOUNT
from node.primitives.transaction import decode_transaction

MAGIC: Final = b"phoenix-proof/1\n"
INFLATED_BYTES_MAX: Final = 1 << 30
CLAIMS_MAX: Final = 10_000


class InvalidBundle(InvalidClaim):
    """A file that proves nothing, with the place where it fails."""


@dataclass(frozen=True, slots=True)
class AccountClaim:
    """An account, and slots of it."""

    address: Address
    nodes: tuple[bytes, ...]
    slots: tuple[tuple[int, tuple[bytes, ...]], ...] = ()
    code: bytes | None = None


@dataclass(frozen=True, slots=True)
class TransactionClaim:
    """A transaction at its place."""

    index: int
    nodes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ReceiptClaim:
    """A receipt, or one event of it."""

    index: int
    nodes: tuple[bytes, ...]
    log: int | None = None
    """Place of the event among those of the transaction."""


Claim = AccountClaim | TransactionClaim | ReceiptClaim


@dataclass(frozen=True, slots=True)
class Bundle:
    """What the file holds."""

    chain_id: int
    genesis_hash: Hash32
    segments: tuple[tuple[Header, ...], ...]
    block_hash: Hash32
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Proved:
    """What a bundle proves."""

    header: Header
    how: str
    """How the block hangs on the checkpoint, in words."""
    facts: tuple[dict[str, Any], ...]
    """One for each claim."""


def encode_bundle(bundle: Bundle) -> bytes:
    """The file's bytes."""
    segments = [[encode_header(header) for header in segment] for segment in bundle.segments]
    claims: list[rlp.Encodable] = [_encode_claim(claim) for claim in bundle.claims]
    fields: list[rlp.Encodable] = [
        bundle.chain_id,
        bundle.genesis_hash,
        segments,
        bundle.block_hash,
        claims,
    ]
    return MAGIC + zlib.compress(rlp.encode(fields), 6)


def decode_bundle(raw: bytes) -> Bundle:
    """Inverse of encode_bundle; InvalidBundle or RlpError for anything else."""
    if not raw.startswith(MAGIC):
        raise InvalidBundle(f"this is no proof: it does not begin with {MAGIC.decode().strip()!r}")
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(raw[len(MAGIC) :], INFLATED_BYTES_MAX)
    except zlib.error as error:
        raise InvalidBundle(f"the proof is damaged: {error}") from error
    if not inflater.eof:
        raise InvalidBundle("the proof is cut short, or larger than any proof is")
    chain_id, genesis_hash, segments, block_hash, claims = rlp.as_list(rlp.decode(inflated), 5)
    items = rlp.as_list(claims)
    if len(items) > CLAIMS_MAX:
        raise InvalidBundle(f"{len(items)} claims; at most {CLAIMS_MAX}")
    return Bundle(
        rlp.as_uint(chain_id, 64),
        Hash32(rlp.as_bytes(genesis_hash, 32)),
        tuple(
            tuple(decode_header(rlp.as_bytes(header)) for header in rlp.as_list(segment))
            for segment in rlp.as_list(segments)
        ),
        Hash32(rlp.as_bytes(block_hash, 32)),
        tuple(_decode_claim(item) for item in items),
    )


def verify_bundle(bundle: Bundle, checkpoint: Checkpoint, spec: ChainSpec, rules: CliqueRules) -> Proved:
    """What the bundle proves to who trusts the checkpoint; a ChainError says what it fails to."""
    if (bundle.chain_id, bundle.genesis_hash) != (checkpoint.chain_id, checkpoint.genesis_hash):
        raise InvalidBundle(
            f"the proof is of chain {bundle.chain_id}, genesis {hex_of(bundle.genesis_hash)}; the"
            f" checkpoint of chain {checkpoint.chain_id}, genesis {hex_of(checkpoint.genesis_hash)}"
        )
    for segment in bundle.segments:
        if not segment:
            raise InvalidBundle("a segment without headers")
        try:
            verify_links(segment)
        except Inconsistent as error:
            raise InvalidBundle(str(error)) from error
    if not bundle.segments:
        raise InvalidBundle("no headers")
    header = next((each for each in bundle.segments[-1] if each.hash == bundle.block_hash), None)
    if header is None:
        raise InvalidBundle("the block is not among the headers")
    how = _tie(bundle, header, checkpoint, spec, rules)
    return Proved(header, how, tuple(_fact(header, claim) for claim in bundle.claims))


def _tie(bundle: Bundle, header: Header, checkpoint: Checkpoint, spec: ChainSpec, rules: CliqueRules) -> str:
    trusted = checkpoint.trusted
    segment = bundle.segments[-1]
    if segment[-1].hash == trusted.header.hash and len(bundle.segments) == 1:
        return f"linked by hashes to the checkpoint {trusted.header.number - header.number} blocks above it"
    if segment[0].parent_hash == trusted.header.hash and len(bundle.segments) == 1:
        at = trusted
        for each in segment:
            at = verify_next(spec, rules, at, each, now=float("inf"))
            if each.hash == header.hash:
                signers = at.state.signers
        place = attested(signers, segment, rules.author)
        if place is None or segment[place].number < header.number:
            raise InvalidBundle(
                "too few signers have built on the block; make the proof again a little later"
            )
        return (
            f"all {len(segment)} headers from the checkpoint on verified, and a majority built on the block"
        )
    return _attest(bundle, header, checkpoint, rules)


def _attest(bundle: Bundle, header: Header, checkpoint: Checkpoint, rules: CliqueRules) -> str:
    signers = checkpoint.trusted.state.signers
    number = checkpoint.trusted.header.number
    for hop, segment in enumerate(bundle.segments, start=1):
        is_last = hop == len(bundle.segments)
        place = attested(signers, segment, rules.author)
        wanted = header.number if is_last else segment[0].number
        if segment[0].number <= number or place is None or segment[place].number < wanted:
            raise InvalidBundle(
                f"hop {hop}: the seals from block {segment[0].number} on are not by more than half of the"
                f" {len(signers)} signers trusted until then; was the proof made for another checkpoint?"
                " If not, make it without --short"
            )
        if not is_last:
            if not rules.is_checkpoint(segment[0].number):
                raise InvalidBundle(f"hop {hop}: block {segment[0].number} does not list the signers")
            signers, number = listed_signers(segment[0]), segment[0].number
    return f"attested by seals of more than half of the trusted signers, in {len(bundle.segments)} hops"


def _fact(header: Header, claim: Claim) -> dict[str, Any]:
    match claim:
        case AccountClaim():
            return _account_fact(header, claim)
        case TransactionClaim(index, nodes):
            tx = decode_transaction(item_of(header.transactions_root, index, nodes))
            return {
                "kind": "transaction",
                "hash": hex_of(tx.hash),
                "index": index,
                "from": hex_of(tx.sender),
                "to": None if tx.to is None else hex_of(tx.to),
                "value": tx.value,
                "nonce": tx.nonce,
                "input": hex_of(tx.data),
            }
        case ReceiptClaim(index, nodes, log):
            receipt = decode_receipt(item_of(header.receipts_root, index, nodes))
            if log is None:
                return {
                    "kind": "receipt",
                    "index": index,
                    "succeeded": receipt.succeeded,
                    "cumulative gas used": receipt.cumulative_gas_used,
                    "logs": [_log_fact(each) for each in receipt.logs],
                }
            if log >= len(receipt.logs):
                raise InvalidBundle(f"receipt {index} has {len(receipt.logs)} logs, and no log {log}")
            return {"kind": "log", "index": index, "log": log} | _log_fact(receipt.logs[log])


def _account_fact(header: Header, claim: AccountClaim) -> dict[str, Any]:
    proved = account_of(header.state_root, claim.address, claim.nodes)
    account = proved.account or EMPTY_ACCOUNT
    fact: dict[str, Any] = {
        "kind": "account",
        "address": hex_of(claim.address),
        "exists": proved.account is not None,
        "nonce": account.nonce,
        "balance": account.balance,
        "code hash": hex_of(account.code_hash),
        "storage": {
            hex(slot): f"0x{slot_of(proved.storage_root, slot, nodes):064x}" for slot, nodes in claim.slots
        },
    }
    if claim.code is not None:
        verify_code(account.code_hash, claim.code)
        fact["code"] = hex_of(claim.code)
    return fact


def _log_fact(log: Log) -> dict[str, Any]:
    return {
        "address": hex_of(log.address),
        "topics": [hex_of(topic) for topic in log.topics],
        "data": hex_of(log.data),
    }


def _encode_claim(claim: Claim) -> rlp.Encodable:
    match claim:
        case AccountClaim(address, nodes, slots, code):
            listed: list[rlp.Encodable] = [[slot, proof] for slot, proof in slots]
            return [b"account", address, nodes, listed, [] if code is None else [code]]
        case TransactionClaim(index, nodes):
            return [b"transaction", index, nodes]
        case ReceiptClaim(index, nodes, log):
            return [b"receipt", index, nodes] if log is None else [b"log", index, nodes, log]


def _decode_claim(item: rlp.Item) -> Claim:
    fields = rlp.as_list(item)
    kind, rest = rlp.as_bytes(fields[0]) if fields else b"", fields[1:]
    if kind == b"account" and len(rest) == 4:
        slots = tuple(
            (rlp.as_uint(rlp.as_list(each, 2)[0], 256), _nodes(rlp.as_list(each, 2)[1]))
            for each in rlp.as_list(rest[2])
        )
        codes = [rlp.as_bytes(code) for code in rlp.as_list(rest[3])]
        return AccountClaim(
            Address(rlp.as_bytes(rest[0], 20)), _nodes(rest[1]), slots, codes[0] if codes else None
        )
    if kind == b"transaction" and len(rest) == 2:
        return TransactionClaim(rlp.as_uint(rest[0], 32), _nodes(rest[1]))
    if kind == b"receipt" and len(rest) == 2:
        return ReceiptClaim(rlp.as_uint(rest[0], 32), _nodes(rest[1]))
    if kind == b"log" and len(rest) == 3:
        return ReceiptClaim(rlp.as_uint(rest[0], 32), _nodes(rest[1]), rlp.as_uint(rest[2], 32))
    raise InvalidBundle(f"a claim of kind {kind[:20]!r} with {len(rest)} parts")


def _nodes(item: rlp.Item) -> tuple[bytes, ...]:
    return tuple(rlp.as_bytes(node) for node in rlp.as_list(item))
