"""`phoenix prove`: a file that shows an auditor, years later and without any node, what was on the chain."""

import argparse
import re
from pathlib import Path
from typing import Final

from node.cli.output import Commands, add_command, add_json_flag, show
from node.primitives.errors import ConfigError
from node.primitives.ids import Address, Hash32

EXAMPLES: Final = """\
  phoenix prove --rpc http://127.0.0.1:8545 --genesis genesis.json --transaction 0x... --out payment.proof
  phoenix prove --rpc http://127.0.0.1:8545 --genesis genesis.json --log 0x...:0 --out event.proof
  phoenix prove --rpc ... --genesis genesis.json --block 41000 --account 0x... --slot 0x0 --code --out a.proof
  phoenix prove --rpc ... --genesis genesis.json --checkpoint c.json --short --account 0x... --out b.proof
  phoenix verify payment.proof --genesis genesis.json

A proof is about one block: that of the transactions, or --block, or one that a majority has built on already.
It hangs on the checkpoint, block 0 without one: older blocks by hashes alone, younger ones by every header
between, or with --short by runs of seals (smaller by far; trusts that more than half of the signers of each
such run were honest). The file is verified before it is written, so the node that is asked need not be
trusted. To read state of an old block, ask an archive node.
"""


def add_to(commands: Commands) -> None:
    """The command's line."""
    parser = add_command(commands, "prove", "Write a proof of what is on the chain to a file.", EXAMPLES)
    parser.add_argument("--rpc", required=True, help="JSON-RPC URL of any node that has the block")
    parser.add_argument("--genesis", type=Path, required=True, help="genesis.json of the network")
    parser.add_argument("--checkpoint", type=Path, help="what the auditor trusts (default: block 0)")
    parser.add_argument("--block", type=int, help="number of the block")
    parser.add_argument("--account", action="append", default=[], metavar="ADDRESS")
    parser.add_argument("--slot", action="append", default=[], metavar="SLOT", help="of each account")
    parser.add_argument("--code", action="store_true", help="and the code of each account")
    parser.add_argument("--transaction", action="append", default=[], metavar="HASH", help="with its receipt")
    parser.add_argument(
        "--log", action="append", default=[], metavar="HASH:N", help="event N of a transaction, from 0"
    )
    parser.add_argument("--short", action="store_true", help="runs of seals in place of every header")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    add_json_flag(parser)
    parser.set_defaults(run=prove)


def prove(args: argparse.Namespace) -> None:
    """Gather, verify, write."""
    from consensus.clique.rules import CliqueRules
    from node.chain.genesis_json import load_genesis
    from node.cli.proofs import open_provider, read_checkpoint
    from node.cli.verify import facts_of
    from node.light.bundle import encode_bundle, verify_bundle
    from node.light.prover import Wanted, find_block, make_bundle

    logs = tuple(_log(text) for text in args.log)
    wanted = Wanted(
        accounts=tuple(Address(_hex(text, 20, "--account")) for text in args.account),
        slots=tuple(_slot(text) for text in args.slot),
        with_code=args.code,
        transactions=tuple(Hash32(_hex(text, 32, "--transaction")) for text in args.transaction),
        logs=logs,
    )
    if not (wanted.accounts or wanted.transactions or wanted.logs):
        raise ConfigError(["nothing to prove: give --account, --transaction or --log"])
    spec = load_genesis(args.genesis)
    rules = CliqueRules(spec.engine)
    checkpoint = read_checkpoint(args.checkpoint, args.genesis)
    _, provider = open_provider(args.rpc)
    hashes = (*wanted.transactions, *(tx_hash for tx_hash, _ in logs))
    if hashes:
        number = find_block(provider, hashes)
    elif args.block is not None:
        number = args.block
    else:
        number = max(provider.head().number - len(checkpoint.trusted.state.signers), 0)
    bundle = make_bundle(provider, checkpoint, rules, number, wanted, short=args.short)
    proved = verify_bundle(bundle, checkpoint, spec, rules)
    raw = encode_bundle(bundle)
    args.out.write_bytes(raw)
    show(facts_of(proved, as_json=args.json) | {"file": str(args.out), "bytes": len(raw)}, as_json=args.json)


def _hex(text: str, size: int, what: str) -> bytes:
    if not re.fullmatch(rf"0x[0-9a-fA-F]{{{2 * size}}}", text):
        raise ConfigError([f"{what} is {text[:80]!r}; 0x and {2 * size} hex digits are needed"])
    return bytes.fromhex(text[2:])


def _slot(text: str) -> int:
    try:
        slot = int(text, 0)
    except ValueError:
        slot = -1
    if not 0 <= slot < 1 << 256:
        raise ConfigError([f"--slot is {text[:80]!r}; a number is needed, 0x for hex"])
    return slot


def _log(text: str) -> tuple[Hash32, int]:
    tx_hash, _, place = text.partition(":")
    if not place.isdigit():
        raise ConfigError([f"--log is {text[:90]!r}; it reads HASH:N, the transaction and the event's place"])
    return Hash32(_hex(tx_hash, 32, "--log")), int(place)
