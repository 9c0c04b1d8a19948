"""Who asks: a name and roles. Pure vocabulary.

anonymous   is this node alive, which chain is it on
reader      all that is on the chain: blocks, state, events, calls
submitter   reader, and sends transactions
operator    reader, and looks into the node: pool, traces, peers
auditor     reader, and looks into the chain's past without bounds on traces and ranges
admin       everything; what changes the node is done on the admin listener only
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final


class LoginRefused(Exception):
    """The credentials let nobody in; the text says why, without repeating any of them."""


class Role(Enum):
    """What somebody is allowed to be."""

    ANONYMOUS = "anonymous"
    READER = "reader"
    SUBMITTER = "submitter"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    ADMIN = "admin"


INCLUDED: Final[dict[Role, frozenset[Role]]] = {
    Role.ANONYMOUS: frozenset(),
    Role.READER: frozenset((Role.ANONYMOUS,)),
    Role.SUBMITTER: frozenset((Role.ANONYMOUS, Role.READER)),
    Role.OPERATOR: frozenset((Role.ANONYMOUS, Role.READER)),
    Role.AUDITOR: frozenset((Role.ANONYMOUS, Role.READER)),
    Role.ADMIN: frozenset(Role),
}
"""A role brings those below it with it."""

ROLE_NAMES: Final = tuple(role.value for role in Role)


def roles_of(names: Iterable[str]) -> frozenset[Role]:
    """Roles by their names, with all they include; names that are no role of ours are somebody else's."""
    named = {Role(name) for name in names if name in ROLE_NAMES}
    return frozenset({Role.ANONYMOUS}.union(named, *(INCLUDED[role] for role in named)))


@dataclass(slots=True)
class Standing:
    """What may end while a connection lives: a token's time, a key that is revoked."""

    ends_at: float | None = None
    """Unix time; None for what does not end by itself."""
    revoked: bool = False
    is_withdrawn: Callable[[], bool] | None = None
    """Whether somebody else took it back: an authority its certificate."""

    @property
    def may_end(self) -> bool:
        """Whether there is anything to look at."""
        return self.revoked or self.ends_at is not None or self.is_withdrawn is not None


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who has said who they are, or has not."""

    name: str
    """For quotas and records: "api-key:billing", "jwt:4f0c…", "certificate:edge-7", "anonymous@10.0.0.7"."""
    roles: frozenset[Role]
    quota_per_s: float | None = None
    """Milliseconds of work per second; None for no bound."""
    standing: Standing = field(default_factory=Standing, compare=False)

    def ended(self, now: float) -> str | None:
        """Why this is nobody any more; None while it is somebody."""
        standing = self.standing
        if standing.revoked or (standing.is_withdrawn is not None and standing.is_withdrawn()):
            return "these credentials were revoked"
        if standing.ends_at is not None and now >= standing.ends_at:
            return "the token has expired; log in again with a new one"
        return None


INTERNAL: Final = Identity("local", frozenset(Role))
"""The node itself, and tests of what lies behind the listener."""
