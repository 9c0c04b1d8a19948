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
from enum import Enum
from typing import Any, Final

import msgspec
import trio

from node.config.settings import RpcSettings
from node.execution.executor import ExecutionInterrupted
from node.primitives.errors import RequestError, StorageError
from node.rpc.backend import Abandoned
from node.rpc.guard import Guard
from node.rpc.identity import INTERNAL, Identity, Role
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
from node.rpc.quotas import BYTES_PER_MS
from node.rpc.relay import Relay, is_owned, may_be_waiting
from node.rpc.remembered import Remembered
from node.rpc.roles import Recorded, rule_of
from node.rpc.subscriptions import Session
from node.rpc.work import Asked, Work, never
from node.rpc.workers import Lane

SCANS_MAX: Final = 1
LONG_RUNS_MAX: Final = 2
"""Threads that work at once. All share one interpreter lock with the event loop: more would delay sealing."""
REMOTE_READS_MAX: Final = 8
"""Where reads wait for other machines, they do not compete for the interpreter lock."""
CALLS_PER_TURN: Final = 16
"""Calls of a batch answered on the loop before other tasks get their turn."""
DRAIN_TIMEOUT_S: Final = 10.0
RELAY_GRACE_S: Final = 2.0
UNKNOWN_METHOD: Final = "unknown"

Observe = Callable[[str, float, int | None], None]
"""Told of every call: method, seconds, error code or None."""

log = logging.getLogger(__name__)


class Surface(Enum):
    """Which methods a listener serves, of the namespaces that are switched on."""

    EVERYTHING = "everything"
    """For what lies behind no listener: the node itself, tests."""
    PUBLIC = "public"
    ADMIN = "admin"


class AdminOnly(MethodNotFound):
    """The method is there, but not here."""

    def __init__(self, method: str) -> None:
        RpcError.__init__(
            self,
            f"the method {method} does not exist/is not available: it is served on the admin listener only "
            "(setting rpc.admin_port)",
        )


