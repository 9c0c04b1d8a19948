"""Limits on what strangers can cost us. Pure: the clock and the draw are arguments.

Every table here is bounded: the oldest entry makes room for the newest.
"""

import ipaddress
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final, TypeVar

from p2p.errors import PENALTY_BAN

SCORES_KEPT: Final = 4096
"""Identities whose score is remembered."""
HOSTS_KEPT: Final = 4096
"""Hosts whose rate of connections is remembered."""


_K = TypeVar("_K")
_V = TypeVar("_V")


class TokenBucket:
    """So much a second, and so much at once. Taking more than there is makes a debt to be waited out."""

    __slots__ = ("_burst", "_debt_max", "_level", "_rate", "_seen")

    def __init__(self, rate_per_s: float, burst: float, now: float, debt_max: float = float("inf")) -> None:
        """The debt grows to `debt_max` at most."""
        self._debt_max = debt_max
        self._rate = rate_per_s
        self._burst = burst
        self._level = burst
        self._seen = now

    def take(self, amount: float, now: float) -> float:
        """Take `amount`; the seconds until the debt that leaves is paid, 0.0 when there is none."""
        level = min(self._burst, self._level + (now - self._seen) * self._rate) - amount
        self._level = max(level, -self._debt_max)
        self._seen = now
        return max(0.0, -self._level / self._rate)


class ScoreBook:
    """What identities have done wrong lately. PENALTY_BAN points shut an identity out for `ban_s` seconds."""

    def __init__(self, ban_s: float, forgiven_per_s: float) -> None:
        """Points fade at `forgiven_per_s`."""
        self._ban_s = ban_s
        self._forgiven_per_s = forgiven_per_s
        self._entries: OrderedDict[bytes, tuple[float, float]] = OrderedDict()
        self._banned_until: OrderedDict[bytes, float] = OrderedDict()

    def add(self, identity: bytes, points: float, now: float) -> float:
        """Add points; the score that makes. At PENALTY_BAN the ban begins and the score starts anew."""
        total = self.score(identity, now) + points
        self._entries.pop(identity, None)
        if total >= PENALTY_BAN:
            self._banned_until.pop(identity, None)
            self._banned_until[identity] = now + self._ban_s
            _trim(self._banned_until, SCORES_KEPT)
        elif total > 0:
            self._entries[identity] = (total, now)
            _trim(self._entries, SCORES_KEPT)
        return total

    def score(self, identity: bytes, now: float) -> float:
        """Points that are not forgiven yet."""
        points, since = self._entries.get(identity, (0.0, now))
        return max(0.0, points - (now - since) * self._forgiven_per_s)

    def banned_s(self, identity: bytes, now: float) -> float:
        """For how many more seconds the identity is shut out; 0.0 when it is not."""
        return max(0.0, self._banned_until.get(identity, now) - now)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLimits:
    """How many strangers may knock."""

    handshakes_max: int = 64
    """Inbound connections that have not said who they are."""
    handshakes_per_host_max: int = 24
    per_s: float = 20.0
    """Inbound connections, from anywhere."""
    burst: int = 200
    host_per_s: float = 2.0
    """Inbound connections from one host: generous, because a whole site may stand behind one address."""
    host_burst: int = 60


class Gate:
    """Inbound connections before they have an identity: rate and number, in all and by host."""

    def __init__(self, limits: GateLimits, now: float) -> None:
        self._limits = limits
        self._all = TokenBucket(limits.per_s, limits.burst, now)
        self._hosts: OrderedDict[str, TokenBucket] = OrderedDict()
        self._inside: Counter[str] = Counter()

    def enter(self, host: str, now: float) -> str | None:
        """Let one in (then `leave` must follow), or say why not."""
        group = host_group(host)
        if self._inside.total() >= self._limits.handshakes_max:
            return "too many handshakes under way"
        if self._inside[group] >= self._limits.handshakes_per_host_max:
            return "too many handshakes under way from this host"
        # A refused knock costs tokens too: whoever keeps knocking stays out.
        if self._bucket(group, now).take(1, now) > 0:
            return "too many connections from this host"
        if self._all.take(1, now) > 0:
            return "too many connections"
        self._inside[group] += 1
        return None

    def leave(self, host: str) -> None:
        """The connection has said who it is, or has ended."""
        group = host_group(host)
        self._inside[group] -= 1
        if self._inside[group] <= 0:
            del self._inside[group]

    def __len__(self) -> int:
        return self._inside.total()

    def _bucket(self, group: str, now: float) -> TokenBucket:
        bucket = self._hosts.pop(group, None)
        if bucket is None:
            # A site may stand behind one address: what one of its machines did is forgiven in half a minute.
            burst = self._limits.host_burst
            bucket = TokenBucket(self._limits.host_per_s, burst, now, debt_max=burst)
        self._hosts[group] = bucket
        _trim(self._hosts, HOSTS_KEPT)
        return bucket


def host_group(host: str) -> str:
    """What counts as one host: an IPv4 address, or the /64 network that an IPv6 customer has whole."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def redial_delay_s(failures: int, least_s: float, most_s: float, draw: float) -> float:
    """Seconds before the next attempt after so many failures in a row: doubling, spread by `draw` in [0, 1).

    The spread is over the upper half, so that nodes that lost one another together do not collide for ever.
    """
    full = min(most_s, least_s * 2.0 ** min(failures, 32))
    return full * (0.5 + draw / 2)


def _trim(table: OrderedDict[_K, _V], size: int) -> None:
    while len(table) > size:
        table.popitem(last=False)
