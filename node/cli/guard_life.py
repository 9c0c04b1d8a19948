"""`phoenix signer guard new | delete`: beginning to remember, and forgetting. Both are in the audit log."""

import argparse
import time
from pathlib import Path

from node.cli.output import Commands, add_command, add_json_flag, show
from node.primitives.errors import ConfigError


def add_to(actions: Commands, examples: str) -> None:
    """The commands' lines."""
    made = add_command(actions, "new", "An empty guard, for a key that never signed.", examples)
    made.add_argument("--data-dir", type=Path, required=True)
    made.add_argument(
        "--the-key-never-signed", action="store_true", help="on this chain, here or anywhere else"
    )
    add_json_flag(made)
    made.set_defaults(run=make_guard)

    deleted = add_command(actions, "delete", "Put a guard aside: nothing is remembered then.", examples)
    deleted.add_argument("--data-dir", type=Path, required=True)
    deleted.add_argument(
        "--the-keys-will-sign-no-more", action="store_true", help="on their chains, here or anywhere else"
    )
    add_json_flag(deleted)
    deleted.set_defaults(run=delete_guard)


def make_guard(args: argparse.Namespace) -> None:
    """Make an empty guard; ConfigError without the flag that says why that is safe, or where there is one."""
    from node.config.data_dir import guard_path
    from node.config.settings import StorageSettings
    from node.storage.leveldb import LevelDB
    from node.storage.migrations import migrate

    path = guard_path(args.data_dir)
    if not args.the_key_never_signed:
        raise ConfigError(
            [
                "an empty guard lets a key sign again what it has signed already; "
                "--the-key-never-signed says that it has signed nothing"
            ]
        )
    if path.exists():
        raise ConfigError([f"{path}: there is a guard; it stays"])
    args.data_dir.mkdir(parents=True, exist_ok=True)
    _audit(args.data_dir, {"action": "guard new", "guard": str(path)})
    kv = LevelDB.open(path, StorageSettings())
    try:
        migrate(kv)
    finally:
        kv.close()
    show({"made": str(path)}, as_json=args.json)


def delete_guard(args: argparse.Namespace) -> None:
    """Put the guard aside under another name; ConfigError without the flag that says why that is safe."""
    from node.config.data_dir import guard_path
    from node.config.settings import StorageSettings
    from node.primitives.ids import hex_of
    from node.signing.guard_exchange import read_records
    from node.storage.leveldb import LevelDB

    path = guard_path(args.data_dir)
    if not args.the_keys_will_sign_no_more:
        flag = "--the-keys-will-sign-no-more"
        raise ConfigError([f"without their guard keys contradict themselves; {flag} says they sign no more"])
    if not path.is_dir():
        raise ConfigError([f"{path}: there is no guard"])
    # Opened first: a node that runs has it locked.
    kv = LevelDB.open(path, StorageSettings())
    try:
        keys = sorted({hex_of(slot.address) for slot in read_records(kv)})
    finally:
        kv.close()
    aside = path.with_name(f"{path.name}.deleted-{int(time.time())}")
    _audit(
        args.data_dir, {"action": "guard delete", "guard": str(path), "aside": str(aside), "keys": keys[:64]}
    )
    path.rename(aside)
    show({"deleted": str(path), "aside": str(aside), "keys": keys}, as_json=args.json)


def _audit(data_dir: Path, facts: dict[str, "str | list[str]"]) -> None:
    """On the disk before the deed."""
    from node.audit.log import LOCAL, AuditLog
    from node.audit.records import Kind
    from node.config.data_dir import audit_path
    from node.config.settings import AuditSettings

    with AuditLog(audit_path(data_dir), AuditSettings().disk_bytes_max) as log:
        log.record_blocking(Kind.ADMIN_ACTION, LOCAL, facts)
