"""The audit log in a node: opened first, closed last, watched."""

from contextlib import AsyncExitStack

import trio

from node.audit.log import LOCAL, AuditLog
from node.audit.records import Kind
from node.audit.trail import NoTrail
from node.config.data_dir import audit_path
from node.config.settings import Settings
from node.observability.build import program_version
from node.observability.health import Check
from node.observability.metrics import Metrics


async def open_audit(settings: Settings, closing: AsyncExitStack) -> AuditLog | NoTrail:
    """Take the log up and record the start; what closes after it may still leave records. StorageError."""
    if not settings.audit.enabled:
        return NoTrail()
    audit = await trio.to_thread.run_sync(_open, settings)
    closing.callback(_close, audit)
    facts = {"node": settings.name, "role": settings.role, "version": program_version()}
    await audit.record(Kind.NODE_STARTED, LOCAL, facts)
    return audit


def observe_audit_log(audit: AuditLog, metrics: Metrics) -> Check:
    """Publish its numbers; the check says when it cannot be written, or soon cannot."""
    metrics.read_at_scrape("audit_records", "Number of the newest record.", lambda: audit.head.number)
    metrics.read_at_scrape("audit_bytes", "Size of the audit log on the disk.", lambda: audit.bytes_total)
    metrics.read_at_scrape(
        "audit_lost_records", "Records that could not be written.", lambda: audit.statistics.lost
    )
    return lambda: audit.problem


def _open(settings: Settings) -> AuditLog:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return AuditLog(audit_path(settings.data_dir), settings.audit.disk_bytes_max).open()


def _close(audit: AuditLog) -> None:
    audit.note(Kind.NODE_STOPPED, LOCAL, {})
    audit.close()
