"""Which events are found: criteria, ranges, limits, and a chain that reorganises while it is read."""

import threading
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.primitives.ids import Address, Hash32
from node.primitives.receipt import Log, logs_bloom
from node.rpc.blocks import Tag
from node.rpc.jsonrpc import LimitExceeded, RpcError
from node.rpc.log_index import LogBlock
from node.rpc.logs import FoundLog, LogCriteria, LogFilter, LogLimits, find_logs, read_log_filter
from node.rpc.params import BadValue
from tests.rpc.world import TOKEN, TRANSFER, MemoryChain, World, signed, transfer_log

LIMITS = LogLimits(range_blocks_max=100, results_max=10, bytes_max=10**6)
OTHER = Address(b"\x71" * 20)
ANY: frozenset[Hash32] = frozenset()
NUMBERS = st.integers(0, (1 << 64) - 1)
HASHES = st.binary(min_size=32, max_size=32).map(Hash32)
TOPICS = st.lists(HASHES, max_size=4).map(tuple)
ADDRESSES = st.binary(min_size=20, max_size=20).map(Address)


def topic(number: int) -> Hash32:
    return Hash32(number.to_bytes(32, "big"))


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


def found(chain: MemoryChain, **fields: Any) -> list[tuple[int, int]]:
    """(block, log index) of what is found."""
    wanted = LogFilter(**{"criteria": LogCriteria(), "start": 0} | fields)
    logs = find_logs(chain, wanted, LIMITS, lambda: False)
    return [(log.header.number, log.log_index) for log in logs]


@pytest.fixture
def chain() -> MemoryChain:
    """Blocks 1 to 4; odd ones hold two events of TOKEN, block 4 one of OTHER."""
    chain = MemoryChain()
    for number in (1, 2, 3):
        chain.extend([signed(number)], [transfer_log(number), transfer_log(9)] if number % 2 else [])
    chain.extend([signed(4)], [Log(OTHER, (), b"")])
    return chain


# --- criteria


@given(
    st.builds(
        FoundLog,
        st.builds(Log, ADDRESSES, TOPICS, st.binary(max_size=99)),
        st.builds(LogBlock, NUMBERS, HASHES, NUMBERS),
        HASHES,
        NUMBERS,
        NUMBERS,
    )
)
def test_the_text_of_an_event_is_its_json(found: FoundLog) -> None:
    assert found.text().encode() == msgspec.json.encode(found.json())


@pytest.mark.parametrize(
    ("criteria", "matches"),
    [
        (LogCriteria(), True),
        (LogCriteria(frozenset((TOKEN,))), True),
        (LogCriteria(frozenset((TOKEN, OTHER))), True),
        (LogCriteria(frozenset((OTHER,))), False),
        (LogCriteria(topics=(frozenset((TRANSFER,)),)), True),
        (LogCriteria(topics=(ANY, frozenset((topic(1), topic(2))))), True),
        (LogCriteria(topics=(frozenset((topic(1),)),)), False),
        (LogCriteria(topics=(ANY, ANY)), True),
        (LogCriteria(topics=(ANY, ANY, ANY)), False),  # the event has two topics
    ],
)
def test_what_matches(criteria: LogCriteria, matches: bool) -> None:
    log = transfer_log(1)
    assert criteria.matches(log) is matches
    if matches:
        assert criteria.bloom_masks().may_match(logs_bloom([log]))


@given(st.lists(st.integers(0, 5), max_size=3), st.lists(st.integers(0, 5), max_size=3))
def test_the_bloom_never_hides_a_match(addresses: list[int], topics: list[int]) -> None:
    criteria = LogCriteria(
        frozenset(Address(bytes((n,)) * 20) for n in addresses),
        tuple(frozenset((topic(n),)) if n else ANY for n in topics),
    )
    for n in range(6):
        log = Log(Address(bytes((n,)) * 20), tuple(topic(t) for t in topics), b"")
        if criteria.matches(log):
            assert criteria.bloom_masks().may_match(logs_bloom([log]))


# --- finding


def test_events_are_found_by_criteria(chain: MemoryChain) -> None:
    assert found(chain) == [(1, 0), (1, 1), (3, 0), (3, 1), (4, 0)]
    assert found(chain, criteria=LogCriteria(frozenset((OTHER,)))) == [(4, 0)]
    assert found(chain, criteria=LogCriteria(topics=(ANY, frozenset((topic(3),))))) == [(3, 0)]


def test_ranges(chain: MemoryChain) -> None:
    assert found(chain, start=2, stop=3) == [(3, 0), (3, 1)]
    assert found(chain, start=None) == [(4, 0)]  # latest to latest
    assert found(chain, start=Tag.EARLIEST, stop=1) == [(1, 0), (1, 1)]
    assert found(chain, start=3, stop=1000) == [(3, 0), (3, 1), (4, 0)]
    assert found(chain, start=1000) == []
    assert found(chain, start=Tag.LATEST, stop=2) == []


