"""Packets of eth/68 against published bytes; bounds on everything."""

from typing import Any

import pytest

from node.primitives import rlp
from node.primitives.block import Block, BlockRef
from node.primitives.errors import ChainError
from node.primitives.ids import Hash32
from p2p.errors import MalformedMessage
from p2p.eth import messages
from p2p.eth.messages import (
    ETH68,
    BlockBodies,
    BlockHeaders,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    Message,
    NewBlock,
    NewBlockHashes,
    NewPooledTransactionHashes,
    PooledTransactions,
    Receipts,
    Transactions,
    decode_message,
    encode_message,
)
from tests.vectors import load_json, require

CODES = {codec.type.__name__: code for code, codec in ETH68.codecs.items()}
HASH_A, HASH_B = Hash32(b"\xaa" * 32), Hash32(b"\xbb" * 32)


def vectors() -> Any:
    return load_json(require("devp2p/eth66_messages.json"))


def named(packet: str) -> list[bytes]:
    """The published bytes of a packet (ReceiptsRLPPacket and ReceiptsPacket are one on the wire)."""
    entries = [
        entry for entry in vectors()["messages"] if entry["packet"].replace("RLP", "") == packet + "Packet"
    ]
    return [bytes.fromhex(entry["rlp"][2:]) for entry in entries]


@pytest.mark.parametrize(
    "packet",
    [
        "GetBlockHeaders",
        "BlockHeaders",
        "GetBlockBodies",
        "BlockBodies",
        "GetReceipts",
        "Receipts",
        "GetPooledTransactions",
        "PooledTransactions",
    ],
)
def test_published_packets_are_read_and_written(packet: str) -> None:
    encodings = named(packet)
    assert encodings
    for encoded in encodings:
        message = decode_message(CODES[packet], encoded)
        assert type(message).__name__ == packet
        assert message.request_id == 1111  # type: ignore[union-attr]
        assert encode_message(message) == (CODES[packet], encoded)


@pytest.mark.parametrize("kind", [BlockHeaders, GetBlockBodies, BlockBodies, GetReceipts, Receipts])
def test_published_empty_packets_are_read_and_written(kind: type[Any]) -> None:
    encoded = bytes.fromhex(vectors()["empty_list_messages"][2:])
    assert decode_message(CODES[kind.__name__], encoded) == kind(1111, ())
    assert encode_message(kind(1111, ()))[1] == encoded


def test_published_header_queries_mean_what_they_say() -> None:
    by_hash, by_number = (
        decode_message(CODES["GetBlockHeaders"], encoded) for encoded in named("GetBlockHeaders")
    )
    assert by_hash == GetBlockHeaders(1111, Hash32(bytes(28) + bytes.fromhex("deadc0de")), 5, 5, False)
    assert by_number == GetBlockHeaders(1111, 9999, 5, 5, False)


def published_block() -> tuple[Any, Any]:
    headers = decode_message(CODES["BlockHeaders"], named("BlockHeaders")[0])
    bodies = decode_message(CODES["BlockBodies"], named("BlockBodies")[0])
    assert isinstance(headers, BlockHeaders)
    assert isinstance(bodies, BlockBodies)
    return headers.headers[0], bodies.bodies[0]


def test_blocks_and_transactions_survive_the_wire() -> None:
    header, body = published_block()
    for message in (NewBlock(Block(header, body), 1 << 200), Transactions(body.transactions)):
        code, payload = encode_message(message)
        assert decode_message(code, payload) == message


ANNOUNCEMENTS: list[Message] = [
    NewBlockHashes(()),
    NewBlockHashes((BlockRef(7, HASH_A), BlockRef(1 << 60, HASH_B))),
    Transactions(()),
    NewPooledTransactionHashes(b"", (), ()),
    NewPooledTransactionHashes(b"\x00\x02", (111, 1 << 20), (HASH_A, HASH_B)),
    GetBlockHeaders(0, HASH_A, 0),
    GetBlockHeaders((1 << 64) - 1, 0, 1 << 63, 1 << 63, True),
    GetPooledTransactions(5, (HASH_A,)),
    PooledTransactions(5, ()),
]


@pytest.mark.parametrize("message", ANNOUNCEMENTS, ids=lambda message: type(message).__name__)
def test_messages_survive_the_wire(message: Message) -> None:
    assert decode_message(*encode_message(message)) == message


def test_pooled_hashes_are_three_columns() -> None:
    """eth/68 (EIP-5793): [types as one string, [size, ...], [hash, ...]]."""
    message = NewPooledTransactionHashes(b"\x00\x02", (1, 500), (HASH_A, HASH_B))
    assert encode_message(message) == (0x08, rlp.encode([b"\x00\x02", [1, 500], [HASH_A, HASH_B]]))


