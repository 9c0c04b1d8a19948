"""Chains to be indexed: real ones with reorganisations, and the contract suite's sandbox recorded as one."""

from dataclasses import dataclass, field
from typing import Any

from contracts.artifacts import load
from contracts.suite import ACCOUNT_INGRESS, NODE_INGRESS
from node.chain.events import ExecutedBlock
from node.execution.executor import BlockContext
from node.primitives.block import Block, BlockRef, Body
from node.primitives.ids import Address
from node.primitives.receipt import merge_blooms
from node.primitives.state import StateView
from node.replica.database import IndexDatabase
from node.replica.events import event_tables
from node.replica.tables import BLOCK_TABLES, CHECKPOINT
from node.replica.writer import IndexedChain, IndexWriter, MovesOf, StateAt
from tests.contracts import test_cloud_day as cloud
from tests.contracts.sandbox import EXECUTOR, Done, Sandbox, canonical
from tests.rpc.world import MemoryChain, header_after

IDENTITY = "1337:test"


def writer_of(
    database: IndexDatabase,
    chain: IndexedChain,
    *,
    moves_of: MovesOf | None = None,
    state_at: StateAt = lambda _: None,
    known: dict[Address, str] | None = None,
) -> IndexWriter:
    """An open writer."""
    writer = IndexWriter(
        database, chain, identity=IDENTITY, moves_of=moves_of, state_at=state_at, known=known or {}
    )
    writer.open()
    return writer


def follow(writer: IndexWriter) -> BlockRef | None:
    """Step until there is nothing to do; where the index stands."""
    while writer.step() is not None:
        pass
    return writer.checkpoint()


def dump(database: IndexDatabase) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that has any, in an order of no meaning; numbers as numbers."""
    found = {}
    with database.read(60) as session:
        for table in (CHECKPOINT, *BLOCK_TABLES, *event_tables()):
            rows = session.rows(f'SELECT * FROM "{table.name}"')
            if rows:
                found[table.name] = sorted((tuple(_plain(each) for each in row) for row in rows), key=repr)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, memoryview)):
        return bytes(value)
    if isinstance(value, str) and value.lstrip("-").isdigit():
        return int(value)
    return value if value is None or isinstance(value, str) else int(value)


@dataclass
class RecordedSandbox(Sandbox):
    """A sandbox whose every transaction is a block of `record`."""

    record: MemoryChain = field(default_factory=MemoryChain)

    def __post_init__(self) -> None:
        Sandbox.__init__(self)

    def state_at(self, _: bytes) -> StateView:
        """The present: the recorded chain is followed after each block, or at its end."""
        return self.world

    def _include(
        self,
        context: BlockContext,
        author: Address,
        recipient: Address | None,
        data: bytes,
        entry: dict[str, Any] | None,
        output: bytes,
        value: int,
        gas: int,
    ) -> Done:
        session = EXECUTOR.begin(context, self.world)
        receipt = session.apply(self._transaction(author, recipient, data, value, gas))
        if receipt.succeeded:
            tx = self._transaction(author, recipient, data, value, gas)
            self._record(context, ExecutedBlock(Block(self.record.head, Body((tx,))), (receipt,)))
        return super()._include(context, author, recipient, data, entry, output, value, gas)

    def _record(self, context: BlockContext, made: ExecutedBlock) -> None:
        header = header_after(
            self.record.head,
            timestamp=context.timestamp,
            gas_used=made.receipts[-1].cumulative_gas_used,
            logs_bloom=merge_blooms(receipt.bloom for receipt in made.receipts),
        )
        self.record.adopt([ExecutedBlock(Block(header, made.block.body), made.receipts)])


def a_day_recorded() -> cloud.Day:
    """The suite deployed behind the doors of genesis, and a whole day of a small cloud on it."""
    chain = RecordedSandbox()
    for name, address in (("NodeIngress", NODE_INGRESS), ("AccountIngress", ACCOUNT_INGRESS)):
        starter = int(chain.account(0), 16)
        chain.put_code(address, load(name).deployed_bytecode, {0: starter})
    day = cloud.a_day(chain)
    hosts = cloud.hardware_arrives(day)
    cloud.leases_are_given(day, hosts)
    clinic, bank = day.account(cloud.CLINIC, prepaid=True), day.account(cloud.BANK, prepaid=False)
    for place in (cloud.OPERATOR, cloud.CLINIC, cloud.BANK):
        day.fund(place, 10_000)
    cloud.usage_is_billed(day, clinic, bank)
    cloud.a_breach_costs(day, bank)
    cloud.the_day_is_attested(day)
    return day


def address_of(text: str) -> Address:
    """Text to bytes."""
    return canonical(text)
