"""Is the node alive, is it ready to serve, and if not, why not.

Live: the process answers, so restarting it would change nothing. Ready: what it says can be relied on. A
reason is one line for the operator, and `/health/ready` prints all of them; an orchestrator looks at the
status code only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Check = Callable[[], str | None]
"""None when all is well, else the reason in one line. Cheap, and never raises."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer with its reasons."""

    well: bool
    reasons: tuple[str, ...]
    notices: tuple[str, ...] = ()
    """What is wrong and does not make the answer "no"."""


@dataclass(frozen=True, slots=True)
class Health:
    """The checks of one node."""

    live: Sequence[Check] = ()
    ready: Sequence[Check] = ()
    notices: Sequence[Check] = ()
    """What an operator must see, although clients can rely on the node: told with `ready`."""

    def is_live(self) -> Verdict:
        """What a restart could mend."""
        return _judge(self.live)

    def is_ready(self) -> Verdict:
        """What a restart could mend, and all that has to be true before clients may rely on this node."""
        return _judge((*self.live, *self.ready), self.notices)


def _judge(checks: Sequence[Check], notices: Sequence[Check] = ()) -> Verdict:
    reasons = tuple(reason for check in checks if (reason := check()) is not None)
    return Verdict(not reasons, reasons, tuple(text for check in notices if (text := check()) is not None))


def head_age_check(head_timestamp: Callable[[], int], now: Callable[[], float], age_s_max: float) -> Check:
    """Not ready while the head is older than `age_s_max`: the chain stands still, or we are far behind."""

    def check() -> str | None:
        age = now() - head_timestamp()
        if age <= age_s_max:
            return None
        return f"the newest block is {age:.0f} s old; more than {age_s_max:.0f} s means stalled or behind"

    return check


def peers_check(count: Callable[[], int], least: int) -> Check:
    """Not ready with fewer than `least` peers."""

    def check() -> str | None:
        peers = count()
        return None if peers >= least else f"{peers} peers connected; {least} are needed"

    return check