@pytest.mark.parametrize(
    ("code", "contents"),
    [
        (0x01, [[HASH_A, 1, 2]]),
        (0x01, [[HASH_A[:31], 1]]),
        (0x01, [[HASH_A, 1 << 64]]),
        (0x01, b"\x01"),
        (0x02, [b""]),
        (0x02, [[1, 2, 3]]),
        (0x02, [b"\x03\xc0"]),
        (0x03, [1, [0, 1, 2]]),
        (0x03, [1, [0, 1, 2, 2]]),
        (0x03, [1, [HASH_A[:31], 1, 0, 0]]),
        (0x03, [1, [0, 1 << 64, 0, 0]]),
        (0x03, [1 << 64, [0, 1, 0, 0]]),
        (0x03, [0, 1, 0, 0]),
        (0x04, [1]),
        (0x04, [1, [[b""]]]),
        (0x05, [1, [HASH_A, HASH_A[:30]]]),
        (0x05, [1, [HASH_A], []]),
        (0x06, [1, [[]]]),
        (0x06, [1, [[[], [], []]]]),
        (0x07, [[[], [], []], 1]),
        (0x07, []),
        (0x08, [HASH_A, HASH_B]),
        (0x08, [b"\x00", [1, 2], [HASH_A, HASH_B]]),
        (0x08, [b"\x00\x00", [1], [HASH_A, HASH_B]]),
        (0x08, [b"\x00", [1 << 32], [HASH_A]]),
        (0x08, [[0], [1], [HASH_A]]),
        (0x10, [1, [[[2, 0, bytes(256), []]]]]),
    ],
)
def test_contents_of_another_shape_are_refused(code: int, contents: rlp.Encodable) -> None:
    with pytest.raises(ChainError):
        decode_message(code, rlp.encode(contents))


@pytest.mark.parametrize(
    ("code", "limit", "build"),
    [
        (0x01, messages.BLOCK_HASHES_ANNOUNCED_MAX, lambda n: [[HASH_A, 1]] * n),
        (0x04, messages.HEADERS_MAX, lambda n: [1, [b""] * n]),
        (0x05, messages.HASHES_REQUESTED_MAX, lambda n: [1, [HASH_A] * n]),
        (0x06, messages.BODIES_MAX, lambda n: [1, [[[], []]] * n]),
        (0x09, messages.HASHES_REQUESTED_MAX, lambda n: [1, [HASH_A] * n]),
        (0x0F, messages.HASHES_REQUESTED_MAX, lambda n: [1, [HASH_A] * n]),
        (0x10, messages.RECEIPT_LISTS_MAX, lambda n: [1, [[]] * n]),
        (0x08, messages.TRANSACTION_HASHES_ANNOUNCED_MAX, lambda n: [bytes(n), [1] * n, [HASH_A] * n]),
        (0x02, messages.TRANSACTIONS_MAX, lambda n: [b"\x02"] * n),
    ],
)
def test_one_item_too_many_is_refused_for_its_number(code: int, limit: int, build: Any) -> None:
    with pytest.raises(rlp.RlpError, match=f"more than {limit} items"):
        decode_message(code, rlp.encode(build(limit + 1)))
    if code not in (0x02, 0x04):  # these two need real contents
        decode_message(code, rlp.encode(build(limit)))


@pytest.mark.parametrize("code", [0x00, 0x0B, 0x0C, 0x0D, 0x0E, 0x11, 0x7F])
def test_messages_that_eth68_does_not_have_are_refused(code: int) -> None:
    with pytest.raises(MalformedMessage, match="no message"):
        decode_message(code, b"\xc0")


def test_a_message_over_the_size_limit_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="at most"):
        decode_message(0x02, bytes(messages.MESSAGE_BYTES_MAX + 1))


@pytest.mark.parametrize("code", [0x02, 0x04, 0x06, 0x10])
def test_masses_of_empty_lists_are_refused_without_building_them(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rlp, "LISTS_MAX", 1000)
    bomb = rlp.encode_list([b"\xc0"] * 70_000)
    contents = {
        0x02: (bomb,),
        0x04: (b"\x01", rlp.encode_list((bomb,))),
        0x06: (b"\x01", rlp.encode_list((rlp.encode_list((rlp.encode_list((bomb,)), b"\xc0")),))),
        0x10: (b"\x01", rlp.encode_list((rlp.encode_list((bomb,)),))),
    }
    with pytest.raises(ChainError, match=r"more than 1000 of them|a header of more than"):
        decode_message(code, rlp.encode_list(contents[code]))


def test_a_version_is_a_table() -> None:
    assert max(ETH68.codecs) < ETH68.message_count
    assert len({codec.type for codec in ETH68.codecs.values()}) == len(ETH68.codecs)
