"""`python -m contracts`: put the suite on a chain, and the board's work afterwards.

Exit codes: 0 done; 1 the chain or a contract refused, or differs; 2 the command or a document is wrong.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, TypeAlias

from contracts.board import BoardRoom, Standing
from contracts.deploy import DeployFailed, deploy
from contracts.proposals import Answer, BadProposal, Stage, draft_of
from contracts.registry import OtherChain, open_registry
from contracts.rpc_chain import RpcChain
from contracts.suite import Charter, Role, Rule
from node.primitives.crypto import keccak256

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

EXAMPLES: Final = """\
examples (each with --rpc URL, --registry contracts.json and, to send, --key-file FILE):
  python -m contracts deploy --charter charter.json    put the suite there, or verify it
  python -m contracts deploy --charter charter.json --dry-run
  python -m contracts propose proposal.json            a member puts calls to the vote
  python -m contracts vote 7 for --reason "Audited."   once, for good
  python -m contracts status                           every proposal, and what it waits for
  python -m contracts queue 7                          anybody, once it has passed
  python -m contracts execute 7                        anybody, after its delay
  python -m contracts upgrade Billing --out up.json    new code on the chain, storage compared; then propose

The charter is a JSON object: members {address: weight}; rules {ordinary, structural, emergency: {quorum,
threshold, voting_period_s, delay_s}}, shares in basis points; validators {address: organisation};
organisations {name: administrator}; nodes {key: organisation}; accounts {address: [organisation, roles]};
holders {ROLE: [address]}; currency [name, symbol, decimals].

A proposal is one, too: class (ordinary, structural, emergency); description, of which the chain keeps the
hash; actions, a list of {"contract": "Validators", "function": "add", "arguments": ["0x51…",
{"name": "operator five"}]} or {"target": "0x51…", "data": "0x…"}. {"name": TEXT} is the hash that the suite
knows a name by, {"address": CONTRACT} the address of one of its contracts.
"""


def charter_from(document: Mapping[str, Any]) -> Charter:
    """The charter; KeyError, TypeError or ValueError for what is missing or wrong."""
    rules = {name: Rule(**rule) for name, rule in document["rules"].items()}
    return Charter(
        members=document["members"],
        validators=document["validators"],
        organisations=document.get("organisations", {}),
        nodes=document.get("nodes", {}),
        accounts={address: (name, roles) for address, (name, roles) in document.get("accounts", {}).items()},
        holders={Role[name]: tuple(each) for name, each in document.get("holders", {}).items()},
        currency=tuple(document.get("currency", ("Phoenix settlement unit", "PSU", 6))),
        ordinary=rules["ordinary"],
        structural=rules["structural"],
        emergency=rules["emergency"],
    )


class _BadDocument(Exception):
    """A file that is not what the command needs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    args = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = args.run
    try:
        with ExitStack() as args.open:
            return command(args)
    except (_BadDocument, BadProposal) as error:
        print(error, file=sys.stderr)
        return 2
    except (DeployFailed, OtherChain) as error:
        print(error, file=sys.stderr)
        return 1


def _deploy(args: argparse.Namespace) -> int:
    document = _document(args.charter)
    try:
        charter = charter_from(document)
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        raise _BadDocument(f"{args.charter}: {type(error).__name__}: {error}") from error
    chain = _chain(args)
    registry = open_registry(args.registry, chain.identity)
    report = deploy(chain, charter, registry, print, dry_run=args.dry_run)
    for name, address in sorted(report.addresses.items()):
        print(f"{address}  {name}")
    return 0


def _propose(args: argparse.Namespace) -> int:
    document = _document(args.document)
    room, registry = _room(args)
    number = room.propose(draft_of(document, registry))
    print(_shown(room.standing(number)))
    return 0


def _vote(args: argparse.Namespace) -> int:
    room, _ = _room(args)
    room.vote(args.number, Answer[args.answer.upper()], keccak256(args.reason.encode()))
    print(_shown(room.standing(args.number)))
    return 0


def _act(args: argparse.Namespace) -> int:
    """queue, execute, cancel, hold."""
    room, _ = _room(args)
    deeds = {"queue": room.queue, "execute": room.execute, "cancel": room.cancel, "hold": room.hold}
    deeds[args.command](args.number)
    print(_shown(room.standing(args.number)))
    return 0


