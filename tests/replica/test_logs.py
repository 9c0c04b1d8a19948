"""An index answers what a scan of the blocks answers, whatever is asked and wherever the chain turns."""

from random import Random

import pytest

from node.backends.replica import ReplicaLogIndex
from node.config.settings import RpcSettings
from node.primitives.ids import Address, Hash32
from node.primitives.receipt import Log
from node.replica.log_queries import LogQueries
from node.rpc.app import Dispatcher
from node.rpc.jsonrpc import LimitExceeded
from node.rpc.logs import LogCriteria, LogFilter, LogLimits, find_logs
from node.rpc.methods import phoenix
from node.rpc.params import bind
from tests.replica.chains import follow, writer_of
from tests.rpc.world import MemoryChain, signed

ADDRESSES = tuple(Address(bytes((0x70 + index,)) * 20) for index in range(3))
TOPICS = tuple(Hash32(bytes((index,)) * 32) for index in range(4))
WIDE = LogLimits(range_blocks_max=10**6, results_max=10**6, bytes_max=10**9)
NARROW = LogLimits(range_blocks_max=3, results_max=10**6, bytes_max=10**9)


def never() -> bool:
    return False


class LoggingChain(MemoryChain):
    """Blocks with events of few addresses and topics, so that every criterion finds some."""

    def __init__(self, seed: int, blocks: int) -> None:
        super().__init__()
        self.draw = Random(seed)
        for _ in range(blocks):
            self.grow()

    def grow(self, removed: int = 0) -> None:
        draw, parent = self.draw, self.header_by_number(self.head.number - removed)
        made = []
        for _ in range(removed + 1):
            transactions = [signed(draw.randrange(10**6)) for _ in range(draw.randrange(3))]
            logs = [self._log() for _ in range(draw.randrange(5) if transactions else 0)]
            made.append(self.make(parent, transactions, logs, extra_data=draw.randbytes(97)))
            parent = made[-1].block.header
        self.adopt(made, removed)

    def _log(self) -> Log:
        topics = tuple(self.draw.choices(TOPICS, k=self.draw.randrange(5)))
        return Log(self.draw.choice(ADDRESSES), topics, self.draw.randbytes(self.draw.randrange(40)))


def drawn_filter(draw: Random, head: int) -> LogFilter:
    """Criteria and a range, from nothing at all to everything at once."""

    def some(values, most=3):
        return frozenset(draw.sample(values, draw.randrange(most)))

    topics = tuple(some(TOPICS) for _ in range(draw.randrange(4)))
    start = draw.randrange(head + 1)
    return LogFilter(LogCriteria(some(ADDRESSES), topics), start, draw.randrange(start, head + 3))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 5))])
def test_the_index_answers_what_a_scan_answers(database, seed):
    chain = LoggingChain(seed, 40)
    writer = writer_of(database, chain)
    index = ReplicaLogIndex(LogQueries(database, 60))
    draw = Random(seed)
    for round_number in range(12):
        if round_number % 3 == 0:
            follow(writer)  # else the index lags behind, or stands on a branch that is gone
        else:
            chain.grow(removed=draw.choice((0, 0, 2)))
        for _ in range(12):
            wanted = drawn_filter(draw, chain.head.number)
            scanned = [log.json() for log in find_logs(chain, wanted, WIDE, never)]
            assert [log.json() for log in find_logs(chain, wanted, WIDE, never, index)] == scanned


def test_with_an_index_only_blocks_outside_it_count_against_the_range(database):
    chain = LoggingChain(1, 30)
    index = ReplicaLogIndex(LogQueries(database, 60))
    wanted = LogFilter(LogCriteria(frozenset(ADDRESSES[:1])), 0)
    writer = writer_of(database, chain)
    with pytest.raises(LimitExceeded, match="block range too wide: 31 blocks"):
        find_logs(chain, wanted, NARROW, never, index)
    follow(writer)
    chain.grow()
    indexed = find_logs(chain, wanted, NARROW, never, index)
    assert [log.json() for log in indexed] == [log.json() for log in find_logs(chain, wanted, WIDE, never)]


def test_too_many_results_say_how_far_they_go(database):
    chain = LoggingChain(1, 30)
    follow(writer_of(database, chain))
    index = ReplicaLogIndex(LogQueries(database, 60))
    limits = LogLimits(range_blocks_max=100, results_max=5, bytes_max=10**9)
    with pytest.raises(LimitExceeded, match=r"more than 5 results .*; blocks 0x0 to 0x\w+ fit"):
        find_logs(chain, LogFilter(LogCriteria(), 0), limits, never, index)


# --- phoenix_getLogs


class Paged:
    """phoenix_getLogs over a chain and its index."""

    def __init__(self, chain: MemoryChain, database) -> None:
        index = ReplicaLogIndex(LogQueries(database, 60))
        (self._method,) = phoenix.methods(chain, index, RpcSettings())
        assert Dispatcher([self._method], RpcSettings()).methods.keys() == {"phoenix_getLogs"}

    def __call__(self, *arguments):
        return self._method.handler(never, *bind(self._method.params, list(arguments)))


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_pages_together_are_the_whole_and_the_cursor_goes_on_from_there(database, limit):
    chain = LoggingChain(2, 20)
    writer = writer_of(database, chain)
    follow(writer)
    paged = Paged(chain, database)
    query, options, seen = {"fromBlock": "0x0"}, {"limit": limit}, []
    for more in (0, 0, 2, 0, 1):
        for _ in range(more):
            chain.grow()
        follow(writer)
        while True:
            page = paged(query, options)
            assert len(page["logs"]) <= limit
            seen += page["logs"]
            options["cursor"] = page["cursor"]
            if page["complete"]:
                break
        whole = [log.json() for log in find_logs(chain, LogFilter(LogCriteria(), 0), WIDE, never)]
        assert seen == whole
        assert page["block"] == {"number": hex(chain.head.number), "hash": "0x" + chain.head.hash.hex()}


def test_a_cursor_into_a_block_that_is_gone_is_refused(database):
    chain = LoggingChain(3, 10)
    writer = writer_of(database, chain)
    follow(writer)
    paged = Paged(chain, database)
    cursor = paged({"fromBlock": "0x0"})["cursor"]
    chain.grow(removed=2)
    follow(writer)
    with pytest.raises(phoenix.StaleCursor, match="reorganised at or below block 10"):
        paged({"fromBlock": "0x0"}, {"cursor": cursor})


def test_what_is_no_cursor_is_refused(database):
    chain = LoggingChain(3, 2)
    follow(writer_of(database, chain))
    with pytest.raises(Exception, match="no cursor of phoenix_getLogs"):
        Paged(chain, database)({}, {"cursor": "12"})
    with pytest.raises(Exception, match="limit: 0 events"):
        Paged(chain, database)({}, {"limit": 0})
