"""Making bundles and checkpoints from a node's answers. Blocking.

A bundle is verified before it is given out, so that a node that lies makes no proof. A checkpoint is
different: whoever makes one trusts the node it comes from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from consensus.clique.extra_data import listed_signers
from consensus.clique.rules import CliqueRules
from consensus.clique.snapshot import CliqueSnapshot
from consensus.validators import validators_of
from consensus.votes import Vote, votes_of
from node.light.bundle import AccountClaim, Bundle, Claim, ReceiptClaim, TransactionClaim
from node.light.checkpoint import Checkpoint
from node.light.errors import InvalidClaim
from node.light.from_json import as_bytes, as_list, as_number
from node.light.json_rpc import JsonRpc
from node.light.provider import Provider
from node.light.reads import block_of, prove_item, verify_receipts
from node.light.verifier import Trusted, attested, verify_links
from node.primitives.block import Header
from node.primitives.errors import RequestError
from node.primitives.ids import Address, Hash32, hex_of
from node.primitives.receipt import encode_receipts

BATCH: Final = 192
SNAPSHOT_BYTES_MAX: Final = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a bundle is to prove."""

    accounts: tuple[Address, ...] = ()
    slots: tuple[int, ...] = ()
    """Of each account."""
    with_code: bool = False
    transactions: tuple[Hash32, ...] = ()
    """With their receipts."""
    logs: tuple[tuple[Hash32, int], ...] = ()
    """(transaction, place of the event in its receipt)."""


def make_bundle(
    provider: Provider,
    checkpoint: Checkpoint,
    rules: CliqueRules,
    number: int,
    wanted: Wanted,
    *,
    short: bool,
    progress: Callable[[int], None] = lambda done: None,
) -> Bundle:
    """A bundle about the block with this number; still to be verified. RequestError when it cannot be had."""
    trusted = checkpoint.trusted
    if number <= trusted.header.number:
        segments = [_fetch(provider, number, trusted.header.number, progress)]
    else:
        last = _built_on(provider, number, trusted.state)
        if short:
            segments = _hops(provider, rules, trusted, number, last)
        else:
            segments = [_fetch(provider, trusted.header.number + 1, last, progress)]
    header = next(each for each in segments[-1] if each.number == number)
    return Bundle(
        checkpoint.chain_id,
        checkpoint.genesis_hash,
        tuple(tuple(segment) for segment in segments),
        header.hash,
        tuple(_claims(provider, header, wanted)),
    )


def find_block(provider: Provider, transactions: Sequence[Hash32]) -> int:
    """The number of the block that holds all these transactions; RequestError when there is none."""
    numbers = set()
    for tx_hash in transactions:
        place = provider.place(tx_hash)
        header = None if place is None else provider.header(place[0])
        if header is None:
            raise RequestError(f"transaction {hex_of(tx_hash)} is in no block of {provider.name}")
        numbers.add(header.number)
    if len(numbers) != 1:
        raise RequestError(f"the transactions are in blocks {sorted(numbers)}; a proof is about one block")
    return numbers.pop()


def make_checkpoint(rpc: JsonRpc, provider: Provider, rules: CliqueRules, number: int | None) -> Checkpoint:
    """A checkpoint by the word of a node that is trusted."""
    head = provider.head()
    header = head if number is None else provider.headers(number, 1)[0]
    (zero,) = provider.headers(0, 1)
    if header.number == 0:
        trusted = Trusted(header, rules.initial(header), header.difficulty)
    else:
        fields = rpc.call("clique_getSnapshotAtHash", [hex_of(header.hash)], SNAPSHOT_BYTES_MAX)
        block = rpc.call("eth_getBlockByHash", [hex_of(header.hash), False], rpc.bytes_max)
        total = as_number((block or {}).get("totalDifficulty"), 256)
        voters = rpc.call("clique_getSignersAtHash", [hex_of(header.parent_hash)], SNAPSHOT_BYTES_MAX)
        trusted = Trusted(header, _snapshot(fields, voters, header, rules), total)
    return Checkpoint(provider.chain_id(), zero.hash, trusted)


