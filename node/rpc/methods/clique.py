"""clique_: who may seal, who did, and this node's votes, as geth had them (consensus/clique/api.go)."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from node.execution.executor import Interrupted
from node.primitives.block import Header, decode_block, decode_header, encode_header
from node.primitives.errors import ChainError
from node.primitives.ids import Address, Hash32, hex_of
from node.rpc.backend import ChainBackend, CliqueBackend, CliqueVote, stop_if
from node.rpc.blocks import BlockId, ByHash, NumberOrTag, Tag, find_header, read_block_id, read_number_or_tag
from node.rpc.jsonrpc import Json, RpcError
from node.rpc.method import Method, Where
from node.rpc.params import BadValue, Param, read_address, read_bool, read_data, read_hash

STATUS_BLOCKS: Final = 64
IN_TURN_DIFFICULTY: Final = 2


def methods(chain: ChainBackend, clique: CliqueBackend) -> list[Method]:
    """All nine of geth's, and two of ours."""
    api = _Clique(chain, clique)
    number, block_hash = Param(read_number_or_tag, Tag.LATEST), Param(read_hash)
    address = Param(read_address)
    read = Where.READ
    return [
        Method("clique_getSnapshot", api.snapshot, (number,), read),
        Method("clique_getSnapshotAtHash", api.snapshot_at_hash, (block_hash,), read),
        Method("clique_getSigners", api.signers, (number,), read),
        Method("clique_getSignersAtHash", api.signers_at_hash, (block_hash,), read),
        Method("clique_getSigner", api.signer, (Param(_read_block_or_rlp, Tag.LATEST),), read),
        Method("clique_status", api.status, (), Where.SCAN),
        Method("clique_proposals", api.proposals),
        Method("clique_propose", api.propose, (address, Param(read_bool)), Where.TASK),
        Method("clique_discard", api.discard, (address,), Where.TASK),
        Method("clique_getEvidence", api.evidence, (), read),
        Method("clique_getSealing", api.sealing),
    ]


class _Clique:
    def __init__(self, chain: ChainBackend, clique: CliqueBackend) -> None:
        self._chain = chain
        self._clique = clique

    def snapshot(self, _: Interrupted, block: NumberOrTag) -> Json:
        return self._snapshot_json(self._find(block))

    def snapshot_at_hash(self, _: Interrupted, block_hash: Hash32) -> Json:
        return self._snapshot_json(self._find(ByHash(block_hash)))

    def signers(self, _: Interrupted, block: NumberOrTag) -> Json:
        return self._signers_json(self._find(block))

    def signers_at_hash(self, _: Interrupted, block_hash: Hash32) -> Json:
        return self._signers_json(self._find(ByHash(block_hash)))

    def signer(self, _: Interrupted, wanted: BlockId | Header) -> Json:
        header = wanted if isinstance(wanted, Header) else self._find(wanted)
        try:
            return hex_of(self._clique.author(header))
        except ChainError as error:
            raise RpcError(str(error)) from None

    def status(self, interrupted: Interrupted) -> Json:
        """How the last blocks below the head were sealed, and by whom."""
        head = self._chain.head
        activity = Counter({hex_of(signer): 0 for signer in self._clique.state_after(head).signers})
        in_turn = count = 0
        header = self._chain.header(head.parent_hash)
        while header is not None and header.number > 0 and count < STATUS_BLOCKS:
            stop_if(interrupted)
            activity[hex_of(self._clique.author(header))] += 1
            in_turn += header.difficulty == IN_TURN_DIFFICULTY
            count += 1
            header = self._chain.header(header.parent_hash)
        return {
            "inturnPercent": 100 * in_turn / count if count else 0,
            "sealerActivity": dict(activity),
            "numBlocks": count,
        }

    def proposals(self) -> Json:
        return {hex_of(address): authorize for address, authorize in self._clique.proposals().items()}

    async def propose(self, address: Address, authorize: bool) -> Json:
        signers = self._clique.state_after(self._chain.head).signers
        if not authorize and signers == (address,):
            raise RpcError("refused: this is the only signer; without it the chain could never go on")
        await self._clique.propose(address, authorize)
        return None

    async def discard(self, address: Address) -> Json:
        await self._clique.propose(address, None)
        return None

    def evidence(self, _: Interrupted) -> Json:
        """Signers that sealed twice at one height; the RLP of both headers proves it to anybody."""
        return [
            {
                "signer": hex_of(proof.signer),
                "number": hex(proof.first.number),
                "seenAt": hex(proof.seen_s),
                "headers": [
                    {"hash": hex_of(header.hash), "rlp": hex_of(encode_header(header))}
                    for header in (proof.first, proof.second)
                ],
            }
            for proof in self._clique.evidence()
        ]

    def sealing(self) -> Json:
        """Whether this node seals and if not, why not; null where it is no validator."""
        sealing = self._clique.sealing()
        if sealing is None:
            return None
        return {
            "signer": hex_of(sealing.signer),
            "isValidator": sealing.is_validator,
            "status": sealing.status,
            "problems": list(sealing.problems),
            "sealedBlocks": sealing.sealed_blocks,
        }

    def _find(self, block: BlockId) -> Header:
        header = find_header(self._chain, block)
        if header is None:
            raise RpcError("unknown block")
        return header

    def _signers_json(self, header: Header) -> Json:
        return [hex_of(signer) for signer in self._clique.state_after(header).signers]

    def _snapshot_json(self, header: Header) -> Json:
        state = self._clique.state_after(header)
        return {
            "number": header.number,
            "hash": hex_of(header.hash),
            "signers": {hex_of(signer): {} for signer in state.signers},
            "recents": {str(number): hex_of(signer) for number, signer in sorted(state.recents.items())},
            "votes": [_vote_json(vote) for vote in state.votes],
            "tally": _tally_json(state.votes),
        }


def _vote_json(vote: CliqueVote) -> Json:
    return {
        "signer": hex_of(vote.signer),
        "block": vote.block,
        "address": hex_of(vote.address),
        "authorize": vote.authorize,
    }


def _tally_json(votes: Sequence[CliqueVote]) -> dict[str, Json]:
    """Votes that count are all for the same change: letting in who is out, or out who is in."""
    tally: dict[str, Json] = {}
    counts = Counter(vote.address for vote in votes)
    for vote in votes:
        tally[hex_of(vote.address)] = {"authorize": vote.authorize, "votes": counts[vote.address]}
    return tally


def _read_block_or_rlp(value: Any) -> BlockId | Header:
    """A block by number, tag or hash, or the RLP of a block or of a header."""
    try:
        return read_block_id(value)
    except BadValue:
        encoded = read_data(value)
    try:
        return decode_block(encoded).header
    except ChainError:
        pass
    try:
        return decode_header(encoded)
    except ChainError as error:
        raise BadValue(f"neither a block nor the RLP of a block or header: {error}") from None
