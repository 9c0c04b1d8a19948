"""One peer from Status to goodbye: a reader, a writer, a sign of life, and whoever serves it.

Everything that waits for the peer is bounded in number, bytes and time. The tasks end together: the first
that fails says why, the writer gets a moment for our last words, and `run` returns how it ended.
"""

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias, overload

import trio

from node.primitives.errors import StorageError
from p2p.connection import WRITE_BYTES, Connection, Disconnected
from p2p.decoder import Decoder
from p2p.devp2p.hello import SharedCapability
from p2p.devp2p.messages import (
    DISCONNECT_CODE,
    EMPTY_PAYLOAD,
    PING_CODE,
    PONG_CODE,
    DisconnectReason,
    decode_disconnect,
    describe,
    encode_disconnect,
)
from p2p.endings import Ending, ending_of
from p2p.errors import (
    PENALTY_FLOOD,
    PENALTY_UNANSWERED,
    MalformedMessage,
    PeerGone,
    PeerTimeout,
)
from p2p.eth.messages import (
    BlockBodies,
    BlockHeaders,
    EthVersion,
    GetBlockBodies,
    GetBlockHeaders,
    GetPooledTransactions,
    GetReceipts,
    Message,
    NewPooledTransactionHashes,
    PooledTransactions,
    Receipts,
    Request,
    Response,
    Transactions,
    encode_message,
)
from p2p.eth.requests import Requests
from p2p.eth.status import Status
from p2p.limits import TokenBucket
from p2p.mailbox import Mailbox
from p2p.options import P2POptions
from p2p.reports import PeerInfo, Traffic
from p2p.rlpx.session import RawMessage

FAREWELL_S: Final = 1.0
"""How long our last words may take to be written."""
GOSSIP_FULLNESS_MAX: Final = 0.5
"""Transaction gossip is lost first: above this, the inbox takes other messages only."""
WRITABLE_FULLNESS_MAX: Final = 0.1
"""Of the outgoing queue, for answers: they are large, and their asker can wait."""
TRICKLE_FACTOR: Final = 4
"""A single message may take this many idle times to arrive, however steadily its bytes come."""

Serve: TypeAlias = "Callable[[Peer], Awaitable[None]]"
Penalise: TypeAlias = "Callable[[Peer, float, str], bool]"
"""Book points with a reason; whether the identity is banned now."""


