"""A signer whose key is in a token behind a signer service: three processes that die and lose answers.

    node and its guard ── asks ──> signer service and its guard ── asks ──> token

Power is cut, or an answer lost, before and after every write and every question. The guards are the real
ones, over stores that keep what was synced. The token writes down every digest it ever signed.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from consensus.clique.engine import SIGN_KIND
from consensus.effects import Sign
from consensus.events import LastSigned, Signed, SigningRefused
from node.primitives.block import encode_block
from node.primitives.ids import Address, Hash32
from node.production.recovery import last_signed
from node.signing.guard import GuardedSigner, GuardRefusal
from node.signing.signer import RefusedElsewhere, SigningError, SigningRequest
from node.storage.kv import Batch
from node.storage.memory import MemoryKV
from tests.consensus import chains
from tests.simulation.checkers import Broken
from tests.simulation.node import Node, Record, World

CHAIN = 1337


class PowerCut(Exception):
    """A process has gone, in the middle of whatever it did."""


@dataclass
class Fate:
    """Decides at each point whether it ends here."""

    random: Random
    chance: float
    met: Counter[str] = field(default_factory=Counter)
    """Where it ended, and how often."""
    calm: Callable[[], bool] = lambda: False

    def strikes(self, point: str) -> bool:
        if self.calm() or self.random.random() >= self.chance:
            return False
        self.met[point] += 1
        return True

    def meet(self, point: str) -> None:
        if self.strikes(point):
            raise PowerCut(point)


class FatefulKV(MemoryKV):
    """A store whose process may die before and after each write."""

    def __init__(self, fate: Fate, name: str, rows: dict[bytes, bytes] | None = None) -> None:
        super().__init__(rows)
        self._fate = fate
        self._name = name

    def write(self, batch: Batch, *, sync: bool) -> None:
        assert sync, "a guard that is not synced forgets"
        self._fate.meet(f"before a write of the {self._name}")
        super().write(batch, sync=sync)
        self._fate.meet(f"after a write of the {self._name}")


class Token:
    """Signs whatever it is asked, and remembers."""

    is_elsewhere = True

    def __init__(self, name: str, fate: Fate) -> None:
        self.name = name
        self.signed: dict[int, Hash32] = {}
        self._fate = fate

    @property
    def address(self) -> Address:
        return chains.address(self.name)

    def sign_digest(self, request: SigningRequest) -> bytes:
        self._fate.meet("before the token")
        if self.signed.setdefault(request.height, request.digest) != request.digest:
            raise Broken(f"the token of {self.name} signed two headers at height {request.height}")
        signature = chains.key(self.name).sign(request.digest)
        self._fate.meet("after the token")
        return signature


class Service:
    """The signer service as the node's key: it dies by itself, and its answers get lost."""

    is_elsewhere = True

    def __init__(self, token: Token, fate: Fate) -> None:
        self._token = token
        self._fate = fate
        self._kv = FatefulKV(fate, "signer's guard")

    @property
    def address(self) -> Address:
        return self._token.address

    def sign_digest(self, request: SigningRequest) -> bytes:
        self._fate.meet("before the question")
        if self._fate.strikes("the question is lost"):
            raise SigningError("no answer in time")
        try:
            # A process of its own: what it holds in memory is gone at each new start.
            signature = GuardedSigner(self._token, self._kv, CHAIN)._sign(request)
        except PowerCut as cut:
            raise SigningError(f"cannot be reached: it died {cut}") from cut
        except GuardRefusal as refusal:
            raise RefusedElsewhere(str(refusal)) from refusal
        if self._fate.strikes("the answer is lost"):
            raise SigningError("no answer in time")
        self._fate.meet("after the answer")
        return signature


class RemoteNode(Node):
    """A node whose guarded key is such a service."""

    def __init__(self, name: str, world: World, chance: float) -> None:
        super().__init__(name, world)
        self.fate = Fate(world.random, chance, calm=lambda: world.network.calm)
        self.token = Token(name, self.fate)
        self._service = Service(self.token, self.fate)
        self._kv = FatefulKV(self.fate, "node's guard")

    def _unfinished(self) -> LastSigned | None:
        return last_signed(GuardedSigner(self._service, self._kv, CHAIN).last(SIGN_KIND))

    def start(self) -> None:
        """As the driver does it: what the guard recorded is finished first."""
        last = self._unfinished()
        if last is not None:
            weight = self.disk.weights.get(last.block.header.parent_hash, 0) + last.block.header.difficulty
            self.disk.record = Record(weight, Hash32(bytes(32)), last.signature, last.block)
        super().start()

    def _sign(self, request: Sign) -> None:
        assert request.block is not None
        weight = self.disk.weights[request.header.parent_hash] + request.header.difficulty
        asked = SigningRequest(
            kind=request.kind,
            chain_id=CHAIN,
            height=request.height,
            weight=weight,
            digest=request.digest,
            header=request.header,
            attachment=encode_block(request.block),
        )
        try:
            signature = GuardedSigner(self._service, self._kv, CHAIN)._sign(asked)
            self.fate.meet("before the signature is used")
        except PowerCut as cut:
            self._tell(f"dies at #{request.height}, {cut}")
            self.stop()
            return
        except SigningError as error:
            self._tell(f"may not sign #{request.height}: {error}")
            self._feed(SigningRefused(request.digest, str(error)))
            last = self._unfinished()
            if last is not None and last.block.number > self.disk.head.number:
                self._feed(last)
            return
        self._world.watcher.signed(self.name, request.header, request.digest, weight)
        self._feed(Signed(request.digest, signature))
