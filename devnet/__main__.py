"""`python -m devnet`: networks of real processes on this machine.

Exit codes: 0 done, and all is well; 1 something is not (said in words); 2 the command or the manifest is
wrong; 130 interrupted.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from devnet.checks import check
from devnet.client import RpcError, Unreachable
from devnet.errors import DevnetError, NodeFailed
from devnet.launcher import Service, endpoints, exclusive, log_tail, process_of
from devnet.layout import Layout, open_layout
from devnet.manifest import load_manifest
from devnet.network import RunningNetwork, status_table, table
from devnet.perturb import ACTIONS, heal, perturb
from node.primitives.errors import ConfigError

HOME: Final = Path(".devnet")
TIMEOUT_S: Final = 120.0
TRANSFERS: Final = "transfers"
CLOUD_DAY: Final = "cloud-day"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

EXAMPLES: Final = """\
examples:
  python -m devnet up                        validators, replicas, light clients, proved with real work
  python -m devnet endpoints --json          URLs, keys of funded accounts, pids
  python -m devnet perturb kill beta gamma   a power cut at two of them
  python -m devnet heal                      all of them back
  python -m devnet check                     do all nodes say the same?
  python -m devnet load --rate 50 --seconds 30
  python -m devnet load --profile cloud-day  the contract suite at work, against a model
  python -m devnet down --clean              stop, and forget the chain

exit codes: 0 done and well · 1 something is not well · 2 wrong command or manifest · 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    args = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = args.run
    try:
        return command(args)
    except ConfigError as error:
        _complain(error.problems)
        return 2
    except NodeFailed as error:
        _complain([str(error)])
        _show_log(args.home, error.node)
        return 1
    except (RpcError, Unreachable) as error:
        _complain([str(error)])
        _show_log(args.home, error.url)
        return 1
    except DevnetError as error:
        _complain(str(error).splitlines())
        return 1
    except KeyboardInterrupt:
        _complain(["interrupted; nodes that run go on running (`python -m devnet down` stops them)"])
        return 130


# What signs transactions takes half a second to import; the commands that only look do without.


def _up(args: argparse.Namespace) -> int:
    from devnet.bring_up import PortChoice, bring_up

    network = load_manifest(args.network)
    choice = PortChoice(args.p2p_port, args.rpc_port, args.metrics_port, args.admin_port)
    with exclusive(args.home):
        proof = bring_up(network, args.home, choice, fresh=args.fresh, timeout_s=args.timeout, say=_say)
        layout = open_layout(args.home)
        if layout.network.contract_suite and not args.bare:
            _deploy_suite(layout)
    _say(
        f"network {network.name!r} works: {proof.transactions} transactions in blocks "
        f"{proof.blocks[0]} to {proof.blocks[1]}, agreed on by {len(layout.nodes)} nodes\n"
    )
    with RunningNetwork(layout) as running:
        _say(status_table(running))
    return 0


def _deploy(args: argparse.Namespace) -> int:
    from devnet.suite import deploy_suite

    with exclusive(args.home):
        report = deploy_suite(open_layout(args.home), _progress, dry_run=args.dry_run)
    rows = [(name, address) for name, address in sorted(report.addresses.items()) if "." not in name]
    _say(json.dumps(dict(rows), indent=2) if args.json else table(rows, ("CONTRACT", "ADDRESS")))
    return 0


def _deploy_suite(layout: Layout) -> None:
    from devnet.suite import deploy_suite, open_archive_logs
    from devnet.suite_genesis import REGISTRY

    report = deploy_suite(layout, lambda line: None)
    open_archive_logs(layout)
    _say(
        f"contracts   {len(report.deployed)} deployed, {len(report.steps)} steps of setting up, "
        f"the board in charge; addresses in {layout.home / REGISTRY}"
    )


def _down(args: argparse.Namespace) -> int:
    from devnet.bring_up import bring_down

    with exclusive(args.home):
        bring_down(args.home, clean=args.clean, say=_say)
    return 0


def _status(args: argparse.Namespace) -> int:
    with _running(args) as running:
        _say(status_table(running))
    services: list[Service] = [*running.nodes]
    services += [node.signer for node in running.nodes if node.has_signer]
    return 0 if all(process_of(service).state == "running" for service in services) else 1


def _endpoints(args: argparse.Namespace) -> int:
    found = endpoints(open_layout(args.home))
    if args.json:
        _say(json.dumps(found, indent=2))
    else:
        nodes = found["nodes"]
        assert isinstance(nodes, dict)
        _say(table([(name, each["rpc"], each["ws"], each["enode"]) for name, each in nodes.items()],
                   ("NODE", "RPC", "WS", "ENODE")))  # fmt: skip
    return 0


def _logs(args: argparse.Namespace) -> int:
    _say(log_tail(open_layout(args.home).node(args.node), args.lines))
    return 0


def _perturb(args: argparse.Namespace) -> int:
    with exclusive(args.home), _running(args) as running:
        perturb(running, args.action, args.nodes, _say)
    return 0


def _heal(args: argparse.Namespace) -> int:
    with exclusive(args.home), _running(args) as running:
        heal(running, _say)
        running.wait_connected(args.timeout, _say)
    return 0


def _check(args: argparse.Namespace) -> int:
    with _running(args) as running:
        findings = check(running)
    if args.json:
        rows = [{"what": each.what, "holds": each.holds, "detail": each.detail} for each in findings]
        _say(json.dumps(rows, indent=2))
    else:
        _say(table([("ok" if each.holds else "FAILED", each.what, each.detail) for each in findings],
                   ("", "INVARIANT", "SEEN")))  # fmt: skip
    return 0 if all(each.holds for each in findings) else 1