def _snapshot(fields: Any, voters: Any, header: Header, rules: CliqueRules) -> CliqueSnapshot:
    """geth's JSON of a snapshot; what it says of the block itself is held against the header."""
    if not isinstance(fields, dict) or as_bytes(fields.get("hash"), 32) != header.hash:
        raise InvalidClaim("the snapshot is of another block")
    signers = validators_of(Address(as_bytes(each, 20)) for each in fields.get("signers") or ())
    # Whose turn it was is told by the signers before the block, which its own vote may have changed.
    before = CliqueSnapshot(
        number=header.number - 1,
        signers=validators_of(Address(as_bytes(each, 20)) for each in as_list(voters)),
    )
    listed = fields.get("recents") or {}
    recents = sorted((int(at), Address(as_bytes(who, 20))) for at, who in listed.items())
    author = rules.author(header)
    if not recents or recents[-1] != (header.number, author):
        raise InvalidClaim("the snapshot does not end with the block's author")
    votes = votes_of(
        Vote(
            Address(as_bytes(each.get("signer"), 20)),
            Address(as_bytes(each.get("address"), 20)),
            bool(each.get("authorize")),
            int(each.get("block")),
        )
        for each in as_list(fields.get("votes") or [])
    )
    return CliqueSnapshot(
        number=header.number,
        signers=signers,
        recents=tuple(who for _, who in recents),
        votes=votes,
        author=author,
        turn_distance=before.distance(header.number, author) or 0,
    )


def _fetch(provider: Provider, first: int, last: int, progress: Callable[[int], None]) -> list[Header]:
    headers: list[Header] = []
    for start in range(first, last + 1, BATCH):
        headers += provider.headers(start, min(BATCH, last - start + 1))
        progress(len(headers))
    verify_links(headers)
    return headers


def _built_on(provider: Provider, number: int, state: CliqueSnapshot) -> int:
    """The block up to which headers are needed so that a majority has built on `number`."""
    head = provider.head().number
    last = min(head, number + 2 * len(state.signers) + 16)
    if number > head:
        raise RequestError(f"block {number} is not there yet; the head is {head}")
    return last


def _hops(
    provider: Provider, rules: CliqueRules, trusted: Trusted, number: int, last: int
) -> list[list[Header]]:
    """Segments that lead from the checkpoint's signers to the block by attestation alone."""
    signers, at = trusted.state.signers, trusted.header.number
    segments: list[list[Header]] = []
    final = provider.headers(number, last - number + 1)
    while True:
        place = attested(signers, final, rules.author)
        if place is not None:
            return [*segments, final]
        found = None
        for epoch in range(number, at, -1):
            if rules.is_checkpoint(epoch):
                run = provider.headers(epoch, min(4 * len(signers) + 8, last - epoch + 1))
                if attested(signers, run, rules.author) is not None:
                    found = run
                    break
        if found is None:
            raise RequestError(
                f"the signers trusted at block {at} do not lead to block {number} by attestation; without"
                " --short every header is put into the proof"
            )
        segments.append(found)
        signers, at = listed_signers(found[0]), found[0].number


def _claims(provider: Provider, header: Header, wanted: Wanted) -> list[Claim]:
    claims: list[Claim] = []
    if wanted.accounts:
        proofs = provider.proofs(header.hash, [(address, wanted.slots) for address in wanted.accounts])
        codes: Sequence[bytes | None] = [None] * len(proofs)
        if wanted.with_code:
            codes = provider.codes(header.hash, wanted.accounts)
        claims += [
            AccountClaim(proof.address, proof.nodes, proof.slots, code)
            for proof, code in zip(proofs, codes, strict=True)
        ]
    if not wanted.transactions and not wanted.logs:
        return claims
    block = block_of(header, provider.transactions(header))
    receipts = provider.receipts(header)
    verify_receipts(header, receipts)
    items = [tx.encoded for tx in block.transactions]
    left = encode_receipts(receipts)
    places = {tx.hash: index for index, tx in enumerate(block.transactions)}
    for tx_hash in wanted.transactions:
        index = _place(places, tx_hash, header)
        claims.append(TransactionClaim(index, prove_item(items, index)))
        claims.append(ReceiptClaim(index, prove_item(left, index)))
    for tx_hash, log in wanted.logs:
        index = _place(places, tx_hash, header)
        claims.append(TransactionClaim(index, prove_item(items, index)))
        claims.append(ReceiptClaim(index, prove_item(left, index), log))
    return claims


def _place(places: dict[Hash32, int], tx_hash: Hash32, header: Header) -> int:
    index = places.get(tx_hash)
    if index is None:
        raise RequestError(f"transaction {hex_of(tx_hash)} is not in block {header.ref}")
    return index
