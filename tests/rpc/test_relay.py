"""A worker answers what it can, and hands the rest to its owner as it came, by whomever it came."""

from typing import Any

import msgspec
import pytest

from node.config.settings import RpcSettings
from node.rpc.app import Dispatcher
from node.rpc.guard import Guard
from node.rpc.identity import Identity, Role
from node.rpc.jsonrpc import Call, RpcError
from node.rpc.method import Method, Where
from node.rpc.params import Param, read_text
from node.rpc.relay import is_owned, may_be_waiting
from tests.rpc.secured import MemoryTrail

BILLING = Identity("api-key:billing", frozenset({Role.READER}), 100.0)


class Owner:
    """Says what it was asked, and by whom."""

    def __init__(self, error: RpcError | None = None) -> None:
        self.asked: list[tuple[Any, Identity]] = []
        self._error = error

    async def answer(self, message, identity):
        self.asked.append((message, identity))
        if self._error is not None:
            raise self._error
        return b"[]" if isinstance(message, list) else b'{"jsonrpc":"2.0","id":1,"result":"owned"}'


def worker(owner: Owner) -> Dispatcher:
    known = {"known": "0x1"}
    methods = [
        Method("eth_chainId", lambda: "0x539"),
        Method("eth_getTransactionByHash", known.get, (Param(read_text),)),
        Method("eth_getRawTransactionByHash", lambda _, key: known.get(key), (Param(read_text),), Where.READ),
    ]
    return Dispatcher(methods, RpcSettings(namespaces=("eth",)), relay=owner)


def body(method: str, *params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


async def ask(api: Dispatcher, message: Any) -> Any:
    answer = await api.answer(api.parse(msgspec.json.encode(message)), None, BILLING)
    assert answer is not None
    return msgspec.json.decode(answer)


@pytest.mark.parametrize(
    ("method", "params", "owned"),
    [
        ("eth_sendRawTransaction", ["0x00"], True),
        ("eth_getTransactionCount", ["0x00", "pending"], True),
        ("eth_getTransactionCount", ["0x00", "latest"], False),
        ("eth_getTransactionCount", [], False),
        ("txpool_content", [], True),
        ("clique_getSigners", [], True),
        ("admin_addPeer", [], True),
        ("eth_getFilterChanges", ["0x1"], True),
        ("eth_getLogs", [{}], False),
        ("eth_call", [{}, "pending"], False),
    ],
)
def test_what_exists_once_is_owned(method, params, owned):
    assert is_owned(Call(b"1", method, params)) is owned


async def test_calls_are_handed_on_as_they_came_with_who_asks():
    owner = Owner()
    assert (await ask(worker(owner), body("eth_sendRawTransaction", "0xab")))["result"] == "owned"
    assert owner.asked == [(Call(b"1", "eth_sendRawTransaction", ["0xab"]), BILLING)]
    assert (await ask(worker(owner), body("eth_chainId")))["result"] == "0x539"
    assert len(owner.asked) == 1


async def test_a_batch_of_owned_calls_goes_as_a_batch_and_a_mixed_one_call_by_call():
    owner = Owner()
    api = worker(owner)
    assert (
        await ask(api, [body("eth_sendRawTransaction", "0x1"), body("eth_sendRawTransaction", "0x2")]) == []
    )
    assert len(owner.asked) == 1
    mixed = await ask(api, [body("eth_chainId"), body("eth_sendRawTransaction", "0x1"), {}])
    assert [each.get("result") for each in mixed] == ["0x539", "owned", None]
    assert len(owner.asked) == 2


@pytest.mark.parametrize("method", ["eth_getTransactionByHash", "eth_getRawTransactionByHash"])
async def test_a_transaction_that_is_in_no_block_may_be_waiting_at_the_owner(method):
    owner = Owner()
    assert (await ask(worker(owner), body(method, "known")))["result"] == "0x1"
    assert owner.asked == []
    assert (await ask(worker(owner), body(method, "unknown")))["result"] == "owned"


def test_nothing_is_told_from_something_in_both_forms():
    assert may_be_waiting("debug_getRawTransaction", "0x")
    assert may_be_waiting("eth_getTransactionByHash", msgspec.Raw(b"null"))
    assert not may_be_waiting("eth_getTransactionByHash", {"hash": "0x1"})
    assert not may_be_waiting("eth_getTransactionReceipt", None)


async def test_an_owner_that_is_gone_is_an_error_of_each_call():
    api = worker(Owner(RpcError("stopping")))
    assert (await ask(api, body("eth_sendRawTransaction", "0x")))["error"]["message"] == "stopping"
    both = await ask(api, [body("eth_sendRawTransaction", "0x"), body("txpool_status")])
    assert [each["error"]["message"] for each in both] == ["stopping", "stopping"]


def test_an_identity_has_one_quota_wherever_it_is_answered():
    now = 0.0
    guards = [Guard(MemoryTrail(), lambda: 0, clock=lambda: now) for _ in range(3)]
    for guard in guards:
        guard.shares_quotas = True
    first = guards[0]
    first.charge(BILLING, 1999.0)
    assert first.wait_s(BILLING) == 0
    spent = first.take_spent()
    assert spent == {"api-key:billing": (100.0, 1999.0)}
    assert first.take_spent() == {}
    for other in guards[1:]:
        other.spent_elsewhere(spent)
        other.charge(BILLING, 2.0)
        assert other.wait_s(BILLING) > 0
        assert other.take_spent() == {"api-key:billing": (100.0, 2.0)}, "not what others have told"
