"""Which events a client wants, and finding them in blocks. Pure but for the ChainBackend it reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from node.execution.executor import Interrupted
from node.primitives.block import Block, Header
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import Log, Receipt, logs_bloom
from node.rpc.backend import ChainBackend, stop_if
from node.rpc.blocks import NumberOrTag, Tag, find_header, read_number_or_tag
from node.rpc.encoding import JsonObject, log_json
from node.rpc.jsonrpc import LimitExceeded, RpcError
from node.rpc.params import BadValue, read_address, read_hash, read_list, read_member, read_object

TOPICS_MAX: Final = 4
TOPIC_CHOICES_MAX: Final = 1000
ADDRESSES_MAX: Final = 1000
LOG_BYTES: Final = 600
"""An event as JSON, without its data."""
SCAN_ATTEMPTS: Final = 3
"""A range is read again from its start when the chain reorganises under it."""


@dataclass(frozen=True, slots=True)
class LogCriteria:
    """What an event must look like."""

    addresses: frozenset[Address] = frozenset()
    """Any of these; empty for any at all."""
    topics: tuple[frozenset[Hash32], ...] = ()
    """By position, any of these; empty for any at all. An event may have more topics, not fewer."""

    def matches(self, log: Log) -> bool:
        """Whether this event is wanted."""
        if self.addresses and log.address not in self.addresses:
            return False
        if len(log.topics) < len(self.topics):
            return False
        return all(not choice or log.topics[i] in choice for i, choice in enumerate(self.topics))

    def bloom_masks(self) -> "BloomMasks":
        """For skipping blocks that cannot hold a wanted event."""
        groups = [[_mask(Log(address, (), b"")) for address in self.addresses]]
        # A topic's bits are those of any other value; an address of 32 bytes is hashed all the same.
        groups += [[_mask(Log(Address(topic), (), b"")) for topic in choice] for choice in self.topics]
        return BloomMasks(tuple(tuple(group) for group in groups if group))


@dataclass(frozen=True, slots=True)
class BloomMasks:
    """Criteria as bits of a bloom: of every group, at least one mask must be in it."""

    groups: tuple[tuple[int, ...], ...]

    def may_match(self, bloom: bytes) -> bool:
        """False only where no wanted event can be."""
        if not self.groups:
            return True
        bits = int.from_bytes(bloom, "big")
        return all(any(bits & mask == mask for mask in group) for group in self.groups)


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Criteria and where to look."""

    criteria: LogCriteria
    start: NumberOrTag | None = None
    """None: latest."""
    stop: NumberOrTag | None = None
    """Inclusive; None: latest."""
    block_hash: Hash32 | None = None
    """One block, in place of a range."""


@dataclass(frozen=True, slots=True)
class FoundLog:
    """A wanted event at its place."""

    log: Log
    header: Header
    tx_hash: Hash32
    tx_index: int
    log_index: int

    def json(self, *, removed: bool = False) -> JsonObject:
        """As eth_getLogs gives it."""
        return log_json(self.log, self.header, self.tx_hash, self.tx_index, self.log_index, removed=removed)


@dataclass(frozen=True, slots=True)
class LogLimits:
    """What one query may ask for."""

    range_blocks_max: int
    results_max: int
    bytes_max: int
    """JSON text that the answer may come to."""


