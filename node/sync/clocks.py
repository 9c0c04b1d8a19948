"""How far our clock is from our peers': by pings that carry the time. Pure; times in milliseconds.

One exchange tells the difference to within half its round trip, so of the last few the quickest counts. Our
own error is the median of what the peers say: half of them would have to be wrong together.
"""

from collections import deque
from dataclasses import dataclass, field
from statistics import median
from typing import Final

SAMPLES: Final = 8
ROUND_TRIP_MS_MAX: Final = 4_000
"""A slower exchange tells nothing."""
STEP_MS_LEAST: Final = 100
"""What clocks may drift apart while the samples are taken."""
WARN_MS: Final = 1_000
LIMIT_MS: Final = 5_000
"""What importers put up with: a block that is further ahead is refused by everybody."""
WITNESSES_MIN: Final = 3
"""Peers whose median may stop us, or send one of them away."""


@dataclass(slots=True)
class _Peer:
    samples: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    """(round trip, how far its clock is ahead of ours)."""

    def take(self, round_trip: int, ahead: int) -> None:
        """One more. Each is right to within half its round trip: if two cannot both be, a clock was set."""
        if any(abs(ahead - other) > (round_trip + trip) // 2 + STEP_MS_LEAST for trip, other in self.samples):
            self.samples.clear()
        self.samples.append((round_trip, ahead))

    @property
    def ahead_ms(self) -> int:
        return min(self.samples)[1]


class ClockBook:
    """What peers' clocks say."""

    def __init__(self) -> None:
        self._peers: dict[bytes, _Peer] = {}
        self._gone: dict[bytes, int] = {}
        """What those have said who are gone, if it was that our clock is off: they send us away for it, one
        after the other, and have not taken their word back."""
        self._is_wrong = False
        """By enough of both; until those that are there say otherwise."""

    def note(self, peer: bytes, asked_ms: int, theirs_ms: int, answered_ms: int) -> None:
        """One exchange: our clock when we asked, theirs between, ours when the answer came."""
        round_trip = answered_ms - asked_ms
        if 0 <= round_trip <= ROUND_TRIP_MS_MAX:
            ahead = theirs_ms - (asked_ms + answered_ms) // 2
            self._peers.setdefault(peer, _Peer()).take(round_trip, ahead)
            self._judge()

    def forget(self, peer: bytes) -> None:
        """It is gone."""
        ahead = self.ahead_ms(peer)
        if ahead is not None and abs(ahead) > LIMIT_MS and len(self._gone) < WITNESSES_MIN:
            self._gone[peer] = ahead
        self._peers.pop(peer, None)

    def ahead_ms(self, peer: bytes) -> int | None:
        """How far a peer's clock is ahead of ours; None when it has not said."""
        found = self._peers.get(peer)
        return None if found is None else found.ahead_ms

    @property
    def drift_ms(self) -> int | None:
        """How far our clock is ahead of the peers' median; None without peers."""
        if not self._peers:
            return None
        return -round(median(each.ahead_ms for each in self._peers.values()))

    @property
    def problem(self) -> str | None:
        """Why nothing should be sealed by this clock; None when it is good enough, or nobody can tell."""
        if not self._is_wrong:
            return None
        drift = self.drift_ms
        if drift is None:
            return "our clock was wrong by our peers', who are gone: set it (NTP), and it ends with the next"
        return f"our clock is {in_words(drift)} by {len(self._peers)} peers: set it (NTP) and it ends"

    @property
    def warning(self) -> str | None:
        """What the operator should mend before it is a problem."""
        drift = self.drift_ms
        if drift is None or self._is_wrong or abs(drift) <= WARN_MS:
            return None
        limit = f"beyond {LIMIT_MS / 1000:g} s it seals nothing"
        return f"our clock is {in_words(drift)} by {len(self._peers)} peers; {limit}"

    def _judge(self) -> None:
        if abs(self.drift_ms or 0) <= LIMIT_MS:
            self._is_wrong = False
            self._gone.clear()
            return
        said = self._gone | {peer: each.ahead_ms for peer, each in self._peers.items()}
        if len(said) >= WITNESSES_MIN and abs(median(said.values())) > LIMIT_MS:
            self._is_wrong = True

    def is_refused(self, peer: bytes) -> bool:
        """Whether a peer's clock is beyond the limit by ours and by the other peers'."""
        ahead, drift = self.ahead_ms(peer), self.drift_ms
        if ahead is None or drift is None or len(self._peers) < WITNESSES_MIN:
            return False
        return abs(ahead) > LIMIT_MS and abs(ahead + drift) > LIMIT_MS


def in_words(ahead_ms: int) -> str:
    """3.2 s ahead, or behind."""
    return f"{abs(ahead_ms) / 1000:.1f} s {'ahead' if ahead_ms > 0 else 'behind'}"
