"""Who holds which role where every role has people of its own, by their places among a sandbox's accounts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from contracts.suite import Charter, Role
from tests.contracts.sandbox import Sandbox
from tests.contracts.suite import charter_of

REGISTRAR, METER, AUDITOR, SETTLER, ALLOCATOR, ARBITER, GUARDIAN = range(30, 37)
ORACLES: Final = (40, 41, 42)
PLACES: Final[Mapping[Role, tuple[int, ...]]] = {
    Role.REGISTRAR: (REGISTRAR,),
    Role.METER: (METER,),
    Role.AUDITOR: (AUDITOR,),
    Role.SETTLER: (SETTLER,),
    Role.ALLOCATOR: (ALLOCATOR,),
    Role.ARBITER: (ARBITER,),
    Role.GUARDIAN: (GUARDIAN,),
    Role.ORACLE: ORACLES,
}


def staffed_charter(chain: Sandbox) -> Charter:
    """What the suite is told, with these people."""
    holders = {role: tuple(map(chain.account, places)) for role, places in PLACES.items()}
    return replace(charter_of(chain), holders=holders)
