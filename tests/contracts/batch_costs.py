"""What frequent records cost, measured: `python -m tests.contracts.batch_costs` writes batch_costs.json anew.

Gas is exact, so the test compares equal: a change of cost is a change of the file, seen in review.
"""

import json
from pathlib import Path
from typing import Final

from node.primitives.crypto import keccak256
from tests.contracts.billing.world import AUDITOR, DAY, PROVIDER, TENANT
from tests.contracts.billing.world import build as build_books
from tests.contracts.fakes import authority
from tests.contracts.provisioning.world import HOUR, OPERATOR
from tests.contracts.provisioning.world import build as build_cloud
from tests.contracts.sandbox import Sandbox
from tests.contracts.sla.world import FINE, ORACLES
from tests.contracts.sla.world import build as build_services
from tests.contracts.trees import log_tree, usage_tree

SNAPSHOT: Final = Path(__file__).with_name("batch_costs.json")
PAPER: Final = keccak256(b"paper")
RECORDS: Final = 1_000
"""Records behind one root."""
BATCH: Final = 100
"""Records that one transaction carries in its calldata."""


def measure() -> dict[str, int]:
    """Gas of a transaction by what it carries."""
    return {**provenance(), **audit_log(), **billing(), **sla(), **provisioning()}


def provenance() -> dict[str, int]:
    """Births and scans."""
    chain = Sandbox()
    contract = chain.proxy("Provenance", authority(chain).address)
    maker = chain.account(1)
    contract.send.approveManufacturer(maker, PAPER)
    births = [_birth(number) for number in range(BATCH)]
    parts = [contract.call.componentId(maker, birth[0]) for birth in births]
    lot = [_birth(number) for number in range(RECORDS, 2 * RECORDS)]
    tree = log_tree([keccak256(b"".join(birth)) for birth in lot])
    root, path = tree.root(), tree.path(7)
    return {
        "Provenance.bear, 100 births": contract.send.bear(births, sender=maker).gas_used,
        "Provenance.scan, 100 components": contract.send.scan(parts, PAPER).gas_used,
        "Provenance.offerTransfer, 100 components": contract.send.offerTransfer(
            parts, chain.account(2), PAPER, sender=maker
        ).gas_used,
        "Provenance.acceptTransfer, 100 components": contract.send.acceptTransfer(
            parts, PAPER, sender=chain.account(2)
        ).gas_used,
        "Provenance.registerLot, 1000 births": contract.send.registerLot(
            root, RECORDS, PAPER, sender=maker
        ).gas_used,
        "Provenance.bearFromLot, 1 of 1000": contract.send.bearFromLot(maker, root, lot[7], 7, path).gas_used,
        "Provenance.anchorScans, 1000 scans": contract.send.anchorScans(PAPER, root, RECORDS, PAPER).gas_used,
    }


def audit_log() -> dict[str, int]:
    """A thousand entries onto a thousand."""
    chain = Sandbox()
    contract = chain.proxy("AuditLog", authority(chain).address)
    contract.send.openLog(PAPER, chain.account(0))
    entries = [keccak256(b"entry %d" % place) for place in range(2 * RECORDS)]
    contract.send.anchor(PAPER, RECORDS, log_tree(entries[:RECORDS]).root(), PAPER, [])
    tree = log_tree(entries)
    done = contract.send.anchor(PAPER, 2 * RECORDS, tree.root(), PAPER, tree.consistency(RECORDS))
    return {"AuditLog.anchor, 1000 entries": done.gas_used}


def billing() -> dict[str, int]:
    """A batch of a thousand records from the meter to the money."""
    books = build_books()
    account = books.account()
    records = [(keccak256(b"record %d" % place), place) for place in range(RECORDS)]
    root, total = usage_tree(records).root()
    books.chain.warp(3600)
    usage = books.usage(account, total, root=root, count=RECORDS)
    submitted = books.metering.send.submitUsage([usage])
    confirmations = [
        books.act(who, books.metering, "confirmUsage", [submitted.output]).gas_used
        for who in (PROVIDER, TENANT, AUDITOR)
    ]
    period = (books.chain.now - DAY, books.chain.now)
    issued = books.billing.send.issue(account, *period, [submitted.output], [(PAPER, 150_000)])
    books.deposit(TENANT, 1_000_000)
    settled = books.act(TENANT, books.billing, "settle", [issued.output])
    return {
        "Metering.submitUsage, 1000 records": submitted.gas_used,
        "Metering.confirmUsage, by all three": sum(confirmations),
        "Billing.issue, one batch and one tax": issued.gas_used,
        "Billing.settle, one invoice": settled.gas_used,
    }


def sla() -> dict[str, int]:
    """A hundred windows of two objectives, three oracles."""
    services = build_services()
    services.agree(windows=RECORDS, graceSeconds=2**31)
    services.reach(BATCH - 1)
    reports = [(services.agreement, window, list(FINE)) for window in range(BATCH)]
    reported = [services.act(oracle, "report", reports).gas_used for oracle in ORACLES]
    assessed = services.sla.send.assess(services.agreement, list(range(BATCH)))
    services.books.chain.warp(DAY)
    credited = services.sla.send.credit(services.agreement, list(range(BATCH)))
    return {
        "Sla.report, 100 windows, one oracle": max(reported),
        "Sla.assess, 100 windows": assessed.gas_used,
        "Sla.credit, 100 windows": credited.gas_used,
    }


def provisioning() -> dict[str, int]:
    """A hundred requests served at once."""
    cloud = build_cloud()
    offer = cloud.offer(BATCH)
    requests = [cloud.request(1) for _ in range(BATCH)]
    allocated = cloud.act(OPERATOR, "allocate", requests, offer)
    cloud.chain.warp(DAY + HOUR)
    return {
        "Provisioning.allocate, 100 requests": allocated.gas_used,
        "Provisioning.expire, 100 allocations": cloud.contract.send.expire(requests).gas_used,
    }


def _birth(number: int) -> tuple[bytes, bytes, bytes]:
    return keccak256(b"serial %d" % number), PAPER, keccak256(b"certificate %d" % number)


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(measure(), indent=1) + "\n")
