"""`phoenix audit`: is the log the one that was written, and what does it say? Reads only."""

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.cli.output import Commands, add_command, add_json_flag, show

if TYPE_CHECKING:
    from node.audit.files import Head
    from node.audit.records import Record

EXAMPLES: Final = """\
  phoenix audit verify --data-dir data/                       is anything altered, missing, put in?
  phoenix audit verify --data-dir data/ --head 812:9f3c…      … or cut off since this head was noted?
  phoenix audit show --data-dir data/ --last 20
  phoenix audit show --data-dir data/ --kind admin.action --actor jwt:alice --json
"""


def add_to(commands: Commands) -> None:
    """The command's lines."""
    parser = add_command(commands, "audit", "Verify and read a node's audit log.", EXAMPLES)
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    verified = add_command(actions, "verify", "Look for every kind of tampering; fails if any.", EXAMPLES)
    _add_folder(verified)
    verified.add_argument(
        "--head", metavar="NUMBER:HASH", help="a head noted earlier, which the log must contain"
    )
    add_json_flag(verified)
    verified.set_defaults(run=verify)

    shown = add_command(actions, "show", "Print records, oldest first.", EXAMPLES)
    _add_folder(shown)
    shown.add_argument("--last", type=int, metavar="N", help="only the newest N")
    shown.add_argument("--kind", help='only this kind, such as "admin.action"')
    shown.add_argument("--actor", help="only of this actor")
    shown.add_argument("--json", action="store_true", help="the records as they lie on the disk")
    shown.set_defaults(run=show_records)


def verify(args: argparse.Namespace) -> None:
    """Print what was read; PhoenixError when something is wrong with it."""
    from node.audit.verify import verify_folder
    from node.primitives.errors import PhoenixError

    report = verify_folder(_folder(args), _head(args.head))
    findings = [{"file": each.file, "line": each.line, "found": each.text} for each in report.findings]
    result = {
        "records": report.records,
        "first": report.first,
        "head": f"{report.head.number}:{report.head.hash.hex()}",
        "files": report.files,
        "anchored_batches": report.batches,
        "torn_bytes_at_the_end": report.torn_bytes,
        "holds": report.holds,
        "findings": findings,
    }
    show(result, as_json=args.json)
    if findings:
        raise PhoenixError(f"the audit log is not the one that was written: {len(findings)} findings")


def show_records(args: argparse.Namespace) -> None:
    """Print records; whether they are genuine is for `verify` to say."""
    from collections import deque

    from node.audit.batches import records_from

    wanted: deque[Record] = deque(maxlen=args.last)
    for record in records_from(_folder(args), 0, 1 << 63):
        if args.kind not in (None, record.kind) or args.actor not in (None, record.actor):
            continue
        if args.last is None:
            _print(record, args)
        else:
            wanted.append(record)
    for record in wanted:
        _print(record, args)


def _print(record: "Record", args: argparse.Namespace) -> None:
    import json

    if args.json:
        fields = {
            "n": record.number,
            "t": record.time_ms,
            "kind": record.kind,
            "actor": record.actor,
            "facts": record.facts,
            "prev": record.previous.hex(),
            "hash": record.hash.hex(),
        }
        print(json.dumps(fields, sort_keys=True))
        return
    at = datetime.fromtimestamp(record.time_ms / 1000, UTC).isoformat(timespec="milliseconds")
    facts = "  ".join(f"{name}={value}" for name, value in record.facts.items())
    print(f"{record.number:>8}  {at}  {record.kind:<22} {record.actor:<24} {facts}")


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-dir", type=Path, help="of the node")
    parser.add_argument("--folder", type=Path, help="or the folder of the log itself, such as a copy")


def _folder(args: argparse.Namespace) -> Path:
    from node.config.data_dir import audit_path
    from node.primitives.errors import ConfigError

    if (args.data_dir is None) == (args.folder is None):
        raise ConfigError(["name the log by one of --data-dir and --folder"])
    folder: Path = args.folder or audit_path(args.data_dir)
    if not folder.is_dir():
        raise ConfigError([f"there is no audit log in {folder}"])
    return folder


def _head(text: str | None) -> "Head | None":
    from node.audit.files import Head
    from node.primitives.errors import ConfigError
    from node.primitives.ids import Hash32

    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,15}):(?:0x)?([0-9a-fA-F]{64})", text)
    if match is None:
        raise ConfigError([f"--head {text[:100]!r} is not NUMBER:HASH, as `phoenix audit verify` prints it"])
    return Head(int(match[1]), Hash32(bytes.fromhex(match[2])))
