"""New blocks from peers: check the header, pass it on, import it, tell the others.

A block is passed on once its header and seal are good and its body belongs to it, before it is executed:
waiting for the execution at every hop would make a large network slow. One task imports, in order; a block
whose parent is being imported waits for it, one whose parent is unknown is left to the downloader.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from consensus.headers import verify_not_future
from node.chain.errors import FutureBlock, InvalidBlock, InvalidBody
from node.chain.validation import verify_body
from node.primitives.block import EMPTY_OMMERS_HASH, Block, BlockRef, Body, Header
from node.primitives.errors import ChainError
from node.primitives.ids import BlockNumber, Hash32
from node.sync.gossip import Gossip
from node.sync.planner import EMPTY_ROOT, body_bytes, match_bodies
from node.sync.ports import Chain, Door, HeaderRules
from node.sync.roster import Member, Roster
from node.txpool.recent import Recent
from p2p.errors import PENALTY_BAN, PeerError
from p2p.eth.messages import GetBlockBodies, GetBlockHeaders, NewBlock, NewBlockHashes

QUEUE_BLOCKS_MAX: Final = 64
"""Checked blocks that wait to be imported; more are left to the downloader."""
WAITING_MAX: Final = 16
WAITING_BYTES_MAX: Final = 32 << 20
"""Unchecked blocks that wait for a parent that is being imported, or for their time."""
FUTURE_WAIT_S_MAX: Final = 5.0
"""A block farther ahead of our clock is ignored; it comes again by the downloader."""
AHEAD_MAX: Final = 32
BEHIND_MAX: Final = 64
"""Announcements farther from our head are no gossip: we are behind, or the peer is."""
FETCHES_MAX: Final = 64
"""Announced blocks that are waited for or fetched at a time."""
ARRIVAL_WAIT_S: Final = 0.3
"""An announced block is likely to come in full from somebody else."""
PENALTY_WRONG_DIFFICULTY: Final = 25.0
REFUSED_REMEMBERED: Final = 1_024

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Checked:
    """A block whose header is good, and who sent it."""

    block: Block
    total_difficulty: int
    member: Member


class BlockIntake:
    """See the module. `run` must be running; the rest is called by the tasks that serve peers."""

    def __init__(
        self,
        chain: Chain,
        door: Door,
        rules: HeaderRules,
        roster: Roster,
        gossip: Gossip,
        unix_time: Callable[[], float],
    ) -> None:
        self._unix_time = unix_time
        self._chain = chain
        self._door = door
        self._rules = rules
        self._roster = roster
        self._gossip = gossip
        self._put, self._queue = trio.open_memory_channel[_Checked](QUEUE_BLOCKS_MAX)
        self._under_way: set[Hash32] = set()
        """Blocks that are being checked or imported, or wait for that."""
        self._children: dict[Hash32, list[tuple[Member, NewBlock]]] = {}
        self._waiting: dict[Hash32, int] = {}
        """Bytes of each block that waits unchecked."""
        self._fetching: dict[Hash32, list[Member]] = {}
        self._refused: Recent[Hash32] = Recent(REFUSED_REMEMBERED)
        self._checking = trio.CapacityLimiter(1)
        self.tell_coming: Callable[[Header], None] = lambda _: None
        """Called when a block has passed all checks but its execution."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Import what was checked, and fetch what was announced, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            async for checked in self._queue:
                await self._import(checked)

    def is_under_way(self, block_hash: Hash32) -> bool:
        """Whether the block is here but not imported yet."""
        return block_hash in self._under_way

    # --- whole blocks

    async def take_block(self, member: Member, message: NewBlock) -> None:
        """A peer sent a new block. ChainError when it must not be passed on: the peer is at fault."""
        block = message.block
        member.known_blocks.add(block.hash)
        if block.hash in self._refused:
            raise InvalidBlock(f"block {block.ref} was refused before")
        if block.number < self._lowest():
            return  # old blocks can be forged at no cost by whoever rewrites a seal
        if self._is_here(block.hash):
            self._roster.note_head(member, block.ref, message.total_difficulty)
            return
        parent = self._chain.header(block.header.parent_hash)
        try:
            verify_not_future(block.header, self._unix_time())
        except FutureBlock as error:
            if error.ahead_s <= FUTURE_WAIT_S_MAX and self._may_wait(message):
                self._nursery.start_soon(self._wait_for_time, member, message, error.ahead_s)
            return
        if parent is not None:
            await self._check(member, message, parent)
        elif block.header.parent_hash in self._under_way and self._may_wait(message):
            self._children.setdefault(block.header.parent_hash, []).append((member, message))
        else:
            self._roster.note_head(member, block.ref, message.total_difficulty)

    async def _check(self, member: Member, message: NewBlock, parent: Header) -> None:
        block = message.block
        parent_difficulty = self._chain.total_difficulty(parent.hash)
        assert parent_difficulty is not None
        total_difficulty = parent_difficulty + block.header.difficulty
        # @ethereumjs announces what it had before the block; nothing rests on the number, so it may.
        if message.total_difficulty not in (total_difficulty, parent_difficulty):
            member.connection.penalise(PENALTY_WRONG_DIFFICULTY, "a wrong total difficulty")
        self._under_way.add(block.hash)
        try:
            await trio.to_thread.run_sync(self._verify, parent, block, limiter=self._checking)
            self.tell_coming(block.header)
            is_as_it_came = message.total_difficulty == total_difficulty
            self._gossip.send_block(message if is_as_it_came else NewBlock(block, total_difficulty))
            self._put.send_nowait(_Checked(block, total_difficulty, member))
        except trio.WouldBlock:
            self._under_way.discard(block.hash)
            self._roster.note_head(member, block.ref, total_difficulty)
        except BaseException as error:
            self._under_way.discard(block.hash)
            # A wrong body says nothing about the header: the block's hash is not to be held against it.
            if isinstance(error, ChainError) and not isinstance(error, InvalidBody):
                self._refused.add(block.hash)
            raise

    def _verify(self, parent: Header, block: Block) -> None:
        """On a worker thread: header, seal and body, without executing anything."""
        self._rules.advance(self._rules.state_after(parent), parent, block.header)
        verify_body(block.header, block.body)

    async def _import(self, checked: _Checked) -> None:
        block, member = checked.block, checked.member
        try:
            await self._door.import_block(block)
        except InvalidBlock as error:
            self._refused.add(block.hash)
            member.connection.penalise(PENALTY_BAN, str(error))
        except ChainError as error:
            log.info("a block could not be imported: %s", error, extra={"block": block.ref})
        else:
            self._gossip.announce_block(block.ref)
            self._roster.note_head(member, block.ref, checked.total_difficulty)
        self._under_way.discard(block.hash)
        for child_member, message in self._children.pop(block.hash, []):
            await self._take_waiting(child_member, message)

    def _may_wait(self, message: NewBlock) -> bool:
        """Reserve a place for a block that cannot be checked yet, if there is one."""
        block = message.block
        size = body_bytes(block.body) + len(message.encoded or b"")
        if len(self._waiting) >= WAITING_MAX or sum(self._waiting.values()) + size > WAITING_BYTES_MAX:
            return False
        self._waiting[block.hash] = size
        self._under_way.add(block.hash)
        return True

    async def _wait_for_time(self, member: Member, message: NewBlock, ahead_s: float) -> None:
        await trio.sleep(ahead_s)
        await self._take_waiting(member, message)

    async def _take_waiting(self, member: Member, message: NewBlock) -> None:
        del self._waiting[message.block.hash]
        self._under_way.discard(message.block.hash)
        await self._take_or_blame(member, message)

    async def _take_or_blame(self, member: Member, message: NewBlock) -> None:
        try:
            await self.take_block(member, message)
        except ChainError as error:
            member.connection.penalise(PENALTY_BAN, str(error))

    # --- announced blocks

    def take_announcement(self, member: Member, message: NewBlockHashes) -> None:
        """A peer has imported blocks; fetch those that nobody sends us."""
        for ref in message.entries:
            member.known_blocks.add(ref.hash)
            if self._is_here(ref.hash) or ref.hash in self._refused or ref.number < self._lowest():
                continue
            if ref.number > self._chain.head.number + AHEAD_MAX:
                self._note_unweighed(member, ref)
            elif ref.hash in self._fetching:
                if member not in self._fetching[ref.hash]:
                    self._fetching[ref.hash].append(member)
            elif len(self._fetching) < FETCHES_MAX:
                self._fetching[ref.hash] = [member]
                self._nursery.start_soon(self._fetch, ref)

    async def _fetch(self, ref: BlockRef) -> None:
        """Ask those who announced a block for it, one after the other, until one gives it."""
        members = self._fetching[ref.hash]
        try:
            await trio.sleep(ARRIVAL_WAIT_S)
            while members and not self._is_here(ref.hash):
                member = members.pop(0)
                try:
                    block = await self._fetch_from(member, ref)
                except PeerError:
                    continue  # it was slow or has gone; its connection keeps the score
                except ChainError as error:
                    member.connection.penalise(PENALTY_BAN, str(error))
                    continue
                if block is not None:
                    await self._take_fetched(member, block)
        finally:
            del self._fetching[ref.hash]

    async def _fetch_from(self, member: Member, ref: BlockRef) -> Block | None:
        """The announced block, or None when the peer does not have it after all."""
        answer = await member.connection.request(GetBlockHeaders(0, ref.hash, 1))
        if not answer.headers:
            return None
        (header,) = answer.headers
        if header.ref != ref:
            raise InvalidBlock(f"header {header.ref} where {ref} was asked for")
        if header.transactions_root == EMPTY_ROOT and header.ommers_hash == EMPTY_OMMERS_HASH:
            return Block(header, Body())
        bodies = (await member.connection.request(GetBlockBodies(0, (ref.hash,)))).bodies
        matched = await trio.to_thread.run_sync(match_bodies, (header,), bodies, limiter=self._checking)
        return Block(header, matched[ref.hash]) if matched else None

    async def _take_fetched(self, member: Member, block: Block) -> None:
        parent_difficulty = self._chain.total_difficulty(block.header.parent_hash)
        if parent_difficulty is None and block.header.parent_hash not in self._under_way:
            self._note_unweighed(member, block.ref)
            return
        total_difficulty = (parent_difficulty or 0) + block.header.difficulty
        await self._take_or_blame(member, NewBlock(block, total_difficulty))

    def _note_unweighed(self, member: Member, ref: BlockRef) -> None:
        """A block whose total difficulty nobody has told: worth a look if it is above us or beside us."""
        ours = self._chain.total_difficulty(self._chain.head.hash) or 0
        is_above = ref.number > self._chain.head.number
        self._roster.note_head(member, ref, max(member.total_difficulty, ours + is_above))

    def _is_here(self, block_hash: Hash32) -> bool:
        return block_hash in self._under_way or self._chain.header(block_hash) is not None

    def _lowest(self) -> BlockNumber:
        return self._chain.head.number - BEHIND_MAX
