"""Which events a client wants, and finding them in blocks. Pure but for the ChainBackend it reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from node.execution.executor import Interrupted
from node.primitives.block import Block, Header
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import Log, Receipt, logs_bloom
from node.rpc.backend import ChainBackend, stop_if
from node.rpc.blocks import NumberOrTag, Tag, find_header, read_number_or_tag
from node.rpc.encoding import JsonObject, log_json, log_text
from node.rpc.jsonrpc import LimitExceeded, RpcError
from node.rpc.log_index import LogBlock, LogIndex, LogQuery
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


class FoundLog(NamedTuple):
    """A wanted event at its place."""

    log: Log
    header: Header | LogBlock
    tx_hash: Hash32
    tx_index: int
    log_index: int

    def json(self, *, removed: bool = False) -> JsonObject:
        """As eth_getLogs gives it."""
        return log_json(self.log, self.header, self.tx_hash, self.tx_index, self.log_index, removed=removed)

    def text(self) -> str:
        """The same as JSON text, when nothing was removed."""
        return log_text(self.log, self.header, self.tx_hash, self.tx_index, self.log_index)


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
    chain: ChainBackend,
    wanted: LogFilter,
    limits: LogLimits,
    interrupted: Interrupted,
    index: LogIndex | None = None,
) -> list[FoundLog]:
    """All wanted events, oldest first. LimitExceeded for too wide a range or too many results.

    With an index only blocks that it does not have yet are looked through, and count against the range.
    """
    if wanted.block_hash is not None:
        header = chain.header(wanted.block_hash)
        if header is None:
            raise RpcError("unknown block")
        found = list(_logs_of_header(chain, header, wanted.criteria))
        if len(found) > limits.results_max:
            raise _too_many(limits, header.number, header.number)
        return found
    for _ in range(SCAN_ATTEMPTS):
        start, stop = range_of(chain, wanted)
        indexed = _from_index(chain, wanted, start, stop, limits, interrupted, index)
        first = indexed.first if indexed else start
        _check_width(first, stop, limits)
        scanned = _scan(chain, range(first, stop + 1), wanted.criteria, limits, interrupted, indexed)
        if scanned is not None:
            return scanned
    raise RpcError("the chain was reorganised while it was read; ask again")


def range_of(chain: ChainBackend, wanted: LogFilter) -> tuple[int, int]:
    """First and last block number, both on the chain as it is now."""
    start = _number(chain, wanted.start)
    stop = _number(chain, wanted.stop)
    if start > stop and isinstance(wanted.start, int) and isinstance(wanted.stop, int):
        raise RpcError(f"invalid block range params: fromBlock {start} is after toBlock {stop}")
    return start, min(stop, chain.head.number)


def _check_width(start: int, stop: int, limits: LogLimits) -> None:
    if stop - start >= limits.range_blocks_max:
        raise LimitExceeded(
            f"block range too wide: {stop - start + 1} blocks where one query may ask for "
            f"{limits.range_blocks_max} (setting rpc.logs_range_blocks_max); ask in steps"
        )


@dataclass(slots=True)
class _Indexed:
    """What an index has answered, and where blocks have to be read from."""

    logs: list[FoundLog]
    first: int
    """The first block that is not in the index."""
    parent: Hash32
    """Of that block, if it follows on what the index has."""


def _from_index(
    chain: ChainBackend,
    wanted: LogFilter,
    start: int,
    stop: int,
    limits: LogLimits,
    interrupted: Interrupted,
    index: LogIndex | None,
) -> _Indexed | None:
    """None where there is no index, or one that does not stand on the chain as it is now."""
    if index is None or start >= stop:
        return None  # one block is read sooner than an index is asked
    query = LogQuery(
        addresses=wanted.criteria.addresses,
        topics=wanted.criteria.topics,
        start=start,
        stop=stop,
        count_max=limits.results_max,
        bytes_max=limits.bytes_max,
    )
    page = index.find(query, interrupted)
    if page is None or chain.canonical_hash(page.covered.number) != page.covered.hash:
        return None
    if not page.complete:
        raise _too_many(limits, start, page.logs[-1].block.number - 1)
    return _Indexed(
        list(map(FoundLog._make, page.logs)), max(start, page.covered.number + 1), page.covered.hash
    )


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
    indexed: _Indexed | None = None,
) -> list[FoundLog] | None:
    """None when the headers read do not follow from one another: a reorganisation came between."""
    masks = criteria.bloom_masks()
    found = indexed.logs if indexed else []
    size = sum(LOG_BYTES + 2 * len(log.log.data) for log in found)
    parent_hash = indexed.parent if indexed else None
    for number in numbers:
        stop_if(interrupted)
        header = chain.header_by_number(number)
        if header is None or (parent_hash is not None and header.parent_hash != parent_hash):
            return None
        parent_hash = header.hash
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
