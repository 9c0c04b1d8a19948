"""Requests under way: what answers them, what comes late, what nobody asked for."""

import pytest

from node.primitives.block import Body
from node.primitives.ids import Hash32
from p2p.errors import BreachOfProtocol
from p2p.eth.messages import (
    BlockBodies,
    BlockHeaders,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    PooledTransactions,
    Receipts,
    Request,
    Response,
)
from p2p.eth.requests import EXPIRED_KEPT, Requests

HASHES = (Hash32(bytes(32)), Hash32(b"\x01" * 32))


def asked(request: Request) -> Requests:
    requests = Requests()
    requests.open(request)
    return requests


@pytest.mark.parametrize(
    ("request_", "response"),
    [
        (GetBlockHeaders(1, 0, 3), BlockHeaders(1, ())),
        (GetBlockBodies(1, HASHES), BlockBodies(1, (Body(), Body()))),
        (GetPooledTransactions(1, HASHES), PooledTransactions(1, ())),
        (GetReceipts(1, HASHES), Receipts(1, ((),))),
    ],
)
def test_the_answer_to_a_request_is_taken_once(request_: Request, response: Response) -> None:
    requests = asked(request_)
    assert requests.match(response) is True
    assert len(requests) == 0
    with pytest.raises(BreachOfProtocol, match="no request of ours"):
        requests.match(response)


def test_ids_are_never_used_twice() -> None:
    requests = Requests()
    assert len({requests.next_id() for _ in range(100)}) == 100


def test_an_answer_to_nothing_is_a_breach() -> None:
    with pytest.raises(BreachOfProtocol, match="a BlockBodies that answers no request"):
        Requests().match(BlockBodies(1, ()))


def test_an_answer_of_another_kind_is_a_breach_and_leaves_the_request_open() -> None:
    requests = asked(GetBlockHeaders(1, 0, 3))
    with pytest.raises(BreachOfProtocol, match="a Receipts where BlockHeaders was asked"):
        requests.match(Receipts(1, ()))
    assert requests.match(BlockHeaders(1, ())) is True


def test_more_than_was_asked_for_is_a_breach() -> None:
    requests = asked(GetBlockBodies(1, HASHES[:1]))
    with pytest.raises(BreachOfProtocol, match="2 items in a BlockBodies where 1 were"):
        requests.match(BlockBodies(1, (Body(), Body())))


def test_a_late_answer_is_no_offence_but_comes_only_once() -> None:
    requests = asked(GetReceipts(1, HASHES))
    requests.close(1)
    assert len(requests) == 0
    assert requests.match(Receipts(1, ())) is False
    with pytest.raises(BreachOfProtocol):
        requests.match(Receipts(1, ()))


def test_late_answers_are_remembered_within_bounds() -> None:
    requests = Requests()
    for request_id in range(EXPIRED_KEPT + 1):
        requests.open(GetReceipts(request_id, HASHES))
        requests.close(request_id)
    with pytest.raises(BreachOfProtocol):
        requests.match(Receipts(0, ()))
    assert requests.match(Receipts(1, ())) is False
