"""What an operator does from the command line is in an audit log, too.

What concerns a node's or a signer's data is in the log of that data directory. Keys are administered where no
such directory is, or while the node that writes its log runs: that has a log of its own, of the same form
(`phoenix audit verify --folder`), by default the user's.
"""

import argparse
import getpass
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.primitives.errors import ConfigError, PhoenixError, StorageError

if TYPE_CHECKING:
    from node.audit.log import AuditLog
    from node.audit.records import Facts

KEY_LOG_TEXT: Final = "$XDG_STATE_HOME/phoenix/audit"
PATIENCE_S: Final = 10.0
"""For another command that writes there."""
RETRY_S: Final = 0.05


def record_action(data_dir: Path, command: str, *parameters: str) -> None:
    """Durable before the command is carried out; AuditUnavailable, StorageError: then it must not be."""
    from node.config.data_dir import audit_path

    _write(audit_path(data_dir), {"command": f"phoenix {command}", "parameters": list(parameters)})


def add_key_log_option(parser: argparse.ArgumentParser) -> None:
    """--audit, of commands that administer keys."""
    parser.add_argument(
        "--audit", type=Path, help=f"folder of the audit log of key administration (default: {KEY_LOG_TEXT})"
    )


@contextmanager
def on_record(folder: Path | None, command: str, **facts: str) -> Iterator[dict[str, str]]:
    """Around what is done to keys: on record before it is done, and how it ended after.

    What the body puts into the dictionary is in the last record: whose key it was. No secret.
    """
    place = folder or key_log()
    told = {"command": f"phoenix {command}", **facts}
    found: dict[str, str] = {}
    _write(place, told | {"outcome": "begun"})
    try:
        yield found
    except BaseException as error:
        reason = str(error) if isinstance(error, PhoenixError) else type(error).__name__
        _write(place, told | found | {"outcome": "failed", "reason": reason[:500]})
        raise
    _write(place, told | found | {"outcome": "done"})


def key_log() -> Path:
    """Where key administration is on record unless the command line says otherwise."""
    state = os.environ.get("XDG_STATE_HOME")
    if state:
        return Path(state) / "phoenix" / "audit"
    try:
        return Path.home() / ".local" / "state" / "phoenix" / "audit"
    except RuntimeError as error:
        raise ConfigError([f"{error}; name the folder of the audit log by --audit"]) from error


def _write(folder: Path, facts: "Facts") -> None:
    from node.audit.records import Kind

    with _opened(folder) as audit:
        audit.record_blocking(Kind.ADMIN_ACTION, f"user:{_user()}", facts)


@contextmanager
def _opened(folder: Path) -> "Iterator[AuditLog]":
    from node.audit.log import AuditLog
    from node.config.settings import AuditSettings

    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            audit = AuditLog(folder, AuditSettings().disk_bytes_max)
            break
        except OSError as error:
            raise StorageError(f"the audit log in {folder} cannot be written: {error.strerror}") from error
        except StorageError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)
    with audit:
        yield audit


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return "unnamed"