def _status(args: argparse.Namespace) -> int:
    room, _ = _room(args)
    found = list(room.standings()) if args.number is None else [room.standing(args.number)]
    print("\n".join(map(_shown, found)) or "nothing has been proposed")
    return 0


def _upgrade(args: argparse.Namespace) -> int:
    room, _ = _room(args)
    text = json.dumps(room.upgrade(args.names), indent=2)
    if args.out is None:
        print(text)
    else:
        args.out.write_text(text + "\n")
        print(f"{args.out}: to be proposed, voted on, queued, executed")
    return 0


def _shown(it: Standing) -> str:
    """A proposal in a few lines."""
    now = int(time.time())
    waits = {
        Stage.VOTING: f"voting ends in {it.voting_ends - now} s",
        Stage.PASSED: "anybody may queue it",
        Stage.QUEUED: f"anybody may execute it, in {max(0, it.executable_from - now)} s",
    }.get(it.stage, "over")
    votes = f"{it.votes_for} for, {it.votes_against} against, {it.abstained} abstained"
    rule = f"{it.quorum:.0%} must take part, {it.threshold:.2%} of the votes be for"
    head = f"{it.number}  {it.kind.name.lower()}  {it.stage.name.lower()} ({waits})  {votes} ({rule})"
    return "\n".join([head, *(f"   {each}" for each in it.actions)])


def _room(args: argparse.Namespace) -> tuple[BoardRoom, Any]:
    chain = _chain(args)
    registry = open_registry(args.registry, chain.identity)
    return BoardRoom(chain, registry), registry


def _chain(args: argparse.Namespace) -> RpcChain:
    path: Path | None = getattr(args, "key_file", None)
    try:
        key = None if path is None else path.read_text().strip()
        chain: RpcChain = args.open.enter_context(closing(RpcChain(args.rpc, key)))
        return chain
    except (OSError, ValueError) as error:
        # What the file holds is a secret, or was meant to be one: it is not repeated.
        why = error.strerror if isinstance(error, OSError) else "no private key in hex"
        raise _BadDocument(f"{path}: {why}") from None


def _document(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise _BadDocument(f"{path}: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m contracts",
        description="The contract suite on any chain: its deployment, and its board.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    put = _command(commands, "deploy", "put the suite on a chain, go on after a crash, or verify it", _deploy)
    put.add_argument(
        "--charter", type=Path, required=True, help="JSON: the board, its rules, who begins as what"
    )
    put.add_argument("--dry-run", action="store_true", help="send nothing; say what would be sent")

    proposed = _command(commands, "propose", "put calls to the vote (a member, or its key)", _propose)
    proposed.add_argument("document", type=Path, help="JSON: class, description, actions")
    voted = _command(commands, "vote", "answer a proposal, once and for good", _vote)
    voted.add_argument("number", type=int)
    voted.add_argument("answer", choices=[each.name.lower() for each in Answer if each is not Answer.NONE])
    voted.add_argument("--reason", default="", help="a text; the chain keeps its hash")
    for name, what in (
        ("queue", "start the delay of what has passed (anybody)"),
        ("execute", "carry out what was queued, after its delay (anybody)"),
        ("cancel", "withdraw one's own proposal before it is queued"),
        ("hold", "give the board more time before it is executed, once (GUARDIAN)"),
    ):
        _command(commands, name, what, _act).add_argument("number", type=int)
    standing = _command(
        commands, "status", "every proposal, or one, and what it waits for", _status, key=False
    )
    standing.add_argument("number", type=int, nargs="?")
    new = _command(
        commands, "upgrade", "new code on the chain, and the document that proposes to run it", _upgrade
    )
    new.add_argument("names", nargs="+", metavar="CONTRACT")
    new.add_argument("--out", type=Path, help="where the document goes (default: shown)")
    return parser


def _command(
    commands: Commands, name: str, what: str, run: Callable[[argparse.Namespace], int], *, key: bool = True
) -> argparse.ArgumentParser:
    found = commands.add_parser(name, help=what, description=what)
    found.add_argument("--rpc", required=True, help="http:// URL of a node")
    found.add_argument("--registry", type=Path, required=True, help="where addresses are kept")
    if key:
        found.add_argument("--key-file", type=Path, required=True, help="the sender's private key, in hex")
    found.set_defaults(run=run)
    return found


if __name__ == "__main__":
    sys.exit(main())
