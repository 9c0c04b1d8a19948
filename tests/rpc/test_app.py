"""The dispatcher: where methods run, for how long, how much they answer, and what their faults look like."""

import logging
from typing import Any

import msgspec
import pytest
import trio

from node.config.settings import RpcSettings
from node.primitives.errors import RequestError, StorageError
from node.rpc.app import Dispatcher
from node.rpc.backend import stop_if
from node.rpc.jsonrpc import Json, LimitExceeded
from node.rpc.method import Held, Method, Where
from node.rpc.params import Param, read_quantity, read_text


def fail(error: Exception) -> Any:
    def handler(*_: object) -> Json:
        raise error

    return handler


async def slowly(text: str) -> Json:
    await trio.sleep(1)
    return text


def endless(interrupted: Any) -> Json:
    while True:
        stop_if(interrupted)


METHODS = [
    Method("t_echo", lambda text: text, (Param(read_text),)),
    Method("t_double", lambda _, number: hex(2 * number), (Param(read_quantity),), Where.READ),
    Method(
        "t_light", lambda interrupted, _: interrupted(), (Param(read_quantity),), Where.READ, lambda n: n == 0
    ),
    Method("t_slow", slowly, (Param(read_text),), Where.TASK),
    Method("t_endless", endless, (), Where.TRACE),
    Method("t_session", lambda session: session is None, (), Where.SESSION),
    Method("t_limit", fail(LimitExceeded("too much"))),
    Method("t_request", fail(RequestError("not kept"))),
    Method("t_bug", fail(ZeroDivisionError("secret")), (), Where.READ),
    Method("t_disk", fail(StorageError("torn")), (), Where.READ),
    Method("off_echo", lambda: 1),
]


def dispatcher(observe: Any = None, **settings: Any) -> Dispatcher:
    return Dispatcher(METHODS, RpcSettings(namespaces=("t",), **settings), observe)


async def ask(api: Dispatcher, method: str, *params: Any) -> Any:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    answer = await api.answer(api.parse(body))
    assert answer is not None
    return msgspec.json.decode(answer)


async def error_of(api: Dispatcher, method: str, *params: Any) -> tuple[int, str]:
    error = (await ask(api, method, *params))["error"]
    return error["code"], error["message"]


async def test_methods_run_where_they_say() -> None:
    api = dispatcher()
    assert (await ask(api, "t_echo", "x"))["result"] == "x"
    assert (await ask(api, "t_double", "0x4"))["result"] == "0x8"
    assert (await ask(api, "t_light", "0x0"))["result"] is False


async def test_errors_by_whose_fault_they_are(caplog: pytest.LogCaptureFixture) -> None:
    api = dispatcher()
    assert await error_of(api, "t_limit") == (-32005, "too much")
    assert await error_of(api, "t_request") == (-32000, "not kept")
    assert await error_of(api, "t_echo") == (-32602, "missing value for required argument 0")
    assert await error_of(api, "off_echo") == (
        -32601,
        "the method off_echo does not exist/is not available",
    )
    with caplog.at_level(logging.ERROR):
        code, message = await error_of(api, "t_bug")
    assert code == -32603
    assert "secret" not in message
    assert "ZeroDivisionError" in caplog.text


async def test_a_broken_disk_is_not_answered_but_stops_the_node() -> None:
    with pytest.raises(StorageError):
        await ask(dispatcher(), "t_disk")


async def test_an_unknown_method_is_not_repeated_at_length() -> None:
    _, message = await error_of(dispatcher(), "x" * 10_000)
    assert len(message) < 200


async def test_subscribing_needs_a_connection_that_can_carry_notifications() -> None:
    code, message = await error_of(dispatcher(), "t_session")
    assert code == -32601
    assert message.startswith("notifications not supported")


async def test_notifications_are_done_and_not_answered() -> None:
    api = dispatcher()
    assert await api.answer(api.parse(b'{"jsonrpc":"2.0","method":"t_echo","params":["x"]}')) is None
    assert await api.answer(api.parse(b'[{"jsonrpc":"2.0","method":"t_echo","params":["x"]}]')) is None


