"""clique_: what geth's API showed, on a real chain with votes."""

from typing import Any

import pytest

from consensus.clique.evidence import verify_evidence
from node.chain.evidence import EvidenceBook
from node.primitives.block import decode_header, encode_block, encode_header
from node.storage.memory import MemoryKV
from tests.chain.harness import KEYS, ChainMaker, make_spec
from tests.rpc.client import HttpClient
from tests.rpc.node import TestNode, running_node

SIGNERS = ["0x" + key.address.hex() for key in KEYS[:3]]
STRANGER = KEYS[5].address


@pytest.fixture
def maker() -> ChainMaker:
    """Three signers; block 2 votes for a stranger, block 5 as well."""
    maker = ChainMaker(make_spec(KEYS[:3]))
    for number in range(1, 7):
        maker.extend(vote=(STRANGER, True) if number in (2, 5) else None)
    return maker


async def result(node: TestNode, method: str, *params: Any) -> Any:
    client: HttpClient = await node.place.http()
    return await client.result(method, *params)


async def test_snapshots_before_and_after_a_vote_passes(maker: ChainMaker) -> None:
    async with running_node(maker) as node:
        reader = node.chain.reader
        snapshot = await result(node, "clique_getSnapshot", "0x2")
        assert snapshot == {
            "number": 2,
            "hash": "0x" + reader.canonical_hash(2).hex(),  # type: ignore[union-attr]
            "signers": {signer: {} for signer in SIGNERS},
            "recents": {
                str(number): "0x" + reader.author_of(reader.header_by_number(number)).hex()  # type: ignore[arg-type]
                for number in (1, 2)
            },
            "votes": [
                {
                    "signer": "0x" + reader.author_of(reader.header_by_number(2)).hex(),  # type: ignore[arg-type]
                    "block": 2,
                    "address": "0x" + STRANGER.hex(),
                    "authorize": True,
                }
            ],
            "tally": {"0x" + STRANGER.hex(): {"authorize": True, "votes": 1}},
        }
        by_hash = await result(node, "clique_getSnapshotAtHash", snapshot["hash"])
        assert by_hash == snapshot


async def test_signers(maker: ChainMaker) -> None:
    async with running_node(maker) as node:
        assert await result(node, "clique_getSigners", "0x0") == SIGNERS
        now = await result(node, "clique_getSigners")
        hashed = "0x" + node.chain.reader.head.hash.hex()
        assert await result(node, "clique_getSignersAtHash", hashed) == now
        assert len(now) in (3, 4)


async def test_who_sealed_a_block_named_in_any_way(maker: ChainMaker) -> None:
    async with running_node(maker) as node:
        reader = node.chain.reader
        block = reader.block_by_number(3)
        assert block is not None
        author = "0x" + reader.author_of(block.header).hex()
        for name in (
            "0x3",
            "0x" + block.hash.hex(),
            {"blockHash": "0x" + block.hash.hex()},
            "0x" + encode_header(block.header).hex(),
            "0x" + encode_block(block).hex(),
        ):
            assert await result(node, "clique_getSigner", name) == author
        client = await node.place.http()
        assert "error" in await client.call("clique_getSigner", "0x0")
        assert "error" in await client.call("clique_getSigner", "0xc0")


async def test_status_counts_who_sealed(maker: ChainMaker) -> None:
    async with running_node(maker) as node:
        status = await result(node, "clique_status")
        assert status["numBlocks"] == 5
        assert sum(status["sealerActivity"].values()) == 5
        assert status["inturnPercent"] == 100


async def test_a_node_that_does_not_seal_has_no_vote(maker: ChainMaker) -> None:
    async with running_node(maker) as node:
        client = await node.place.http()
        assert await client.result("clique_proposals") == {}
        error = (await client.call("clique_propose", SIGNERS[0], False))["error"]
        assert "no vote" in error["message"]


async def test_an_unknown_block_is_an_error(maker: ChainMaker) -> None:
    async with running_node(maker) as node:
        client = await node.place.http()
        assert (await client.call("clique_getSnapshot", "0x99"))["error"]["message"] == "unknown block"


async def test_evidence_is_told_with_what_proves_it(maker: ChainMaker) -> None:
    book = EvidenceBook(MemoryKV(), maker.reader)
    one, other = (maker.unimported(maker.head, vanity=vanity).header for vanity in (b"one", b"other"))
    proof = book.take(one, other)
    assert proof is not None
    async with running_node(maker, evidence=book) as node:
        (told,) = await result(node, "clique_getEvidence")
        assert await result(node, "clique_getSealing") is None, "this node is no validator"
    assert (told["signer"], told["number"]) == ("0x" + proof.signer.hex(), hex(one.number))
    headers = [decode_header(bytes.fromhex(each["rlp"][2:])) for each in told["headers"]]
    assert verify_evidence(*headers) == proof
