"""debug_: blocks as they lie on the wire, and executions step by step."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from node.config.settings import RpcSettings
from node.execution.executor import Interrupted, InvalidTransaction
from node.primitives.block import Block, encode_block, encode_header
from node.primitives.ids import Hash32, hex_of
from node.primitives.receipt import encode_receipt
from node.rpc.backend import (
    Backend,
    BlockOverride,
    CallPlace,
    ChainBackend,
    ExecutionBackend,
    TraceOptions,
)
from node.rpc.blocks import (
    BlockId,
    ByHash,
    NumberOrTag,
    Tag,
    find_header,
    read_block_id,
    read_number_or_tag,
    wanted_header,
)
from node.rpc.call_args import CallArgs, read_block_override, read_call_args, read_state_overrides
from node.rpc.encoding import data_list_json
from node.rpc.jsonrpc import Json, RpcError
from node.rpc.method import Method, Where
from node.rpc.params import (
    BadValue,
    Param,
    read_bool,
    read_count,
    read_hash,
    read_member,
    read_object,
    read_text,
)

TRACERS: Final = ("callTracer", "prestateTracer")


def methods(backend: Backend, settings: RpcSettings) -> list[Method]:
    """getRaw*, and the traces where code can be run."""
    raw = _Raw(backend)
    block, by_hash = Param(read_block_id), Param(read_hash)
    read = Where.READ
    table = [
        Method("debug_getRawHeader", raw.header, (block,), read),
        Method("debug_getRawBlock", raw.block, (block,), read),
        Method("debug_getRawReceipts", raw.receipts, (block,), read),
        Method("debug_getRawTransaction", raw.transaction, (by_hash,), read),
    ]
    if backend.execution is None:
        return table
    trace = _Trace(backend, backend.execution, settings)
    options, run = Param(_read_options, TraceOptions()), Where.TRACE
    call = (Param(read_call_args), Param(read_block_id, Tag.LATEST), Param(_read_call_options, None))
    number = Param(read_number_or_tag)
    return [
        *table,
        Method("debug_traceTransaction", trace.transaction, (by_hash, options), run),
        Method("debug_traceBlockByNumber", trace.block_by_number, (number, options), run),
        Method("debug_traceBlockByHash", trace.block_by_hash, (by_hash, options), run),
        Method("debug_traceCall", trace.call, call, run),
    ]


class _Raw:
    def __init__(self, backend: Backend) -> None:
        self._chain = backend.chain
        self._pool = backend.pool

    def header(self, _: Interrupted, block_id: BlockId) -> Json:
        return hex_of(encode_header(wanted_header(self._chain, block_id)))

    def block(self, _: Interrupted, block_id: BlockId) -> Json:
        return hex_of(encode_block(_block(self._chain, block_id)))

    def receipts(self, _: Interrupted, block_id: BlockId) -> Json:
        header = wanted_header(self._chain, block_id)
        receipts = self._chain.receipts(header.hash)
        if receipts is None:
            raise RpcError(f"the receipts of block {header.number} are not kept here; ask an archive node")
        return data_list_json(encode_receipt(receipt) for receipt in receipts)

    def transaction(self, _: Interrupted, tx_hash: Hash32) -> Json:
        place = self._chain.transaction_place(tx_hash)
        block = self._chain.block(place.block_hash) if place else None
        if place and block:
            return hex_of(block.transactions[place.index].encoded)
        waiting = self._pool.get(tx_hash) if self._pool else None
        return hex_of(waiting.encoded) if waiting else "0x"


class _Trace:
    def __init__(self, backend: Backend, execution: ExecutionBackend, settings: RpcSettings) -> None:
        self._chain = backend.chain
        self._execution = execution
        self._gas_max = settings.call_gas_max
        self._bytes_max = settings.response_bytes_max

    def transaction(self, interrupted: Interrupted, tx_hash: Hash32, options: TraceOptions) -> Json:
        place = self._chain.transaction_place(tx_hash)
        if place is None:
            raise RpcError("transaction not found")
        block = _block(self._chain, ByHash(place.block_hash))
        return self._traced(block, [place.index], options, interrupted)[0]

    def block_by_number(self, interrupted: Interrupted, number: NumberOrTag, options: TraceOptions) -> Json:
        return self._block(interrupted, number, options)

    def block_by_hash(self, interrupted: Interrupted, block_hash: Hash32, options: TraceOptions) -> Json:
        return self._block(interrupted, ByHash(block_hash), options)

    def call(
        self,
        interrupted: Interrupted,
        args: CallArgs,
        block: BlockId,
        config: tuple[TraceOptions, Any, BlockOverride] | None,
    ) -> Json:
        options, accounts, change = config or (TraceOptions(), None, BlockOverride())
        header = wanted_header(self._chain, block)
        place = CallPlace(header=header, pending=block is Tag.PENDING, accounts=accounts, block=change)
        options = replace(options, bytes_max=self._bytes_max)
        try:
            return self._execution.trace_call(place, args.to_call(self._gas_max), options, interrupted)
        except InvalidTransaction as error:
            raise RpcError(f"tracing failed: {error}") from None

    def _traced(
        self, block: Block, indexes: Sequence[int], options: TraceOptions, interrupted: Interrupted
    ) -> list[Json]:
        options = replace(options, bytes_max=self._bytes_max)
        return self._execution.trace_transactions(block, indexes, options, interrupted)

    def _block(self, interrupted: Interrupted, block_id: BlockId, options: TraceOptions) -> Json:
        block = _block(self._chain, block_id)
        if block.number == 0:
            raise RpcError("genesis is not traceable")
        indexes = range(len(block.transactions))
        results = self._traced(block, indexes, options, interrupted)
        return _by_transaction(block, results)


def _by_transaction(block: Block, results: Sequence[Json]) -> Json:
    return [
        {"txHash": hex_of(tx.hash), "result": result}
        for tx, result in zip(block.transactions, results, strict=True)
    ]


def _block(chain: ChainBackend, block_id: BlockId) -> Block:
    header = find_header(chain, block_id)
    block = chain.block(header.hash) if header else None
    if block is None:
        raise RpcError("block not found")
    return block


def _read_options(value: Any) -> TraceOptions:
    """geth's TraceConfig. `timeout` and `reexec` mean nothing here: the node's own limits hold."""
    fields = read_object(value)
    tracer = read_member(fields, "tracer", read_text) or None
    if tracer is not None and tracer not in TRACERS:
        raise BadValue(f"tracer {tracer[:80]!r} is not known here; leave it out or use {', '.join(TRACERS)}")
    details = read_member(fields, "tracerConfig", read_object) or {}
    return TraceOptions(
        tracer=tracer,
        with_memory=read_member(fields, "enableMemory", read_bool) or False,
        with_stack=not read_member(fields, "disableStack", read_bool),
        with_storage=not read_member(fields, "disableStorage", read_bool),
        with_return_data=read_member(fields, "enableReturnData", read_bool) or False,
        steps_max=read_member(fields, "limit", read_count) or 0,
        only_top_call=read_member(details, "onlyTopCall", read_bool) or False,
        with_logs=read_member(details, "withLog", read_bool) or False,
        diff_mode=read_member(details, "diffMode", read_bool) or False,
    )


def _read_call_options(value: Any) -> tuple[TraceOptions, Any, BlockOverride]:
    """TraceConfig with what may be pretended beside it."""
    fields = read_object(value)
    return (
        _read_options(value),
        read_member(fields, "stateOverrides", read_state_overrides),
        read_member(fields, "blockOverrides", read_block_override) or BlockOverride(),
    )
