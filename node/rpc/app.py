"""From a message's bytes to its answer's bytes: which function, in which thread, for how long.

Cheap methods run at once on the event loop. Those that read blocks or run code go to worker threads, in lanes
by how long they may take, so that long ones cannot keep short ones waiting, and with a deadline. A
thread cannot be ended from outside: it is left behind, and its place stays taken until it asks whether it is
still wanted.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final

import trio

from node.config.settings import RpcSettings
from node.execution.executor import ExecutionInterrupted
from node.primitives.errors import RequestError, StorageError
from node.rpc.backend import Abandoned, Until
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
from node.rpc.method import Held, Method, Where
from node.rpc.params import bind
from node.rpc.subscriptions import Session
from node.rpc.workers import Lane

SCANS_MAX: Final = 1
LONG_RUNS_MAX: Final = 2
"""Threads that work at once. All share one interpreter lock with the event loop: more would delay sealing."""
REMOTE_READS_MAX: Final = 8
"""Where reads wait for other machines, they do not compete for the interpreter lock."""
SHORT_RUN_S: Final = 0.02
"""A call that takes longer is moved from the lane that it shares with reads to one for long runs."""
CALLS_PER_TURN: Final = 16
"""Calls of a batch answered on the loop before other tasks get their turn."""
DRAIN_TIMEOUT_S: Final = 10.0
UNKNOWN_METHOD: Final = "unknown"

Observe = Callable[[str, float, int | None], None]
"""Told of every call: method, seconds, error code or None."""

log = logging.getLogger(__name__)


class Dispatcher:
    """Answers messages from the table of methods."""

    def __init__(
        self,
        methods: Iterable[Method],
        settings: RpcSettings,
        observe: Observe | None = None,
        *,
        waits_for_others: bool = False,
    ) -> None:
        """`waits_for_others`: reads spend their time waiting for other machines, so that more may go on."""
        enabled = set(settings.namespaces) | {"rpc"}
        self.methods = {method.name: method for method in methods if method.namespace in enabled}
        self._settings = settings
        self._observe = observe
        self._short = Lane("rpc-short", REMOTE_READS_MAX if waits_for_others else 1)
        self._scans = Lane("rpc-scan", SCANS_MAX)
        self._long = Lane("rpc-long", LONG_RUNS_MAX)

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
            for lane in (self._short, self._scans, self._long):
                await lane.wait_idle()

    async def _answer_batch(self, calls: list[Call | Refused], session: Session | None) -> bytes | None:
        """One after the other, in their order. Once time or room is used up, the rest is told so."""
        deadline = _Deadline(self._settings.reply_timeout_s)
        answers: list[bytes] = []
        held: list[Until] = []
        async with self._together(calls):
            await self._answer_each(calls, session, deadline, answers, held)
        for until in dict.fromkeys(held):
            await until()
        return encode_batch(answers) if answers else None

    async def _answer_each(
        self,
        calls: list[Call | Refused],
        session: Session | None,
        deadline: "_Deadline",
        answers: list[bytes],
        held: list[Until],
    ) -> None:
        room = self._settings.response_bytes_max
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
                answer = await self._answer_call(call, session, deadline, held)
            if answer is None:
                continue
            room -= len(answer)
            if room <= 0 and isinstance(call, Call):
                answer = self._too_large(call)
            answers.append(answer or b"")

    @asynccontextmanager
    async def _together(self, calls: Sequence[Call | Refused]) -> AsyncIterator[None]:
        """Let methods do beforehand what is quicker for many calls at once."""
        gathered: dict[str, list[list[Any]]] = {}
        for call in calls:
            if isinstance(call, Refused):
                continue
            method = self.methods.get(call.method)
            if method is not None and method.together is not None:
                with suppress(RpcError):
                    gathered.setdefault(method.name, []).append(bind(method.params, call.params))
        async with AsyncExitStack() as stack:
            for name, arguments in gathered.items():
                together = self.methods[name].together
                if together is not None and len(arguments) > 1:
                    await stack.enter_async_context(together(arguments))
            yield

    async def _answer_call(
        self, call: Call, session: Session | None, deadline: "_Deadline", held: list[Until] | None = None
    ) -> bytes | None:
        """The answer to one call. What it is held back for is left in `held`, or else waited for."""
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
                result = await self._run(method, arguments, session, deadline, held)
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
        self,
        method: Method,
        arguments: list[Any],
        session: Session | None,
        deadline: "_Deadline",
        held: list[Until] | None,
    ) -> Json:
        """A method that cannot be answered at once."""
        if method.where is Where.SESSION:
            if session is None:
                raise NotificationsUnsupported
            answer: Json = method.handler(session, *arguments)
            return answer
        with trio.CancelScope(deadline=deadline.at):
            if method.where is Where.TASK:
                answer = await method.handler(*arguments)
                if isinstance(answer, Held):
                    if held is None:
                        await answer.until()
                    else:
                        held.append(answer.until)
                    answer = answer.answer
                return answer
            work = _Work(method.handler, arguments)
            try:
                return await self._in_thread(method.where, work)
            finally:
                work.abandoned = True
        deadline.passed = True
        raise RequestTimeout(deadline.timeout_s)

    async def _in_thread(self, where: Where, work: "_Work") -> Json:
        match where:
            case Where.READ:
                return await self._short.run(work.run)
            case Where.SCAN:
                return await self._scans.run(work.run)
            case Where.CALL:
                try:
                    return await self._short.run(work.run_shortly)
                except (ExecutionInterrupted, Abandoned):
                    return await self._long.run(work.run)
            case Where.TRACE:
                return await self._long.run(work.run)
            case _:
                raise AssertionError(f"{where} is not done in threads")

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


class _Work:
    """What a worker thread does, and the link by which it learns that nobody waits any more."""

    __slots__ = ("_arguments", "_handler", "_until_s", "abandoned")

    def __init__(self, handler: Callable[..., Json], arguments: list[Any]) -> None:
        self._handler = handler
        self._arguments = arguments
        self._until_s = 0.0
        self.abandoned = False

    def run(self) -> Json:
        """The answer, already JSON: that takes time, too, and here it delays nobody."""
        return encode_value(self._handler(self._interrupted, *self._arguments))

    def run_shortly(self) -> Json:
        """The same, within SHORT_RUN_S: ExecutionInterrupted or Abandoned when it takes longer."""
        self._until_s = time.perf_counter() + SHORT_RUN_S
        return encode_value(self._handler(self._interrupted_soon, *self._arguments))

    def _interrupted(self) -> bool:
        return self.abandoned

    def _interrupted_soon(self) -> bool:
        return self.abandoned or time.perf_counter() > self._until_s