def test_one_block_by_hash(chain: MemoryChain) -> None:
    assert found(chain, start=None, block_hash=chain.canonical[3]) == [(3, 0), (3, 1)]
    with pytest.raises(RpcError, match="unknown block"):
        found(chain, start=None, block_hash=Hash32(bytes(32)))


def test_a_range_that_runs_backwards_is_an_error(chain: MemoryChain) -> None:
    with pytest.raises(RpcError, match="fromBlock 3 is after toBlock 2"):
        found(chain, start=3, stop=2)


def test_limits_name_themselves_and_what_would_fit(chain: MemoryChain) -> None:
    limits = LogLimits(range_blocks_max=3, results_max=3, bytes_max=10**6)
    with pytest.raises(
        LimitExceeded, match=r"5 blocks where one query may ask for 3 .*logs_range_blocks_max"
    ):
        find_logs(chain, LogFilter(LogCriteria(), 0), limits, lambda: False)
    for limits in (replace(LIMITS, results_max=3), replace(LIMITS, bytes_max=2000)):
        with pytest.raises(LimitExceeded, match=r"query returned more than .*; blocks 0x0 to 0x2 fit"):
            find_logs(chain, LogFilter(LogCriteria(), 0), limits, lambda: False)


def test_a_reorganisation_while_reading_starts_again(
    chain: MemoryChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    original = chain.header_by_number

    def header_by_number(number: int) -> Any:
        nonlocal reads
        reads += 1
        if reads == 4:  # after blocks 0, 1 and 2
            fork = chain.make(chain.genesis, [signed(7)], [transfer_log(7)], timestamp=1_700_000_077)
            tail = chain.make(fork.block.header)
            chain.adopt([fork, tail], removed_count=4)
        return original(number)

    monkeypatch.setattr(chain, "header_by_number", header_by_number)
    assert found(chain) == [(1, 0)]


# --- reading filters


def test_filters_as_clients_write_them() -> None:
    wanted = read_log_filter(
        {
            "fromBlock": "0x1",
            "toBlock": "latest",
            "address": [hexed(TOKEN), hexed(OTHER)],
            "topics": [hexed(TRANSFER), None, [hexed(topic(1)), hexed(topic(2))], [None, hexed(topic(3))]],
        }
    )
    assert wanted == LogFilter(
        LogCriteria(
            frozenset((TOKEN, OTHER)),
            (frozenset((TRANSFER,)), ANY, frozenset((topic(1), topic(2))), ANY),
        ),
        1,
        Tag.LATEST,
    )
    assert read_log_filter({"address": hexed(TOKEN)}).criteria.addresses == {TOKEN}
    assert read_log_filter({}) == LogFilter(LogCriteria())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"blockHash": hexed(TRANSFER), "fromBlock": "0x1"}, "cannot specify both"),
        ({"topics": [None] * 5}, "exceed max topics"),
        ({"topics": [[hexed(TRANSFER)] * 1001]}, "exceed max topics"),
        ({"topics": "0x"}, "topics: expected an array"),
        ({"topics": ["0x01"]}, "topics: hex string has length 2"),
        ({"address": ["0x01"]}, "address: hex string has length 2"),
        ([], "expected an object"),
    ],
)
def test_filters_that_make_no_sense(value: Any, words: str) -> None:
    with pytest.raises(BadValue, match=words):
        read_log_filter(value)


# --- where it is done


@pytest.mark.parametrize(
    ("fields", "on_loop"),
    [
        ({}, True),
        ({"fromBlock": "0x0", "toBlock": "latest"}, False),
        ({"fromBlock": "0x0"}, False),
        ({"fromBlock": "0x1", "toBlock": "0x4"}, False),
        ({"fromBlock": "0x3", "toBlock": "0x3"}, True),
        ({"fromBlock": "earliest", "toBlock": "latest"}, False),
    ],
)
async def test_only_one_small_block_is_looked_through_on_the_event_loop(
    chain: MemoryChain, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], on_loop: bool
) -> None:
    """Block 0 is no name of the latest: from it on, all of the chain is read."""
    readers = set()

    def receipts(block_hash: Hash32) -> Any:
        readers.add(threading.current_thread() is threading.main_thread())
        return MemoryChain.receipts(chain, block_hash)

    monkeypatch.setattr(chain, "receipts", receipts)
    dispatcher = World(chain=chain).api().dispatcher
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [fields]})
    answer = await dispatcher.answer(dispatcher.parse(body))
    assert answer is not None
    assert msgspec.json.decode(answer)["result"]
    assert readers == {on_loop}
