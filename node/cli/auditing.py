"""What an operator does to a node's data from the command line is in the node's audit log, too."""

import getpass
from pathlib import Path


def record_action(data_dir: Path, command: str, *parameters: str) -> None:
    """Durable before the command is carried out; AuditUnavailable, StorageError: then it must not be."""
    from node.audit.log import AuditLog
    from node.audit.records import Kind
    from node.config.data_dir import audit_path
    from node.config.settings import AuditSettings

    with AuditLog(audit_path(data_dir), AuditSettings().disk_bytes_max) as audit:
        facts = {"command": f"phoenix {command}", "parameters": list(parameters)}
        audit.record_blocking(Kind.ADMIN_ACTION, f"user:{_user()}", facts)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return "unnamed"