def read_log_filter(value: Any) -> LogFilter:
    """The object that eth_getLogs and eth_newFilter take."""
    fields = read_object(value)
    block_hash = read_member(fields, "blockHash", read_hash)
    start = read_member(fields, "fromBlock", read_number_or_tag)
    stop = read_member(fields, "toBlock", read_number_or_tag)
    if block_hash is not None and (start is not None or stop is not None):
        raise BadValue("cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
    return LogFilter(read_criteria(fields), start, stop, block_hash)


def read_criteria(value: Any) -> LogCriteria:
    """`address` and `topics` of a filter object, as eth_subscribe("logs") takes them."""
    fields = read_object(value)
    addresses = read_member(fields, "address", _read_addresses) or frozenset()
    return LogCriteria(addresses, read_member(fields, "topics", _read_topics) or ())


def logs_of_block(block: Block, receipts: Sequence[Receipt], criteria: LogCriteria) -> Iterator[FoundLog]:
    """The wanted events of one block, in their order."""
    log_index = 0
    for tx_index, receipt in enumerate(receipts):
        for log in receipt.logs:
            if criteria.matches(log):
                yield FoundLog(log, block.header, block.transactions[tx_index].hash, tx_index, log_index)
            log_index += 1


def find_logs(
    chain: ChainBackend, wanted: LogFilter, limits: LogLimits, interrupted: Interrupted
) -> list[FoundLog]:
    """All wanted events, oldest first. LimitExceeded for too wide a range or too many results."""
    if wanted.block_hash is not None:
        header = chain.header(wanted.block_hash)
        if header is None:
            raise RpcError("unknown block")
        found = list(_logs_of_header(chain, header, wanted.criteria))
        if len(found) > limits.results_max:
            raise _too_many(limits, header.number, header.number)
        return found
    for _ in range(SCAN_ATTEMPTS):
        start, stop = _range(chain, wanted, limits)
        scanned = _scan(chain, range(start, stop + 1), wanted.criteria, limits, interrupted)
        if scanned is not None:
            return scanned
    raise RpcError("the chain was reorganised while it was read; ask again")


def _range(chain: ChainBackend, wanted: LogFilter, limits: LogLimits) -> tuple[int, int]:
    """First and last block number, both on the chain as it is now."""
    head = chain.head.number
    start = _number(chain, wanted.start)
    stop = _number(chain, wanted.stop)
    if start > stop and isinstance(wanted.start, int) and isinstance(wanted.stop, int):
        raise RpcError(f"invalid block range params: fromBlock {start} is after toBlock {stop}")
    stop = min(stop, head)
    if stop - start >= limits.range_blocks_max:
        raise LimitExceeded(
            f"block range too wide: {stop - start + 1} blocks where one query may ask for "
            f"{limits.range_blocks_max} (setting rpc.logs_range_blocks_max); ask in steps"
        )
    return start, stop


def _number(chain: ChainBackend, block: NumberOrTag | None) -> int:
    if isinstance(block, int):
        return block
    header = find_header(chain, block or Tag.LATEST)
    assert header is not None  # every tag names a block
    return header.number


def _scan(
    chain: ChainBackend,
    numbers: range,
    criteria: LogCriteria,
    limits: LogLimits,
    interrupted: Interrupted,
) -> list[FoundLog] | None:
    """None when the headers read do not follow from one another: a reorganisation came between."""
    masks = criteria.bloom_masks()
    found: list[FoundLog] = []
    size = 0
    previous: Header | None = None
    for number in numbers:
        stop_if(interrupted)
        header = chain.header_by_number(number)
        if header is None or (previous is not None and header.parent_hash != previous.hash):
            return None
        previous = header
        if not masks.may_match(header.logs_bloom):
            continue
        for log in _logs_of_header(chain, header, criteria):
            found.append(log)
            size += LOG_BYTES + 2 * len(log.log.data)
            if len(found) > limits.results_max or size > limits.bytes_max:
                raise _too_many(limits, numbers.start, number - 1)
    return found


def _logs_of_header(chain: ChainBackend, header: Header, criteria: LogCriteria) -> Iterator[FoundLog]:
    receipts, block = chain.receipts(header.hash), chain.block(header.hash)
    if receipts is None or block is None:
        raise RpcError(f"the receipts of block {header.number} are not kept here; ask an archive node")
    return logs_of_block(block, receipts, criteria)


def _too_many(limits: LogLimits, start: int, stop: int) -> LimitExceeded:
    hint = f"; blocks {start:#x} to {stop:#x} fit" if stop >= start else ""
    return LimitExceeded(
        f"query returned more than {limits.results_max} results (setting rpc.logs_results_max) "
        f"or {limits.bytes_max} bytes (setting rpc.response_bytes_max){hint}"
    )


def _mask(log: Log) -> int:
    return int.from_bytes(logs_bloom([log]), "big")


def _read_addresses(value: Any) -> frozenset[Address]:
    if not isinstance(value, list):
        return frozenset((read_address(value),))
    if len(value) > ADDRESSES_MAX:
        raise BadValue(f"{len(value)} addresses where at most {ADDRESSES_MAX} are allowed")
    return frozenset(map(read_address, value))


def _read_topics(value: Any) -> tuple[frozenset[Hash32], ...]:
    positions = read_list(value)
    if len(positions) > TOPICS_MAX:
        raise BadValue(f"exceed max topics: {len(positions)} positions, an event has at most {TOPICS_MAX}")
    return tuple(map(_read_topic, positions))


def _read_topic(value: Any) -> frozenset[Hash32]:
    """null: any; a hash: that one; a list: any of these, and any at all when null is among them."""
    if value is None:
        return frozenset()
    if not isinstance(value, list):
        return frozenset((read_hash(value),))
    if len(value) > TOPIC_CHOICES_MAX:
        raise BadValue(f"exceed max topics: {len(value)} choices where {TOPIC_CHOICES_MAX} are allowed")
    return frozenset() if None in value else frozenset(map(read_hash, value))
