"""`phoenix verify`: check a proof file with nothing but a checkpoint; needs no node and no network."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node.cli.output import Commands, add_command, add_json_flag, show
from node.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.light.bundle import Proved

EXAMPLES: Final = """\
  phoenix verify payment.proof --genesis genesis.json
  phoenix verify payment.proof --genesis genesis.json --checkpoint checkpoint.json
  phoenix verify payment.proof --genesis genesis.json --json

genesis.json says which network it is and by which rules its headers are judged; the checkpoint (block 0
without one) is what you trust. Compare its hash with a source of your own. Exit code 0 means proved.
"""
FILE_BYTES_MAX: Final = 1 << 30


def add_to(commands: Commands) -> None:
    """The command's line."""
    parser = add_command(commands, "verify", "Check a proof file; no node is asked.", EXAMPLES)
    parser.add_argument("file", type=Path)
    parser.add_argument("--genesis", type=Path, required=True, help="genesis.json of the network")
    parser.add_argument("--checkpoint", type=Path, help="what you trust (default: block 0)")
    add_json_flag(parser)
    parser.set_defaults(run=verify)


def verify(args: argparse.Namespace) -> None:
    """Print what is proved; a ChainError says where the proof fails."""
    from consensus.clique.rules import CliqueRules
    from node.chain.genesis_json import load_genesis
    from node.cli.proofs import read_checkpoint
    from node.light.bundle import decode_bundle, verify_bundle

    spec = load_genesis(args.genesis)
    checkpoint = read_checkpoint(args.checkpoint, args.genesis)
    if args.file.stat().st_size > FILE_BYTES_MAX:
        raise ConfigError([f"{args.file} has more than {FILE_BYTES_MAX} bytes"])
    bundle = decode_bundle(args.file.read_bytes())
    proved = verify_bundle(bundle, checkpoint, spec, CliqueRules(spec.engine))
    show(facts_of(proved, as_json=args.json), as_json=args.json)


def facts_of(proved: "Proved", *, as_json: bool) -> dict[str, Any]:
    """What to print of it."""
    from node.primitives.ids import hex_of

    header = proved.header
    return {
        "proved": True,
        "block": header.number,
        "hash": hex_of(header.hash),
        "timestamp": header.timestamp,
        "how": proved.how,
        "facts": list(proved.facts) if as_json else [json.dumps(fact) for fact in proved.facts],
    }
