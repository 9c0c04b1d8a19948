"""Connections that delay, repeat, break and come back. What is sent while one is down is lost."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Protocol, TypeAlias

from node.primitives.block import Header
from node.primitives.ids import Hash32
from tests.simulation.options import Options
from tests.simulation.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Status:
    """Told once on each new connection."""

    head: Hash32
    total_difficulty: int


@dataclass(frozen=True, slots=True)
class NewBlock:
    """A block that is its sender's head now."""

    header: Header


@dataclass(frozen=True, slots=True)
class Ask:
    """Wants the block with this hash and some of its ancestors."""

    head: Hash32


@dataclass(frozen=True, slots=True)
class Branch:
    """Headers, oldest first."""

    headers: tuple[Header, ...]


Message: TypeAlias = Status | NewBlock | Ask | Branch


class Member(Protocol):
    """What the network needs of a node."""

    name: str
    running: bool

    def meet(self, peer: str) -> None:
        """A connection to the peer is up."""
        ...

    def receive(self, sender: str, message: Message) -> None:
        """A message arrives."""
        ...


class Network:
    """All connections between all nodes."""

    def __init__(self, timeline: Timeline, random: Random, options: Options) -> None:
        self._timeline = timeline
        self._random = random
        self._options = options
        self._members: dict[str, Member] = {}
        self._group: dict[str, int] = {}
        self._broken: set[frozenset[str]] = set()
        self.calm = False
        """No more loss and repetition, and delays of at most a tenth of a second."""
        self.lost = 0
        self.on_lost: Callable[[str, str], None] = lambda sender, receiver: None

    def join(self, member: Member) -> None:
        """Connect a node, or one that has come back, to all others."""
        self._members[member.name] = member
        self._group.setdefault(member.name, 0)
        for peer in self._members.values():
            if peer is not member:
                self._connect(member.name, peer.name)

    def cut(self, groups: Iterable[Iterable[str]]) -> None:
        """Only nodes of one group reach each other from now on; where a cut ends, connections come back."""
        before = dict(self._group)
        for number, names in enumerate(groups):
            for name in names:
                self._group[name] = number
        for one in self._members:
            for other in self._members:
                apart_before = before[one] != before[other]
                if one < other and apart_before and self._group[one] == self._group[other]:
                    self._connect(one, other)

    def heal(self) -> None:
        """End all cuts; every connection is up again."""
        self.calm = True
        self._broken.clear()
        self._group = dict.fromkeys(self._group, 0)
        names = list(self._members)
        for place, one in enumerate(names):
            for other in names[place + 1 :]:
                self._connect(one, other)

    def send(self, sender: str, receiver: str, message: Message) -> None:
        """Pass a message on, if the connection holds until it arrives."""
        pair = frozenset((sender, receiver))
        if pair in self._broken or not self._reachable(sender, receiver):
            self.lost += 1
            return
        if not self.calm and self._random.random() < self._options.reset_chance:
            self._reset(sender, receiver)
            return
        copies = 2 if not self.calm and self._random.random() < self._options.duplicate_chance else 1
        for _ in range(copies):
            self._timeline.after(self._delay_ms(), lambda: self._arrive(sender, receiver, message))

    def broadcast(self, sender: str, message: Message) -> None:
        """Send to all others."""
        for name in self._members:
            if name != sender:
                self.send(sender, name, message)

    def _arrive(self, sender: str, receiver: str, message: Message) -> None:
        if frozenset((sender, receiver)) in self._broken or not self._reachable(sender, receiver):
            self.lost += 1
            return
        self._members[receiver].receive(sender, message)

    def _reset(self, one: str, other: str) -> None:
        self.lost += 1
        pair = frozenset((one, other))
        self._broken.add(pair)
        self.on_lost(one, other)

        def reconnect() -> None:
            if pair in self._broken:
                self._broken.discard(pair)
                self._connect(one, other)

        self._timeline.after(self._random.uniform(100, 5_000), reconnect)

    def _connect(self, one: str, other: str) -> None:
        if frozenset((one, other)) not in self._broken and self._reachable(one, other):
            self._members[one].meet(other)
            self._members[other].meet(one)

    def _reachable(self, one: str, other: str) -> bool:
        both_run = self._members[one].running and self._members[other].running
        return both_run and self._group[one] == self._group[other]

    def _delay_ms(self) -> float:
        longest = min(self._options.delay_ms_max, 100) if self.calm else self._options.delay_ms_max
        # Mostly short, sometimes long: the square of a uniform draw.
        return 1 + longest * self._random.random() ** 2