class Peer:
    """See the module. Made by the pool once Hello and Status are done."""

    def __init__(
        self,
        connection: Connection,
        info: PeerInfo,
        shared: tuple[SharedCapability, ...],
        protocol: EthVersion,
        options: P2POptions,
        *,
        penalise: Penalise,
        decoder: Decoder,
    ) -> None:
        """`info.status` is there; `decoder` serves all peers together."""
        assert info.status is not None
        self._connection = connection
        self._info = info
        self.status: Status = info.status
        """What the peer said of itself when it connected."""
        self.connected_at = trio.current_time()
        self._protocol = protocol
        self._options = options
        self._book_penalty = penalise
        self._decoder = decoder
        limits = options.peer
        self._eth = next(capability for capability in shared if capability.spec.name == "eth")
        self._opaque: dict[str, tuple[SharedCapability, Mailbox[tuple[int, bytes]]]] = {
            capability.spec.name: (capability, Mailbox(limits.inbox_messages_max, limits.inbox_bytes_max))
            for capability in shared
            if capability is not self._eth
        }
        self._outbox: Mailbox[tuple[int, bytes]] = Mailbox(
            limits.outbox_messages_max, limits.outbox_bytes_max
        )
        self._inbox: Mailbox[Message] = Mailbox(limits.inbox_messages_max, limits.inbox_bytes_max)
        self._lost = 0
        self._requests = Requests()
        self._request_places = trio.Semaphore(limits.requests_max)
        self._answers: dict[int, _Answer] = {}
        self._ending: Ending | None = None
        self._work = trio.CancelScope()
        self._writing = trio.CancelScope(shield=True)

    def __repr__(self) -> str:
        return f"<Peer {self._info}>"

    # --- who it is

    @property
    def id(self) -> bytes:
        """64-byte public key: the identity."""
        return self._info.id

    @property
    def name(self) -> str:
        """What the client calls itself."""
        return self._info.name

    @property
    def remote(self) -> str:
        """Where it is, as host:port; never an identity."""
        return str(self._info.remote)

    @property
    def inbound(self) -> bool:
        """Whether it dialled us."""
        return self._info.inbound

    @property
    def silent_s(self) -> float:
        """Seconds since its last whole message."""
        return trio.current_time() - self._connection.message_seen_at

    def info(self) -> PeerInfo:
        """Who it is, whole."""
        return self._info

    def traffic(self) -> Traffic:
        """What went over the connection so far."""
        connection = self._connection
        return Traffic(
            bytes_in=connection.bytes_in,
            bytes_out=connection.bytes_out,
            messages_in=connection.messages_in,
            messages_out=connection.messages_out,
            messages_lost=self._lost,
        )

    # --- talking to it

    def send(self, message: Message) -> bool:
        """Queue a message; False when the peer is gone, or is dropped now because its queue is full."""
        return self.send_encoded(*encode_message(message, self._protocol))

    def send_encoded(self, code: int, payload: bytes) -> bool:
        """`send` for what `encode_message` made elsewhere (large answers are encoded in a worker thread)."""
        return self._queue(self._eth.offset + code, payload)

    def shares(self, capability: str) -> bool:
        """Whether another protocol than eth is shared with this peer."""
        return capability in self._opaque

    def send_opaque(self, capability: str, code: int, payload: bytes) -> bool:
        """`send` for another protocol that is shared with this peer; KeyError when it is not."""
        return self._queue(self._opaque[capability][0].offset + code, payload)

    async def wait_writable(self) -> None:
        """Return once the peer has taken enough of what is queued, or is gone.

        Whoever answers requests waits here before each answer: a peer that asks faster than it reads then
        waits for itself, instead of filling its queue and being dropped.
        """
        await self._outbox.wait_below(WRITABLE_FULLNESS_MAX)

    async def receive(self) -> Message:
        """The next announcement or request of the peer; PeerGone at the end."""
        return await self._inbox.take()

    async def receive_opaque(self, capability: str) -> tuple[int, bytes]:
        """The next (message id, payload) of another shared protocol; KeyError when it is not shared."""
        return await self._opaque[capability][1].take()

    @overload
    async def request(self, message: GetBlockHeaders) -> BlockHeaders: ...
    @overload
    async def request(self, message: GetBlockBodies) -> BlockBodies: ...
    @overload
    async def request(self, message: GetPooledTransactions) -> PooledTransactions: ...
    @overload
    async def request(self, message: GetReceipts) -> Receipts: ...
    async def request(self, message: Request) -> Response:
        """Ask, and wait for the answer; the request id is set here.

        PeerTimeout (the peer has lost score for it) when there is none within request_timeout_s; PeerGone.
        """
        async with self._request_places:
            request = dataclasses.replace(message, request_id=self._requests.next_id())
            answer = self._answers[request.request_id] = _Answer()
            self._requests.open(request)
            try:
                if not self.send(request):
                    raise PeerGone("the connection has ended")
                with trio.move_on_after(self._options.request_timeout_s):
                    await answer.arrived.wait()
            finally:
                self._requests.close(request.request_id)
                del self._answers[request.request_id]
        if answer.response is not None:
            return answer.response
        if self._ending is not None:
            raise PeerGone(self._ending.words)
        words = f"no answer to {type(message).__name__} within {self._options.request_timeout_s:g} s"
        self.penalise(PENALTY_UNANSWERED, words)
        raise PeerTimeout(words)

    def penalise(self, points: float, reason: str) -> None:
        """Take score from the peer; at PENALTY_BAN it is dropped and shut out for a while."""
        if self._book_penalty(self, points, reason):
            self.disconnect(DisconnectReason.USELESS_PEER, reason)

    def disconnect(self, reason: DisconnectReason = DisconnectReason.REQUESTED, words: str = "") -> None:
        """Say goodbye and end; returns at once. The first reason given is the one that counts."""
        self._end(Ending(words or describe(reason), reason))

    # --- its life

    @property
    def ending(self) -> Ending:
        """How the connection ended; to be asked after `run` only."""
        assert self._ending is not None
        return self._ending

    async def run(self, serve: Serve) -> Ending:
        """Until the connection ends. StorageError goes through; nothing else that a peer causes does."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._guard, self._write)
            try:
                with self._work:
                    await self._work_together(serve)
            finally:
                self._finish()
        return self.ending

    async def _work_together(self, serve: Serve) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._guard, self._read)
            nursery.start_soon(self._guard, self._keep_alive)
            nursery.start_soon(self._guard, lambda: self._serve(serve))

    async def _serve(self, serve: Serve) -> None:
        await serve(self)
        self.disconnect(DisconnectReason.REQUESTED, "nothing is left to say")

    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:
        """Turn whatever a task fails with into the connection's end; only a failing disk goes through."""
        try:
            await task()
        except* StorageError:
            raise
        except* Exception as group:
            self._end(ending_of(group))

    def _end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            self._work.cancel()

    def _finish(self) -> None:
        """Close everything but the wire; leave our last words to the writer."""
        if self._ending is None:
            self._ending = Ending("we are shutting down", DisconnectReason.CLIENT_QUITTING)
        self._inbox.close()
        for _, box in self._opaque.values():
            box.close()
        for answer in self._answers.values():
            answer.arrived.set()
        self._outbox.clear()
        if self._ending.say is None:
            self._writing.cancel()
        else:
            self._outbox.put((DISCONNECT_CODE, encode_disconnect(self._ending.say)), 0)
            self._outbox.close()
            self._writing.deadline = trio.current_time() + FAREWELL_S

    # --- its tasks

    async def _read(self) -> None:
        limits = self._options.peer
        now = trio.current_time()
        messages = TokenBucket(limits.messages_per_s, limits.messages_burst, now)
        volume = TokenBucket(limits.bytes_per_s, limits.bytes_burst, now)
        for early in self._connection.early:
            await self._dispatch(early)
        while True:
            message = await self._connection.read()
            now = trio.current_time()
            if messages.take(1, now) > 0:
                self.penalise(PENALTY_FLOOD, f"more than {limits.messages_per_s:g} messages a second")
                await trio.sleep(1.0)
            if (wait_s := volume.take(len(message.payload), now)) > 0:
                await trio.sleep(wait_s)
            await self._dispatch(message)

    async def _dispatch(self, message: RawMessage) -> None:
        code, payload = message.code, message.payload
        if code in self._eth:
            await self._take_eth(code - self._eth.offset, payload)
        elif code == DISCONNECT_CODE:
            raise Disconnected(decode_disconnect(payload))
        elif code == PING_CODE:
            self._queue(PONG_CODE, EMPTY_PAYLOAD)
        elif code != PONG_CODE:
            self._take_opaque(code, payload)

    async def _take_eth(self, code: int, payload: bytes) -> None:
        message = await self._decoder.message(code, payload, self._protocol)
        if isinstance(message, BlockHeaders | BlockBodies | PooledTransactions | Receipts):
            if self._requests.match(message):
                self._answers[message.request_id].arrive(message)
            return
        is_gossip = isinstance(message, Transactions | NewPooledTransactionHashes)
        is_wanted = not is_gossip or self._inbox.fullness <= GOSSIP_FULLNESS_MAX
        if not (is_wanted and self._inbox.put(message, len(payload))):
            self._lost += 1

    def _take_opaque(self, code: int, payload: bytes) -> None:
        for capability, box in self._opaque.values():
            if code in capability:
                self._lost += not box.put((code - capability.offset, payload), len(payload))
                return
        raise MalformedMessage(f"message {code:#04x} belongs to no protocol that we share")

    def _queue(self, code: int, payload: bytes) -> bool:
        if self._ending is not None:
            return False
        if self._outbox.put((code, payload), len(payload)):
            return True
        self.disconnect(DisconnectReason.USELESS_PEER, "its queue is full: it reads too slowly")
        return False

    async def _write(self) -> None:
        with self._writing:
            last_code = None
            while last_code != DISCONNECT_CODE:
                last_code, payload = await self._outbox.take()
                data = [self._connection.encode(last_code, payload)]
                # Small messages that wait together travel together.
                while len(self._outbox) and sum(map(len, data)) < WRITE_BYTES:
                    last_code, payload = self._outbox.take_nowait()
                    data.append(self._connection.encode(last_code, payload))
                await self._connection.send_encoded(b"".join(data), self._options.idle_timeout_s)

    async def _keep_alive(self) -> None:
        idle_s = self._options.idle_timeout_s
        while True:
            await trio.sleep(idle_s / 6)
            silent_s = trio.current_time() - self._connection.bytes_seen_at
            if silent_s >= idle_s or self.silent_s >= TRICKLE_FACTOR * idle_s:
                raise PeerTimeout(f"no sign of life for {idle_s:g} s")
            if silent_s >= idle_s / 3:
                self._queue(PING_CODE, EMPTY_PAYLOAD)


class _Answer:
    """Where a response is put for the task that waits for it."""

    __slots__ = ("arrived", "response")

    def __init__(self) -> None:
        self.arrived = trio.Event()
        self.response: Response | None = None

    def arrive(self, response: Response) -> None:
        self.response = response
        self.arrived.set()
