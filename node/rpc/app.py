"""From a message's bytes to its answer's bytes: which function, in which thread, for how long.

Cheap methods run at once on the event loop. Those that read blocks or run code go to worker threads, each
kind behind its own limiter, so that slow calls cannot keep quick reads waiting, and with a deadline. A
thread cannot be ended from outside: it is left behind, and its place stays taken until it asks whether it is
still wanted.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import trio

from node.config.settings import RpcSettings
from node.execution.executor import Interrupted
from node.primitives.errors import RequestError, StorageError
from node.rpc.jsonrpc import (
    NULL_ID,
    Call,
    InternalError,
    Json,
    Message,
    MethodNotFound,
    NotificationsUnsupported,
    Refused,
    RequestTimeout,
    ResponseTooLarge,
    RpcError,
    encode_batch,
    encode_error,
    encode_result,
    encode_value,
    parse,
)
from node.rpc.method import Method, Where
from node.rpc.params import bind
from node.rpc.subscriptions import Session

READERS_MAX: Final = 4
EXECUTIONS_MAX: Final = 2
"""Calls that run at once. All share one interpreter lock with the event loop: more would delay sealing."""
CALLS_PER_TURN: Final = 16
"""Calls of a batch answered on the loop before other tasks get their turn."""
DRAIN_TIMEOUT_S: Final = 10.0
UNKNOWN_METHOD: Final = "unknown"

Observe = Callable[[str, float, int | None], None]
"""Told of every call: method, seconds, error code or None."""

log = logging.getLogger(__name__)


class _Work:
    """The link between a request and the thread that works for it."""

    __slots__ = ("abandoned",)

    def __init__(self) -> None:
        self.abandoned = False

    def interrupted(self) -> bool:
        return self.abandoned


class Dispatcher:
    """Answers messages from the table of methods."""

    def __init__(
        self, methods: Iterable[Method], settings: RpcSettings, observe: Observe | None = None
    ) -> None:
        enabled = set(settings.namespaces) | {"rpc"}
        self.methods = {method.name: method for method in methods if method.namespace in enabled}
        self._settings = settings
        self._observe = observe
        self._limiters = {
            Where.READ: trio.CapacityLimiter(READERS_MAX),
            Where.EXECUTE: trio.CapacityLimiter(EXECUTIONS_MAX),
        }

    def parse(self, body: bytes) -> Message:
        """One message, as far as it can be read."""
        return parse(body, self._settings.batch_items_max)

    def waits(self, message: Message) -> bool:
        """Whether the answer may take longer than other tasks should have to wait for it."""
        if isinstance(message, Call):
            method = self.methods.get(message.method)
            return method is not None and method.where not in (Where.LOOP, Where.SESSION)
        return isinstance(message, list)

    async def answer(self, message: Message, session: Session | None = None) -> bytes | None:
        """The answer to one message; None when nothing is to be answered. Only StorageError comes out."""
        if isinstance(message, Call):
            answer = await self._answer_call(message, session, _Deadline(self._settings.reply_timeout_s))
            if answer is not None and len(answer) > self._settings.response_bytes_max:
                return self._too_large(message)
            return answer
        if isinstance(message, Refused):
            return self._refuse(message)
        return await self._answer_batch(message, session)

    async def drain(self) -> None:
        """Wait until no worker thread is at work, so that storage can be closed; gives up after a while."""
        with trio.move_on_after(DRAIN_TIMEOUT_S):
            for limiter in self._limiters.values():
                for _ in range(int(limiter.total_tokens)):
                    await limiter.acquire_on_behalf_of(object())

    async def _answer_batch(self, calls: list[Call | Refused], session: Session | None) -> bytes | None:
        """One after the other, in their order. Once time or room is used up, the rest is told so."""
        deadline = _Deadline(self._settings.reply_timeout_s)
        room = self._settings.response_bytes_max
        answers: list[bytes] = []
        for index, call in enumerate(calls):
            if index % CALLS_PER_TURN == CALLS_PER_TURN - 1:
                await trio.lowlevel.checkpoint()
            if isinstance(call, Refused):
                answer: bytes | None = self._refuse(call)
            elif room <= 0:
                answer = self._too_large(call)
            elif deadline.passed:
                answer = self._fail(call, RequestTimeout(deadline.timeout_s))
            else:
                answer = await self._answer_call(call, session, deadline)
            if answer is None:
                continue
            room -= len(answer)
            if room <= 0 and isinstance(call, Call):
                answer = self._too_large(call)
            answers.append(answer or b"")
        return encode_batch(answers) if answers else None

    async def _answer_call(self, call: Call, session: Session | None, deadline: "_Deadline") -> bytes | None:
        started_s = time.perf_counter() if self._observe else 0.0
        method = self.methods.get(call.method)
        error: RpcError | None = None
        result: Json = None
        try:
            if method is None:
                raise MethodNotFound(call.method)
            arguments = bind(method.params, call.params) if method.params or call.params else []
            if method.where is Where.LOOP:
                result = method.handler(*arguments)
            elif method.light is not None and method.light(*arguments):
                result = method.handler(_never, *arguments)
            else:
                result = await self._run(method, arguments, session, deadline)
        except RpcError as refused:
            error = refused
        except RequestError as refused:
            error = RpcError(str(refused))
        except StorageError:
            raise
        except Exception:
            log.exception("a request failed", extra={"method": call.method})
            error = InternalError()
        if self._observe:
            name = method.name if method else UNKNOWN_METHOD
            self._observe(name, time.perf_counter() - started_s, error.code if error else None)
        if call.id is None:
            return None
        return encode_result(call.id, result) if error is None else encode_error(call.id, error)

    async def _run(
        self, method: Method, arguments: list[Any], session: Session | None, deadline: "_Deadline"
    ) -> Json:
        """A method that cannot be answered at once."""
        if method.where is Where.SESSION:
            if session is None:
                raise NotificationsUnsupported
            answer: Json = method.handler(session, *arguments)
            return answer
        work = _Work()
        with trio.CancelScope(deadline=deadline.at):
            if method.where is Where.TASK:
                answer = await method.handler(*arguments)
                return answer
            try:
                return await trio.to_thread.run_sync(
                    _work_and_encode,
                    method.handler,
                    work.interrupted,
                    arguments,
                    abandon_on_cancel=True,
                    limiter=self._limiters[method.where],
                )
            finally:
                work.abandoned = True
        deadline.passed = True
        raise RequestTimeout(deadline.timeout_s)

    def _refuse(self, refused: Refused) -> bytes:
        if self._observe:
            self._observe(UNKNOWN_METHOD, 0.0, refused.error.code)
        return encode_error(refused.id, refused.error)

    def _too_large(self, call: Call) -> bytes | None:
        return self._fail(call, ResponseTooLarge(self._settings.response_bytes_max))

    def _fail(self, call: Call, error: RpcError) -> bytes | None:
        return None if call.id is None else encode_error(call.id or NULL_ID, error)


class _Deadline:
    """When one message's answer is due; the clock is read only when somebody waits."""

    __slots__ = ("_at", "passed", "timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.passed = False
        self._at: float | None = None

    @property
    def at(self) -> float:
        if self._at is None:
            self._at = trio.current_time() + self.timeout_s
        return self._at


def _never() -> bool:
    """What the loop does at once is not interrupted."""
    return False


def _work_and_encode(handler: Callable[..., Json], interrupted: Interrupted, arguments: list[Any]) -> Json:
    """The work of a worker thread; the answer becomes JSON here, where it delays nobody."""
    return encode_value(handler(interrupted, *arguments))
