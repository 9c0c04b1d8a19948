"""What many peers send in the same bytes is taken apart once; what is no message is everybody's own fault."""

import pytest
import trio

from node.primitives.block import Block, Body
from node.primitives.errors import ChainError
from p2p import decoder as module
from p2p.decoder import IN_PLACE_BYTES_MAX, KEPT_MAX, Decoder
from p2p.errors import MalformedMessage
from p2p.eth.messages import ETH68, EthVersion, Message, NewBlock, Transactions, encode_message
from tests.execution.builders import key_of, signed
from tests.sync.world import long_chain

HEADER = long_chain(1).head.header
LARGE = tuple(signed(key_of(0), nonce, data=bytes(IN_PLACE_BYTES_MAX // 4)) for nonce in range(5))


def new_block(number: int) -> bytes:
    """The payload of a large NewBlock; no two numbers give the same."""
    return encode_message(NewBlock(Block(HEADER, Body(LARGE)), number))[1]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The payloads that are taken apart from here on."""
    seen: list[bytes] = []

    def decode(code: int, payload: bytes, protocol: EthVersion) -> Message:
        seen.append(payload)
        return original(code, payload, protocol)

    original = module.decode_message
    monkeypatch.setattr(module, "decode_message", decode)
    return seen


async def ask(decoder: Decoder, payload: bytes, told: list[Message]) -> None:
    told.append(await decoder.message(0x07, payload, ETH68))


async def test_a_block_that_comes_from_three_peers_at_once_is_taken_apart_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, told, decoder = counted(monkeypatch), list[Message](), Decoder()
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask, decoder, bytes(new_block(7)), told)
    await ask(decoder, new_block(7), told)
    assert len(seen) == 1
    assert all(message is told[0] for message in told)
    assert told[0] == NewBlock(Block(HEADER, Body(LARGE)), 7)


async def test_a_block_goes_on_in_the_bytes_that_it_came_in() -> None:
    payload = new_block(7)
    message = await Decoder().message(0x07, payload, ETH68)
    assert isinstance(message, NewBlock)
    assert encode_message(message)[1] is payload
    assert encode_message(NewBlock(message.block, message.total_difficulty))[1] == payload


async def test_only_the_newest_blocks_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, decoder = counted(monkeypatch), Decoder()
    for number in (*range(KEPT_MAX + 1), 0):
        await ask(decoder, new_block(number), [])
    assert len(seen) == KEPT_MAX + 2


async def test_transactions_and_small_blocks_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, decoder = counted(monkeypatch), Decoder()
    _, payload = encode_message(Transactions(LARGE))
    small = encode_message(NewBlock(Block(HEADER, Body()), 7))[1]
    for _ in range(2):
        await decoder.message(0x02, payload, ETH68)
        await decoder.message(0x07, small, ETH68)
    assert len(seen) == 4


async def test_nonsense_is_refused_to_each_who_sends_it() -> None:
    decoder = Decoder()
    refusals = []

    async def offer() -> None:
        try:
            await decoder.message(0x07, b"\xf8" + bytes(IN_PLACE_BYTES_MAX), ETH68)
        except ChainError as error:
            refusals.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(offer)
    assert len(refusals) == 3
    with pytest.raises(MalformedMessage):
        await decoder.message(0x6F, bytes(IN_PLACE_BYTES_MAX + 1), ETH68)


async def test_who_is_cancelled_leaves_the_work_to_the_next() -> None:
    decoder, told = Decoder(), list[Message]()
    with trio.CancelScope() as scope:
        scope.cancel()
        await decoder.message(0x07, new_block(7), ETH68)
    await ask(decoder, new_block(7), told)
    assert len(told) == 1
