"""The same refusal again and again is one record and a count. Pure: the clock is an argument.

Who is refused decides how often: without this, a stranger fills the disk. The first refusal of a kind, actor
and reason (all facts, where none is the reason) is recorded in full; the next ones within a minute are
counted, and the count is recorded when the minute is over. What is counted at the same time is bounded;
beyond that all others share one place.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from node.audit.records import Facts, Kind

WINDOW_S: Final = 60.0
PLACES_MAX: Final = 1024
FOLDED: Final = frozenset((Kind.PEER_REFUSED, Kind.LOGIN_REFUSED, Kind.PERMISSION_REFUSED, Kind.KEY_REFUSED))
OTHERS: Final = "others"
REASON_CHARACTERS_MAX: Final = 320


@dataclass(slots=True)
class _Place:
    until: float
    kind: Kind
    actor: str
    reason: str
    more: int = 0


class Folding:
    """Counts refusals that repeat."""

    def __init__(self) -> None:
        self._places: dict[tuple[Kind, str, str], _Place] = {}

    def is_new(self, kind: Kind, actor: str, facts: Facts, now: float) -> bool:
        """Whether to record it in full; else it has been counted. Call `due` first."""
        if kind not in FOLDED:
            return True
        reason = _reason(facts)
        key = (kind, actor, reason)
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= PLACES_MAX:
                key = (kind, OTHERS, "")
                place = self._places.get(key)
                if place is None:
                    self._places[key] = _Place(now + WINDOW_S, kind, OTHERS, "", more=1)
                    return False
            else:
                self._places[key] = _Place(now + WINDOW_S, kind, actor, reason)
                return True
        place.more += 1
        return False

    def due(self, now: float, *, everything: bool = False) -> Iterator[tuple[str, Facts]]:
        """(actor, facts) of counts whose minute is over, to be recorded as REFUSALS_FOLDED."""
        for key in [key for key, place in self._places.items() if everything or place.until <= now]:
            place = self._places.pop(key)
            if place.more:
                yield place.actor, {"of": place.kind.label, "reason": place.reason, "times": place.more}


def _reason(facts: Facts) -> str:
    words = facts["reason"] if "reason" in facts else " ".join(f"{name}={facts[name]}" for name in facts)
    return str(words)[:REASON_CHARACTERS_MAX]
