"""Hello, and what two sides make of each other's capabilities."""

import pytest

from node.primitives import rlp
from node.primitives.errors import ChainError
from p2p.devp2p.hello import (
    Capability,
    CapabilitySpec,
    Hello,
    SharedCapability,
    decode_hello,
    encode_hello,
    share,
)
from p2p.errors import MalformedMessage, UselessPeer

HELLO = Hello(5, "phoenix/0.1", (Capability("eth", 68), Capability("istanbul", 100)), 30303, b"\x07" * 64)
ETH67 = CapabilitySpec("eth", 67, 17)
ETH68 = CapabilitySpec("eth", 68, 17)
ISTANBUL = CapabilitySpec("istanbul", 100, 18)
SNAP = CapabilitySpec("snap", 1, 8)


def test_hello_survives_the_wire() -> None:
    assert decode_hello(encode_hello(HELLO)) == HELLO


def test_further_items_of_a_hello_are_ignored() -> None:
    items = rlp.decode(encode_hello(HELLO))
    assert isinstance(items, list)
    assert decode_hello(rlp.encode([*items, b"later", [b"\x01"]])) == HELLO


def test_a_client_name_is_made_fit_for_a_log_line() -> None:
    named = rlp.encode([5, b"evil\n\x1b[31m\xff" + b"x" * 1000, [], 0, bytes(64)])
    name = decode_hello(named).client_name
    assert name.isprintable()
    assert len(name) <= 256
    assert name.startswith("evil??[31m")


@pytest.mark.parametrize("port", [b"", b"\x00", b"\x00\x00"])
def test_a_missing_port_may_be_written_in_any_way(port: bytes) -> None:
    assert decode_hello(rlp.encode([5, b"x", [], port, bytes(64)])).listen_port == 0


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc0",
        rlp.encode([5, b"x", [], 0]),
        rlp.encode([5, b"x", [], 0, bytes(63)]),
        rlp.encode([5, b"x", b"eth", 0, bytes(64)]),
        rlp.encode([5, b"x", [[b"eth"]], 0, bytes(64)]),
        rlp.encode([5, b"x", [[b"", 1]], 0, bytes(64)]),
        rlp.encode([5, b"x", [[b"ninebytes", 1]], 0, bytes(64)]),
        rlp.encode([5, b"x", [[b"a", 1]] * 65, 0, bytes(64)]),
        rlp.encode([1 << 40, b"x", [], 0, bytes(64)]),
        rlp.encode([5, b"x" * 2000, [], 0, bytes(64)]),
    ],
)
def test_a_hello_out_of_bounds_is_refused(payload: bytes) -> None:
    with pytest.raises(ChainError):
        decode_hello(payload)


def test_the_highest_shared_version_of_each_name_is_chosen() -> None:
    theirs = [Capability("eth", 66), Capability("eth", 67), Capability("eth", 68), Capability("les", 4)]
    assert share([ETH67, ETH68], theirs, "eth") == (SharedCapability(ETH68, 16),)
    assert share([ETH68, ETH67], theirs[:2], "eth") == (SharedCapability(ETH67, 16),)


def test_message_ids_are_counted_by_name_whatever_the_order_of_the_lists() -> None:
    theirs = [Capability("snap", 1), Capability("istanbul", 100), Capability("eth", 68)]
    assert share([ISTANBUL, SNAP, ETH68], theirs, "eth") == (
        SharedCapability(ETH68, 16),
        SharedCapability(ISTANBUL, 33),
        SharedCapability(SNAP, 51),
    )


def test_a_shared_capability_knows_its_message_ids() -> None:
    shared = SharedCapability(ETH68, 16)
    assert [code in shared for code in (15, 16, 32, 33)] == [False, True, True, False]


def test_a_peer_without_the_needed_capability_is_useless() -> None:
    with pytest.raises(UselessPeer, match=r"no common version of eth; the peer has eth/66, les/4"):
        share([ETH68], [Capability("eth", 66), Capability("les", 4)], "eth")


def test_a_long_hello_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(MalformedMessage, match="at most 2048"):
        decode_hello(bytes(2049))
