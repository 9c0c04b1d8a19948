"""`phoenix rpc-keys`: keys by which machines log in at the JSON-RPC. A running node takes changes up."""

import argparse
import time
from pathlib import Path
from typing import Final

from node.cli.auditing import add_key_log_option, on_record
from node.cli.output import Commands, add_command, add_json_flag, show

EXAMPLES: Final = """\
  phoenix rpc-keys new --file rpc-keys.json --name billing --role reader --role submitter
  phoenix rpc-keys new --file rpc-keys.json --name guest --role reader --days 30 --quota 50
  phoenix rpc-keys list --file rpc-keys.json
  phoenix rpc-keys revoke --file rpc-keys.json billing

The key is printed once and kept nowhere; the file (setting auth.api_keys) has its hash. Clients send it as
`Authorization: Bearer phx_...` or `X-Api-Key: phx_...`.
"""
DAY_S: Final = 24 * 3600


def add_to(commands: Commands) -> None:
    """The command's lines."""
    parser = add_command(commands, "rpc-keys", "Make, list and revoke API keys of the JSON-RPC.", EXAMPLES)
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    new = add_command(actions, "new", "A new key; it is printed once.", EXAMPLES)
    _add_file(new)
    new.add_argument("--name", required=True, help="whose key it is: a service, a machine")
    new.add_argument("--role", action="append", required=True, dest="roles", help="may be repeated")
    new.add_argument("--days", type=int, help="it ends after so many days (default: never)")
    new.add_argument("--quota", type=float, help="milliseconds of work per second (default: the node's)")
    add_key_log_option(new)
    new.set_defaults(run=new_key)

    listed = add_command(actions, "list", "Names, roles, states; no keys.", EXAMPLES)
    _add_file(listed)
    listed.set_defaults(run=list_keys)

    revoked = add_command(actions, "revoke", "End a key.", EXAMPLES)
    _add_file(revoked)
    revoked.add_argument("name", help="its name or id")
    add_key_log_option(revoked)
    revoked.set_defaults(run=revoke)


def new_key(args: argparse.Namespace) -> None:
    """Make a key and print it."""
    from node.primitives.errors import ConfigError
    from node.rpc import api_keys

    if args.days is not None and args.days <= 0:
        raise ConfigError([f"--days is {args.days}; more than 0 is needed"])
    if args.quota is not None and args.quota <= 0:
        raise ConfigError([f"--quota is {args.quota}; more than 0 is needed"])
    now = int(time.time())
    expires = None if args.days is None else now + args.days * DAY_S
    facts = {"file": str(args.file), "name": args.name, "roles": ",".join(args.roles)}
    with on_record(args.audit, "rpc-keys new", **facts) as found:
        key, entry = api_keys.new_key(args.file, args.name, args.roles, now, expires, args.quota)
        found["id"] = entry.id
    show({"name": entry.name, "id": entry.id, "key": key}, as_json=args.json)


def list_keys(args: argparse.Namespace) -> None:
    """What the file holds."""
    from node.rpc.api_keys import read_keys

    now = time.time()
    keys = []
    for entry in read_keys(args.file):
        state = "revoked" if entry.revoked else "valid"
        if entry.revoked is None and entry.expires is not None and entry.expires <= now:
            state = "expired"
        keys.append(
            {
                "name": entry.name,
                "id": entry.id,
                "roles": ",".join(entry.roles),
                "state": state,
                "expires": entry.expires,
            }
        )
    show({"keys": keys}, as_json=args.json)


def revoke(args: argparse.Namespace) -> None:
    """End a key."""
    from node.rpc.api_keys import revoke_key

    with on_record(args.audit, "rpc-keys revoke", file=str(args.file), name=args.name) as found:
        entry = revoke_key(args.file, args.name, int(time.time()))
        found["id"] = entry.id
    show({"revoked": entry.name, "id": entry.id}, as_json=args.json)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", type=Path, required=True, help="the file of keys (setting auth.api_keys)")
    add_json_flag(parser)
