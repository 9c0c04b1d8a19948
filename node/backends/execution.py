"""Calls, estimates and traces as the RPC asks for them, on any kept state."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from node.execution.calls import CallFailed as ExecutionFailed
from node.execution.calls import create_access_list, estimate_gas
from node.execution.executor import BlockContext, Call, CallResult, Executor, Interrupted
from node.execution.prestate import PrestateWalk, prestate_of_call
from node.execution.tracing import CallTracer, StructLogger
from node.primitives.block import Block, Header
from node.primitives.errors import RequestError
from node.primitives.ids import Address, Hash32
from node.primitives.state import StateView
from node.primitives.transaction import Transaction
from node.rpc.backend import AccessListOutcome, BlockOverride, CallFailed, CallPlace, TraceOptions
from node.rpc.jsonrpc import Json, encode_value

PRESTATE: Final = "prestateTracer"


class ExecutionChain(Protocol):
    """What running code needs of a chain: a ChainReader, or a light client."""

    def header(self, block_hash: Hash32) -> Header | None:
        """A header by its hash."""
        ...

    def state_at(self, block_hash: Hash32) -> StateView:
        """The state after a block."""
        ...

    def author_of(self, header: Header) -> Address:
        """Who made the block."""
        ...

    def context_of(self, header: Header) -> BlockContext:
        """The context in which a block's transactions ran."""
        ...

    def context_after(self, parent: Header, timestamp: int, author: Address) -> BlockContext:
        """The context of an imagined block."""
        ...


class ExecutorBackend:
    """ExecutionBackend over an Executor. Worker threads."""

    def __init__(
        self,
        reader: ExecutionChain,
        executor: Executor,
        unix_time: Callable[[], float] = time.time,
        *,
        state_at: Callable[[Header], StateView] | None = None,
    ) -> None:
        """`state_at`: who keeps the head's state open, where somebody does."""
        self._reader = reader
        self._state_at = state_at or (lambda header: reader.state_at(header.hash))
        self._executor = executor
        self._unix_time = unix_time

    def call(self, place: CallPlace, call: Call, interrupted: Interrupted) -> CallResult:
        """See the port."""
        view = self._view(place, call)
        return self._executor.call(self._context(place), view, call, place.accounts, interrupted=interrupted)

    def estimate_gas(self, place: CallPlace, call: Call, interrupted: Interrupted) -> int:
        """See the port."""
        view = self._view(place, call)
        context = self._context(place)
        try:
            return estimate_gas(
                self._executor,
                context,
                view,
                call,
                place.accounts,
                # What fits into no block is no answer, whatever a call may use.
                cap=min(call.gas_limit, context.gas_limit),
                interrupted=interrupted,
            )
        except ExecutionFailed as failed:
            raise CallFailed(failed.result) from None

    def create_access_list(self, place: CallPlace, call: Call, interrupted: Interrupted) -> AccessListOutcome:
        """See the port."""
        view = self._view(place, call)
        found = create_access_list(
            self._executor, self._context(place), view, call, place.accounts, interrupted
        )
        return AccessListOutcome(found.access_list, found.gas_used, found.error)

    def trace_transactions(
        self, block: Block, indexes: Sequence[int], options: TraceOptions, interrupted: Interrupted
    ) -> list[Json]:
        """See the port. Every transaction up to the last one runs once, in order; `indexes` ascend."""
        parent = self._reader.header(block.header.parent_hash)
        if parent is None:
            raise RequestError("genesis is not traceable")
        trace = self._tracing(
            self._reader.context_of(block.header), self._reader.state_at(parent.hash), options, interrupted
        )
        results: list[Json] = []
        bytes_left, done = options.bytes_max, 0
        for index in indexes:
            found = trace(block.transactions[done:index], block.transactions[index], bytes_left)
            done = index + 1
            # As text it takes a tenth of the memory, and its size is known.
            result = encode_value(found)
            bytes_left = max(0, bytes_left - len(result))
            results.append(result)
        return results

    def _tracing(
        self, context: BlockContext, view: StateView, options: TraceOptions, interrupted: Interrupted
    ) -> Callable[[Sequence[Transaction], Transaction, int], Json]:
        """A function to be called for one transaction after the other, and with those skipped between."""
        if options.tracer == PRESTATE:
            walk = PrestateWalk(self._executor, context, view)

            def look(skipped: Sequence[Transaction], tx: Transaction, bytes_max: int) -> Json:
                walk.skip(skipped, interrupted)
                return walk.look(tx, diff=options.diff_mode, bytes_max=bytes_max, interrupted=interrupted)

            return look
        session = self._executor.begin_traced(context, view)

        def trace(skipped: Sequence[Transaction], tx: Transaction, bytes_max: int) -> Json:
            for earlier in skipped:
                session.apply(earlier, interrupted)
            tracer = _tracer(options, bytes_max)
            session.apply(tx, interrupted, tracer)
            return tracer.result()

        return trace

    def trace_call(
        self, place: CallPlace, call: Call, options: TraceOptions, interrupted: Interrupted
    ) -> Json:
        """See the port."""
        view = self._state_at(place.header)
        if options.tracer == PRESTATE:
            if options.diff_mode:
                raise RequestError("a call changes nothing: prestateTracer knows no diffMode here")
            context = self._context(place)
            return prestate_of_call(
                self._executor,
                context,
                view,
                call,
                place.accounts,
                bytes_max=options.bytes_max,
                interrupted=interrupted,
            )
        tracer = _tracer(options, options.bytes_max)
        self._executor.call(self._context(place), view, call, place.accounts, tracer, interrupted)
        return tracer.result()

    def _view(self, place: CallPlace, call: Call) -> StateView:
        """What a call runs over."""
        return self._state_at(place.header)

    def _context(self, place: CallPlace) -> BlockContext:
        """What the code may know of its block: that of `place.header`, or of the one to come."""
        header = place.header
        author = self._reader.author_of(header)
        if place.pending:
            timestamp = max(header.timestamp + 1, int(self._unix_time()))
            context = self._reader.context_after(header, timestamp, author)
        else:
            context = self._reader.context_of(header)
        return _overridden(context, place.block)


def _overridden(context: BlockContext, change: BlockOverride) -> BlockContext:
    if change == BlockOverride():
        return context
    return replace(
        context,
        number=context.number if change.number is None else change.number,
        timestamp=context.timestamp if change.timestamp is None else change.timestamp,
        gas_limit=context.gas_limit if change.gas_limit is None else change.gas_limit,
        author=context.author if change.author is None else change.author,
        difficulty=context.difficulty if change.difficulty is None else change.difficulty,
        base_fee_per_gas=(
            context.base_fee_per_gas if change.base_fee_per_gas is None else change.base_fee_per_gas
        ),
    )


def _tracer(options: TraceOptions, bytes_max: int) -> StructLogger | CallTracer:
    if options.tracer is not None:
        return CallTracer(
            only_top_call=options.only_top_call, with_logs=options.with_logs, bytes_max=bytes_max
        )
    return StructLogger(
        with_memory=options.with_memory,
        with_stack=options.with_stack,
        with_storage=options.with_storage,
        with_return_data=options.with_return_data,
        steps_max=options.steps_max,
        bytes_max=bytes_max,
    )
