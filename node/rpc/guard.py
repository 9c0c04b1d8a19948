"""What stands between an identity and a method: the table of roles, quotas, and the audit log.

One guard for all listeners of a node, so that an identity has one quota wherever it comes in.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final, TypeAlias

from node.audit.records import Facts, Kind
from node.audit.trail import AuditTrail
from node.primitives.crypto import keccak256
from node.primitives.ids import hex_of
from node.rpc.identity import Identity, Role
from node.rpc.jsonrpc import LimitExceeded, RpcError
from node.rpc.method import Method, Where
from node.rpc.quotas import BASE_MS, Quotas
from node.rpc.roles import READERS, Recorded, Rule, refusal_of

CALLS_IN_FLIGHT_MAX: Final = 32
"""Of one identity that has a quota: their cost is not known before they are done."""
SHOWN_PARAMETERS_MAX: Final = 8
PAGE: Final = Method("the query API", lambda: None, (), Where.SCAN)
PAGE_RULE: Final = Rule(READERS)
ON_LOOP: Final = (Where.LOOP, Where.SESSION)


Spent: TypeAlias = Mapping[str, tuple[float, float]]
"""By identity: its quota per second, and milliseconds that it was charged."""


class Forbidden(RpcError):
    """The caller's roles do not allow it (Besu's code)."""

    code = -40100

    def __init__(self, method: str, what: str, needed: frozenset[Role], identity: Identity) -> None:
        wanted = " or ".join(sorted(role.value for role in needed))
        held = ", ".join(sorted(role.value for role in identity.roles))
        asked = method if what == "it" else f"{method} with {what}"
        super().__init__(f"{asked} needs the role {wanted}; {identity.name} has {held}")


class LoggedOut(RpcError):
    """The credentials of this connection have ended."""

    code = -40100


class QuotaExceeded(LimitExceeded):
    """The caller has used up what it may; says when to come again."""

    def __init__(self, identity: Identity, wait_s: float) -> None:
        super().__init__(
            f"quota exceeded: {identity.name} may use {identity.quota_per_s:g} ms of work per second "
            f"(settings auth.*quota_ms_per_s); try again in {wait_s:.1f} s"
        )
        self.wait_s = wait_s
        self.data = {"retryAfter": round(wait_s, 3)}


class Guard:
    """Decides on every call, and keeps the accounts."""

    def __init__(
        self,
        trail: AuditTrail,
        head_number: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        unix_time: Callable[[], float] = time.time,
    ) -> None:
        """`clock` counts seconds and never goes back."""
        self._trail = trail
        self._head_number = head_number
        self._clock = clock
        self._unix_time = unix_time
        self._quotas = Quotas()
        self._in_flight: dict[str, int] = {}
        self._spent: dict[str, tuple[float, float]] = {}
        self.shares_quotas = False
        """Whether somebody asks for `take_spent`: several processes answer, with one quota each identity."""
        self.forbidden = 0
        """Calls that roles did not allow, since the start of the process."""
        self.over_quota = 0
        """Calls refused for a quota."""

    def wait_s(self, identity: Identity) -> float:
        """How long until this identity may ask again; 0 when it may now."""
        if identity.quota_per_s is None:
            return 0.0
        now = self._clock()
        return self._quotas.bucket(identity.name, identity.quota_per_s, now).wait_s(now)

    def charge(self, identity: Identity, milliseconds: float) -> None:
        """Take it from the identity's bucket, for work that is no call."""
        if identity.quota_per_s is not None:
            name, per_s = identity.name, identity.quota_per_s
            self._quotas.bucket(name, per_s, self._clock()).take(milliseconds)
            if self.shares_quotas:
                self._spent[name] = (per_s, self._spent.get(name, (per_s, 0.0))[1] + milliseconds)

    def take_spent(self) -> Spent:
        """What identities have been charged here since the last call, for who answers them, too."""
        spent, self._spent = self._spent, {}
        return spent

    def spent_elsewhere(self, spent: Spent) -> None:
        """Other processes have worked for these identities."""
        for name, (per_s, milliseconds) in spent.items():
            self._quotas.bucket(name, per_s, self._clock()).take(milliseconds)

    def refuse_over_quota(self, identity: Identity, wait_s: float) -> QuotaExceeded:
        """The error, counted and recorded."""
        self.over_quota += 1
        self._trail.note(Kind.PERMISSION_REFUSED, identity.name, {"reason": "quota exceeded"})
        return QuotaExceeded(identity, wait_s)

    def admit(self, identity: Identity, method: Method, rule: Rule, arguments: Sequence[Any]) -> None:
        """Let a call through: Forbidden, LoggedOut, QuotaExceeded."""
        self._check_standing(identity)
        if rule.needs is not None or identity.roles.isdisjoint(rule.roles):
            self._check_role(identity, method, rule, arguments)
        self._begin(identity, BASE_MS[method.where])

    def admit_again(self, identity: Identity, method: Method, rule: Rule) -> None:
        """Let through a call whose answer is at hand: its arguments ask for no more than the method does."""
        self._check_standing(identity)
        if identity.roles.isdisjoint(rule.roles):
            self._check_role(identity, method, replace(rule, needs=None), ())
        self._begin(identity, BASE_MS[Where.LOOP])

    def _check_standing(self, identity: Identity) -> None:
        if identity.standing.may_end:
            ended = identity.ended(self._unix_time())
            if ended is not None:
                raise LoggedOut(ended)

    def _begin(self, identity: Identity, milliseconds: float) -> None:
        if identity.quota_per_s is None:
            return
        wait_s = self.wait_s(identity)
        if wait_s > 0:
            raise self.refuse_over_quota(identity, wait_s)
        self.charge(identity, milliseconds)

    def _check_role(self, identity: Identity, method: Method, rule: Rule, arguments: Sequence[Any]) -> None:
        need = refusal_of(rule, identity.roles, arguments, self._head_number())
        if need is None:
            return
        self.forbidden += 1
        error = Forbidden(method.name, *need, identity)
        facts: Facts = {"method": method.name, "reason": str(error)}
        self._trail.note(Kind.PERMISSION_REFUSED, identity.name, facts)
        raise error

    def admit_page(self, identity: Identity) -> None:
        """Let a page of the query API through: what readers may, at the price of a scan."""
        self.admit(identity, PAGE, PAGE_RULE, ())

    def at_work(self, identity: Identity, method: Method) -> AbstractContextManager[None]:
        """For the time that a call runs: counts those of an identity; LimitExceeded for one too many."""
        return _AtWork(self._in_flight, identity, method)

    def settle(self, identity: Identity, method: Method, seconds: float) -> None:
        """Charge the time that a call has taken, beyond its base."""
        self.charge(identity, max(0.0, seconds * 1000 - BASE_MS[method.where]))

    async def record(
        self, identity: Identity, method: Method, recorded: Recorded, arguments: Sequence[Any]
    ) -> None:
        """Leave a record before the call is done; AuditUnavailable when it cannot be, and it is not done."""
        match recorded:
            case Recorded.TRANSACTION:
                encoded = arguments[0]
                facts: Facts = {"transaction": hex_of(keccak256(encoded)), "bytes": len(encoded)}
                self._trail.enter(Kind.TRANSACTION_SUBMITTED, identity.name, facts)
            case Recorded.ADMIN:
                shown = [_shown(each) for each in arguments[:SHOWN_PARAMETERS_MAX]]
                facts = {"method": method.name, "parameters": shown}
                await self._trail.record(Kind.ADMIN_ACTION, identity.name, facts)
            case Recorded.NOTHING:
                pass

    def record_failure(self, identity: Identity, method: Method, error: str) -> None:
        """An administrative call that is on record has failed."""
        facts: Facts = {"method": method.name, "failed": error}
        self._trail.note(Kind.ADMIN_ACTION, identity.name, facts)


class _AtWork(AbstractContextManager[None]):
    """Counts one call while it runs."""

    def __init__(self, in_flight: dict[str, int], identity: Identity, method: Method) -> None:
        self._in_flight = in_flight
        self._name = identity.name
        self._counts = identity.quota_per_s is not None and method.where not in ON_LOOP

    def __enter__(self) -> None:
        if not self._counts:
            return
        count = self._in_flight.get(self._name, 0)
        if count >= CALLS_IN_FLIGHT_MAX:
            self._counts = False
            raise LimitExceeded(f"{count} calls of {self._name} are at work already; wait for their answers")
        self._in_flight[self._name] = count + 1

    def __exit__(self, *error: object) -> None:
        if not self._counts:
            return
        left = self._in_flight[self._name] - 1
        if left:
            self._in_flight[self._name] = left
        else:
            del self._in_flight[self._name]


def _shown(value: object) -> str:
    return hex_of(value) if isinstance(value, bytes) else str(value)