def _load(args: argparse.Namespace) -> int:
    if args.profile == CLOUD_DAY:
        return _cloud_day(args)
    from devnet.load import Plan, run_load

    plan = Plan(args.rate, args.seconds, args.count)
    with _running(args) as running:
        outcome = run_load(running, plan, _progress)
    summary = outcome.summary()
    _say(json.dumps(summary, indent=2) if args.json else table(list(summary.items()), ("", "")).lstrip("\n"))
    return 0 if not outcome.missing and not outcome.refused else 1


def _cloud_day(args: argparse.Namespace) -> int:
    from devnet.cloud_day import run_cloud_day

    findings, took = run_cloud_day(open_layout(args.home), _progress, args.seed)
    rows = [(each.what, each.holds, str(each.seen), str(each.expected)) for each in findings]
    if args.json:
        names = ("what", "holds", "seen", "expected")
        _say(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))
    else:
        shown = [("ok" if holds else "FAILED", what, seen, expected) for what, holds, seen, expected in rows]
        _say(table(shown, ("", "BOOK", "CHAIN", "MODEL")))
        _say(took)
    return 0 if all(each.holds for each in findings) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m devnet",
        description="Networks of real processes on this machine, with keys that everybody knows.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--home", type=Path, default=HOME, help="where the network lies (default: %(default)s)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_lifecycle(commands)
    _add_views(commands)
    _add_experiments(commands)
    return parser


def _add_lifecycle(commands: Commands) -> None:
    up = commands.add_parser("up", help="start all nodes and prove that the network works")
    up.add_argument(
        "--network", default="local", help="a name in devnet/networks, or a file (default: local)"
    )
    up.add_argument("--fresh", action="store_true", help="throw the old chain away first")
    up.add_argument("--timeout", type=float, default=TIMEOUT_S, help="seconds for each stage (default: 120)")
    for use in ("rpc", "p2p", "metrics", "admin"):
        up.add_argument(f"--{use}-port", type=int, help=f"the first node's {use} port; kept until --fresh")
    up.add_argument("--bare", action="store_true", help="without the contract suite")
    up.set_defaults(run=_up)

    suite = commands.add_parser("deploy", help="put the contract suite on the network, or verify it")
    suite.add_argument("--dry-run", action="store_true", help="send nothing; say what would be sent")
    suite.add_argument("--json", action="store_true", help="addresses by name, for scripts")
    suite.set_defaults(run=_deploy)

    down = commands.add_parser("down", help="stop all nodes; the chain stays")
    down.add_argument("--clean", action="store_true", help="throw the chain away, too")
    down.set_defaults(run=_down)


def _add_views(commands: Commands) -> None:
    commands.add_parser("status", help="one line per node").set_defaults(run=_status)

    places = commands.add_parser("endpoints", help="URLs, pids, accounts with their keys")
    places.add_argument("--json", action="store_true", help="everything, for scripts")
    places.set_defaults(run=_endpoints)

    logs = commands.add_parser("logs", help="the end of a node's log")
    logs.add_argument("node")
    logs.add_argument("--lines", type=int, default=50, help="how many (default: 50)")
    logs.set_defaults(run=_logs)

    invariants = commands.add_parser("check", help="do all nodes say the same, and is it right?")
    invariants.add_argument("--json", action="store_true")
    invariants.set_defaults(run=_check)


def _add_experiments(commands: Commands) -> None:
    hurt = commands.add_parser("perturb", help="kill, stop (pause), restart or partition nodes")
    hurt.add_argument("action", choices=ACTIONS)
    hurt.add_argument("nodes", nargs="+", metavar="NODE")
    hurt.set_defaults(run=_perturb)

    cure = commands.add_parser("heal", help="resume, start and reconnect whatever was perturbed")
    cure.add_argument("--timeout", type=float, default=TIMEOUT_S, help="seconds to reconnect (default: 120)")
    cure.set_defaults(run=_heal)

    work = commands.add_parser("load", help="send transfers at a steady rate, or live a day of a small cloud")
    work.add_argument(
        "--profile", choices=(TRANSFERS, CLOUD_DAY), default=TRANSFERS,
        help="transfers by rate, seconds and count; or the contract suite at work, its books checked",
    )  # fmt: skip
    work.add_argument("--rate", type=float, default=10.0, help="transactions per second (default: 10)")
    work.add_argument("--seconds", type=float, default=10.0, help="for how long (default: 10)")
    work.add_argument("--count", type=int, help="at most so many")
    work.add_argument(
        "--seed", type=int, help="cloud-day: the quantities of an earlier day, on a fresh chain"
    )
    work.add_argument("--json", action="store_true")
    work.set_defaults(run=_load)


def _running(args: argparse.Namespace) -> RunningNetwork:
    return RunningNetwork(open_layout(args.home))


def _say(line: str) -> None:
    print(line, flush=True)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _complain(lines: Sequence[str]) -> None:
    for line in lines:
        print(f"devnet: {line}", file=sys.stderr, flush=True)


def _show_log(home: Path, name_or_url: str) -> None:
    """The log of the node at fault, when it is one node's."""
    for node in open_layout(home).nodes:
        if name_or_url in (node.name, node.rpc_url):
            print(f"--- the end of {node.log}:\n{log_tail(node, this_run=True)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