class Dispatcher:
    """Answers messages from the table of methods."""

    def __init__(
        self,
        methods: Iterable[Method],
        settings: RpcSettings,
        observe: Observe | None = None,
        guard: Guard | None = None,
        surface: Surface = Surface.EVERYTHING,
        *,
        waits_for_others: bool = False,
        relay: Relay | None = None,
        remembered: Remembered | None = None,
    ) -> None:
        """`guard` None: whoever reaches this may do everything. `relay`: to who owns what is not here."""
        enabled = set(settings.namespaces) | {"rpc"} | ({"admin"} if surface is Surface.ADMIN else set())
        known = {method.name: method for method in methods}
        there = {name: method for name, method in known.items() if method.namespace in enabled}
        self._elsewhere = {
            name for name in known if surface is Surface.PUBLIC and rule_of(name).admin_listener_only
        }
        self.methods = {name: method for name, method in there.items() if name not in self._elsewhere}
        self._rules = {name: rule_of(name) for name in self.methods}
        self._guard = guard
        self._settings = settings
        self._observe = observe
        self._relay = relay
        self._remembered = remembered
        self._short = Lane("rpc-short", REMOTE_READS_MAX if waits_for_others else 1)
        self._scans = Lane("rpc-scan", SCANS_MAX)
        self._long = Lane("rpc-long", LONG_RUNS_MAX)

    def parse(self, body: bytes) -> Message:
        """One message, as far as it can be read."""
        return parse(body, self._settings.batch_items_max)

    def waits(self, message: Message) -> bool:
        """Whether the answer may take longer than other tasks should have to wait for it."""
        if isinstance(message, Call):
            if self._relay is not None and is_owned(message):
                return True
            method = self.methods.get(message.method)
            return method is not None and method.where not in (Where.LOOP, Where.SESSION)
        return isinstance(message, list)

    async def answer(
        self, message: Message, session: Session | None = None, identity: Identity = INTERNAL
    ) -> bytes | None:
        """The answer to one message; None when nothing is to be answered. Only StorageError comes out."""
        asked = Asked(identity, session, self._settings.reply_timeout_s)
        if isinstance(message, Call):
            answer = await self._answer_call(message, asked)
            if answer is not None and len(answer) > self._settings.response_bytes_max:
                answer = self._too_large(message)
        elif isinstance(message, Refused):
            answer = self._refuse(message)
        else:
            answer = await self._answer_batch(message, asked)
        if self._guard is not None and answer is not None and identity.quota_per_s is not None:
            self._guard.charge(identity, len(answer) / BYTES_PER_MS)
        return answer

    def admit_page(self, identity: Identity) -> None:
        """Let somebody read what is no JSON-RPC: pages of the query API. RpcError when not."""
        if self._guard is not None:
            self._guard.admit_page(identity)

    def wait_s(self, identity: Identity) -> float:
        """How long until this identity may ask again; 0 when it may now."""
        return 0.0 if self._guard is None else self._guard.wait_s(identity)

    def refuse_all(self, message: Message, identity: Identity, wait_s: float) -> bytes | None:
        """What a message is answered with while its sender has used up its quota."""
        assert self._guard is not None
        error = self._guard.refuse_over_quota(identity, wait_s)
        if not isinstance(message, list):
            return self._fail(message, error)
        answers = [answer for call in message if (answer := self._fail(call, error)) is not None]
        return encode_batch(answers) if answers else None

    async def drain(self) -> None:
        """Wait until no worker thread is at work, so that storage can be closed; gives up after a while."""
        with trio.move_on_after(DRAIN_TIMEOUT_S):
            for lane in (self._short, self._scans, self._long):
                await lane.wait_idle()

    async def _answer_batch(self, calls: list[Call | Refused], asked: Asked) -> bytes | None:
        """One after the other, in their order. Once time or room is used up, the rest is told so."""
        if self._relay is not None:
            owned = [call for call in calls if isinstance(call, Call) and is_owned(call)]
            if len(owned) == len(calls):
                return await self._relayed(self._relay, owned, asked)
        answers: list[bytes] = []
        held = asked.held = []
        async with self._together(calls, asked.identity):
            await self._answer_each(calls, asked, answers)
        for until in dict.fromkeys(held):
            await until()
        return encode_batch(answers) if answers else None

    async def _answer_each(self, calls: list[Call | Refused], asked: Asked, answers: list[bytes]) -> None:
        room = self._settings.response_bytes_max
        for index, call in enumerate(calls):
            if index % CALLS_PER_TURN == CALLS_PER_TURN - 1:
                await trio.lowlevel.checkpoint()
            if isinstance(call, Refused):
                answer: bytes | None = self._refuse(call)
            elif room <= 0:
                answer = self._too_large(call)
            elif asked.too_late:
                answer = self._fail(call, RequestTimeout(asked.timeout_s))
            else:
                answer = await self._answer_call(call, asked)
            if answer is None:
                continue
            room -= len(answer)
            if room <= 0 and isinstance(call, Call):
                answer = self._too_large(call)
            answers.append(answer or b"")

    @asynccontextmanager
    async def _together(self, calls: Sequence[Call | Refused], identity: Identity) -> AsyncIterator[None]:
        """Let methods do beforehand what is quicker for many calls at once."""
        gathered: dict[str, list[list[Any]]] = {}
        for call in calls:
            if isinstance(call, Refused):
                continue
            method = self.methods.get(call.method)
            if method is not None and method.together is not None and self._may_call(method, identity):
                with suppress(RpcError):
                    gathered.setdefault(method.name, []).append(bind(method.params, call.params))
        async with AsyncExitStack() as stack:
            for name, arguments in gathered.items():
                together = self.methods[name].together
                if together is not None and len(arguments) > 1:
                    await stack.enter_async_context(together(arguments))
            yield

    def _may_call(self, method: Method, identity: Identity) -> bool:
        """Before its arguments are looked at."""
        if self._guard is None or Role.ADMIN in identity.roles:
            return True
        return not identity.roles.isdisjoint(self._rules[method.name].roles)

    async def _answer_call(self, call: Call, asked: Asked) -> bytes | None:
        if self._relay is not None and is_owned(call):
            return await self._relayed(self._relay, call, asked)
        started_s = time.perf_counter() if self._observe else 0.0
        method = self.methods.get(call.method)
        error: RpcError | None = None
        result: Json = None
        try:
            if method is None:
                raise (AdminOnly if call.method in self._elsewhere else MethodNotFound)(call.method)
            result = await self._find(method, call.params, asked)
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
        if self._relay is not None and error is None and may_be_waiting(call.method, result):
            return await self._relayed(self._relay, call, asked)
        if call.id is None:
            return None
        return encode_result(call.id, result) if error is None else encode_error(call.id, error)

    async def _find(self, method: Method, params: list[Any], asked: Asked) -> Json:
        """What the method answered before, if that still holds, else what it answers now."""
        remembered, holds_of = self._remembered, method.holds
        if remembered is None or holds_of is None:
            arguments = bind(method.params, params) if method.params or params else []
            return await self._result(method, arguments, asked)
        rule, question = self._rules[method.name], remembered.question(method.name, params)
        known = remembered.answer(question)
        if known is not None:
            if self._guard is not None:
                self._guard.admit_again(asked.identity, method, rule)
            return known
        arguments = bind(method.params, params)
        result = await self._result(method, arguments, asked)
        if result is None:
            return None
        holds = holds_of(*arguments)
        # Who asks next is not asked again what these arguments need.
        if holds is None or (rule.needs is not None and rule.needs(arguments, question.head.number)):
            return result
        answer = result if isinstance(result, msgspec.Raw) else encode_value(result)
        remembered.keep(question, holds, answer)
        return answer

    async def _result(self, method: Method, arguments: list[Any], asked: Asked) -> Json:
        if self._guard is not None and self._admit(self._guard, method, arguments, asked.identity):
            return await self._guarded(self._guard, method, arguments, asked)
        if method.where is Where.LOOP:
            answer: Json = method.handler(*arguments)
            return answer
        return await self._perform(method, arguments, asked)

    async def _relayed(self, relay: Relay, message: Call | list[Call], asked: Asked) -> bytes | None:
        """The owner's answer. It has deadlines of its own; this one is for an owner that hangs."""
        try:
            with trio.CancelScope(deadline=asked.at + RELAY_GRACE_S):
                return await relay.answer(message, asked.identity)
            raise RequestTimeout(asked.timeout_s)
        except RpcError as error:
            if isinstance(message, Call):
                return self._fail(message, error)
            answers = [answer for call in message if (answer := self._fail(call, error)) is not None]
            return encode_batch(answers) if answers else None

    def _admit(self, guard: Guard, method: Method, arguments: list[Any], identity: Identity) -> bool:
        """Let a call through, or raise why not; whether it has to be recorded or paid for."""
        rule = self._rules[method.name]
        guard.admit(identity, method, rule, arguments)
        return identity.quota_per_s is not None or rule.recorded is not Recorded.NOTHING

    async def _guarded(self, guard: Guard, method: Method, arguments: list[Any], asked: Asked) -> Json:
        """A call that has to be recorded or paid for."""
        identity, rule = asked.identity, self._rules[method.name]
        if rule.recorded is not Recorded.NOTHING:
            await guard.record(identity, method, rule.recorded, arguments)
        asked.worked_s, began_s = None, time.perf_counter()
        try:
            with guard.at_work(identity, method):
                return await self._perform(method, arguments, asked)
        except RequestError as error:
            if rule.recorded is Recorded.ADMIN:
                guard.record_failure(identity, method, str(error))
            raise
        finally:
            worked_s = asked.worked_s
            if worked_s is None:
                worked_s = 0.0 if method.where is Where.TASK else time.perf_counter() - began_s
            guard.settle(identity, method, worked_s)

    async def _perform(self, method: Method, arguments: list[Any], asked: Asked) -> Json:
        """At once where that is quick."""
        answer: Json
        if method.where is Where.LOOP:
            answer = method.handler(*arguments)
        elif method.light is not None and method.light(*arguments):
            answer = method.handler(never, *arguments)
        elif method.where is Where.SESSION:
            if asked.session is None:
                raise NotificationsUnsupported
            answer = method.handler(asked.session, *arguments)
        elif asked.held is not None and method.at_once is not None and (held := method.at_once(*arguments)):
            asked.held.append(held.until)
            answer = held.answer
        else:
            answer = await self._run(method, arguments, asked)
        return answer

    async def _run(self, method: Method, arguments: list[Any], asked: Asked) -> Json:
        """A method that cannot be answered at once."""
        with trio.CancelScope(deadline=asked.at):
            if method.where is Where.TASK:
                answer = await method.handler(*arguments)
                if isinstance(answer, Held):
                    if asked.held is None:
                        await answer.until()
                    else:
                        asked.held.append(answer.until)
                    answer = answer.answer
                told: Json = answer
                return told
            work = Work(method.handler, arguments)
            try:
                return await self._in_thread(method.where, work)
            finally:
                work.abandoned = True
                asked.worked_s = work.spent_s
        asked.too_late = True
        raise RequestTimeout(asked.timeout_s)

    async def _in_thread(self, where: Where, work: Work) -> Json:
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

    def _fail(self, call: Call | Refused, error: RpcError) -> bytes | None:
        return None if call.id is None else encode_error(call.id or NULL_ID, error)
