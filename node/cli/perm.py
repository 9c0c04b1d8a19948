"""`phoenix perm explain`: may a node connect, an account send; by which rule, after which block."""

import argparse
import json
import urllib.error
import urllib.request
from typing import Any, Final

from node.cli.output import Commands, add_command, add_json_flag, show
from node.primitives.errors import PhoenixError

EXAMPLES: Final = """\
  phoenix perm explain --rpc http://127.0.0.1:8545 enode://1a2b...@10.0.0.7:30303
  phoenix perm explain --from 0x5a0b... --to 0x71c7... --value 1
  phoenix perm explain --from 0x5a0b... --data 0x6080...      # a deployment
"""
RPC_URL: Final = "http://127.0.0.1:8545"
TIMEOUT_S: Final = 10.0


class NotAllowed(PhoenixError):
    """It is not; exit code 1, for scripts."""


class NoAnswer(PhoenixError):
    """The node did not say."""


def add_to(commands: Commands) -> None:
    """The command's lines."""
    parser = commands.add_parser("perm", help="who may connect and transact, and why")
    inner = parser.add_subparsers(required=True, metavar="COMMAND")
    explain = add_command(inner, "explain", "Say whether it is permitted, by which rule and block.", EXAMPLES)
    explain.add_argument("node", nargs="?", help="an enode URL, or 128 hex digits")
    explain.add_argument("--host", help="where the node comes from")
    explain.add_argument("--from", dest="sender", metavar="ADDRESS")
    explain.add_argument("--to", metavar="ADDRESS", help="without it: a deployment")
    explain.add_argument("--value", default="0", metavar="WEI")
    explain.add_argument("--data", default="0x", metavar="HEX")
    explain.add_argument("--rpc", default=RPC_URL, metavar="URL", help="the node that decides")
    add_json_flag(explain)
    explain.set_defaults(run=explain_permission)


def explain_permission(args: argparse.Namespace) -> None:
    """Ask the node and show its answer; NotAllowed when anything asked for is not."""
    answer = ask(args.rpc, "perm_explain", _subject(args))
    if args.json:
        show(answer, as_json=True)
    elif "rule" in answer:
        show({"": _line(answer)}, as_json=False)
    else:
        show({name: _line(each) for name, each in answer.items()}, as_json=False)
    decisions = [answer] if "rule" in answer else list(answer.values())
    if not any(each["allowed"] for each in decisions):
        raise NotAllowed("it is not permitted")


def ask(url: str, method: str, *params: Any) -> dict[str, Any]:
    """One JSON-RPC request; NoAnswer says why there is no result."""
    if not url.startswith(("http://", "https://")):
        raise NoAnswer(f"{url!r} is no http URL")
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
            tree = json.load(reply)
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise NoAnswer(f"{url}: {error}") from error
    if "error" in tree:
        raise NoAnswer(f"{url}: {tree['error'].get('message')}")
    result = tree.get("result")
    if not isinstance(result, dict):
        raise NoAnswer(f"{url}: an answer that is none")
    return result


def _subject(args: argparse.Namespace) -> dict[str, str]:
    if args.node is not None:
        return {"node": args.node} | ({"host": args.host} if args.host else {})
    if args.sender is None:
        raise NoAnswer("name a node, or an account with --from")
    subject = {"from": args.sender, "value": hex(int(args.value, 0)), "data": args.data}
    return subject | ({"to": args.to} if args.to else {})


def _line(decision: dict[str, Any]) -> str:
    word = "allowed" if decision["allowed"] else "REFUSED"
    block = "" if decision["block"] is None else f", after block {int(decision['block'], 16)}"
    return f"{word}  {decision['reason']}  (rule {decision['rule']}{block})"
