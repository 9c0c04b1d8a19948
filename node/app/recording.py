"""What rules and chain decide, on record here, too: whose transactions are refused, who seals from now on."""

from collections.abc import Callable

from node.audit.records import Facts, Kind
from node.audit.trail import AuditTrail
from node.chain.reader import ChainReader
from node.permissioning.policy import sending_of
from node.permissioning.sending import PoolPermits
from node.primitives.ids import hex_of
from node.primitives.transaction import Transaction


def recorded_refusals(permits: PoolPermits, trail: AuditTrail) -> Callable[[Transaction], str | None]:
    """What the pool asks before it takes a transaction; who was refused, and by which rule, is on record."""

    def refusal(tx: Transaction) -> str | None:
        if permits.allows_at_once(tx):
            return None
        sending = sending_of(tx)
        decision = permits.decide(sending)
        if decision.allowed:
            return None
        # No hash among the facts: the same refusal again and again is one record and a count.
        facts: Facts = {"wanted": sending.kind.value, "rule": decision.rule}
        trail.note(Kind.PERMISSION_REFUSED, f"account:{hex_of(sending.sender)}", facts)
        return str(decision)

    return refusal


async def record_validators(reader: ChainReader, trail: AuditTrail) -> None:
    """Record who seals from now on whenever that changes, until cancelled. The chain says who voted."""
    known = _validators(reader)
    while True:
        # The events cut off who falls behind: what was missed is seen at the next head.
        with reader.events.subscribe() as heads:
            async for _ in heads:
                found = _validators(reader)
                if found == known:
                    continue
                facts: Facts = {
                    "block": reader.head.number,
                    "added": sorted(found - known),
                    "removed": sorted(known - found),
                    "validators": len(found),
                }
                known = found
                trail.note(Kind.ROLE_CHANGED, "chain", facts)


def _validators(reader: ChainReader) -> frozenset[str]:
    return frozenset(map(hex_of, reader.rules.validators(reader.engine_state(reader.head.hash))))