async def test_a_batch_is_answered_in_its_order(autojump_clock: trio.testing.MockClock) -> None:
    api = dispatcher()
    calls = [
        {"jsonrpc": "2.0", "id": 1, "method": "t_slow", "params": ["late"]},
        {"jsonrpc": "2.0", "method": "t_echo", "params": ["silent"]},
        {"jsonrpc": "2.0", "id": 2, "method": "t_echo", "params": ["soon"]},
        5,
    ]
    answers = msgspec.json.decode(await api.answer(api.parse(msgspec.json.encode(calls))) or b"")
    assert [answer.get("result") for answer in answers] == ["late", "soon", None]
    assert answers[2]["error"]["code"] == -32600


@pytest.mark.parametrize("together", [False, True])
async def test_an_answer_is_held_back_until_what_it_says_holds(
    together: bool, autojump_clock: trio.testing.MockClock
) -> None:
    waits = []

    async def durable() -> None:
        waits.append(trio.current_time())
        await trio.sleep(1)

    async def take(text: str) -> Held:
        return Held(text, durable)

    api = Dispatcher(
        [Method("t_take", take, (Param(read_text),), Where.TASK)], RpcSettings(namespaces=("t",))
    )
    calls = [{"jsonrpc": "2.0", "id": n, "method": "t_take", "params": [str(n)]} for n in range(20)]
    began_s = trio.current_time()
    for part in [calls] if together else [[call] for call in calls]:
        body = msgspec.json.encode(part if together else part[0])
        assert await api.answer(api.parse(body)) is not None
    expected = 1 if together else len(calls)
    assert (len(waits), trio.current_time() - began_s) == (expected, expected)


async def test_a_thread_that_runs_too_long_is_left_behind_and_stops(
    autojump_clock: trio.testing.MockClock,
) -> None:
    api = dispatcher(reply_timeout_s=5.0)
    code, message = await error_of(api, "t_endless")
    assert (code, message) == (-32002, "request timed out after 5 s (setting rpc.reply_timeout_s)")
    await api.drain()


async def test_what_remains_of_a_batch_when_time_is_up_is_told_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    api = dispatcher(reply_timeout_s=5.0)
    calls = [
        {"jsonrpc": "2.0", "id": 1, "method": "t_echo", "params": ["in time"]},
        {"jsonrpc": "2.0", "id": 2, "method": "t_endless"},
        {"jsonrpc": "2.0", "id": 3, "method": "t_echo", "params": ["too late"]},
    ]
    answers = msgspec.json.decode(await api.answer(api.parse(msgspec.json.encode(calls))) or b"")
    assert [answer.get("result") for answer in answers] == ["in time", None, None]
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32002, -32002]
    await api.drain()


async def test_an_answer_has_a_largest_size() -> None:
    api = dispatcher(response_bytes_max=1000)
    assert (await ask(api, "t_echo", "x" * 900))["result"] == "x" * 900
    assert (await error_of(api, "t_echo", "x" * 1000))[0] == -32003


async def test_a_batch_has_the_same_largest_size() -> None:
    api = dispatcher(response_bytes_max=1000)
    call = {"jsonrpc": "2.0", "id": 1, "method": "t_echo", "params": ["x" * 400]}
    body = msgspec.json.encode([call] * 5)
    answers = msgspec.json.decode(await api.answer(api.parse(body)) or b"")
    assert ["result" in answer for answer in answers] == [True, True, False, False, False]
    assert answers[-1]["error"]["code"] == -32003


async def test_every_call_is_observed_and_strangers_cannot_name_series() -> None:
    seen: list[tuple[str, int | None]] = []
    api = dispatcher(lambda method, seconds, code: seen.append((method, code)))
    await ask(api, "t_echo", "x")
    await ask(api, "anything")
    assert seen == [("t_echo", None), ("unknown", -32601)]


async def test_a_long_batch_lets_other_tasks_run() -> None:
    api = dispatcher()
    call = {"jsonrpc": "2.0", "id": 1, "method": "t_echo", "params": ["x"]}
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await api.answer(api.parse(msgspec.json.encode([call] * 160)))
        nursery.cancel_scope.cancel()
    assert turns >= 8
