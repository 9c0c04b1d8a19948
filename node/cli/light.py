"""`phoenix light`: checkpoints, from which light clients and auditors start."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.cli.output import Commands, add_command, add_json_flag, show
from node.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.light.checkpoint import Checkpoint

EXAMPLES: Final = """\
  phoenix light checkpoint --rpc http://127.0.0.1:8545 --genesis genesis.json --out checkpoint.json
  phoenix light checkpoint --rpc http://127.0.0.1:8545 --genesis genesis.json --block 30000 --out c.json
  phoenix light sign checkpoint.json --genesis genesis.json --keystore keys/UTC--2026-... --password-file pw
  phoenix light show checkpoint.json --genesis genesis.json

Make a checkpoint from a node that you trust, mostly your own. Each governor looks at the file, compares its
hash with their own node's, and signs; the light client's settings say whose signatures it demands:
  role = "light"
  [light]
  upstreams = ["https://replica-1.region:8545", "https://replica-2.region:8545"]
  checkpoint = "checkpoint.json"
  authorities = ["0x...", "0x...", "0x..."]
  authorities_min = 2
"""


def add_to(commands: Commands) -> None:
    """The command's lines."""
    parser = add_command(commands, "light", "Make, sign and look at checkpoints.", EXAMPLES)
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    made = add_command(actions, "checkpoint", "Make a checkpoint from a node that is trusted.", EXAMPLES)
    made.add_argument("--rpc", required=True, help="JSON-RPC URL of the node")
    _add_genesis(made)
    made.add_argument("--block", type=int, help="its number (default: the newest)")
    made.add_argument("--out", type=Path, required=True, help="file to write")
    add_json_flag(made)
    made.set_defaults(run=make)

    signed = add_command(actions, "sign", "Add a signature to a checkpoint.", EXAMPLES)
    signed.add_argument("file", type=Path)
    _add_genesis(signed)
    signed.add_argument("--keystore", type=Path, required=True, help="encrypted key file")
    signed.add_argument("--password-file", type=Path, help="first line is the password (default: ask)")
    add_json_flag(signed)
    signed.set_defaults(run=sign)

    shown = add_command(actions, "show", "What a checkpoint says, and who signed it.", EXAMPLES)
    shown.add_argument("file", type=Path)
    _add_genesis(shown)
    add_json_flag(shown)
    shown.set_defaults(run=show_file)


def make(args: argparse.Namespace) -> None:
    """Ask the node and write the file."""
    from consensus.clique.rules import CliqueRules
    from node.chain.genesis_json import load_genesis
    from node.cli.proofs import open_provider
    from node.light.checkpoint import encode_checkpoint
    from node.light.prover import make_checkpoint

    spec = load_genesis(args.genesis)
    rpc, provider = open_provider(args.rpc)
    checkpoint = make_checkpoint(rpc, provider, CliqueRules(spec.engine), args.block)
    args.out.write_text(encode_checkpoint(checkpoint))
    _show(checkpoint, args)


def sign(args: argparse.Namespace) -> None:
    """Add a signature of this key."""
    from node.cli.proofs import read_checkpoint
    from node.light.checkpoint import encode_checkpoint
    from node.signing.keystore import unlock_key
    from node.signing.passwords import find_password

    checkpoint = read_checkpoint(args.file, args.genesis)
    key = unlock_key(args.keystore, find_password(args.password_file))
    if key.address in checkpoint.signed_by():
        raise ConfigError([f"{args.file} is signed by this key already"])
    checkpoint = checkpoint.signed(key)
    args.file.write_text(encode_checkpoint(checkpoint))
    _show(checkpoint, args)


def show_file(args: argparse.Namespace) -> None:
    """Read the file; an error says what is wrong with it."""
    from node.cli.proofs import read_checkpoint

    _show(read_checkpoint(args.file, args.genesis), args)


def _show(checkpoint: "Checkpoint", args: argparse.Namespace) -> None:
    from node.primitives.ids import hex_of

    trusted = checkpoint.trusted
    result = {
        "chain_id": checkpoint.chain_id,
        "number": trusted.header.number,
        "hash": hex_of(trusted.header.hash),
        "timestamp": trusted.header.timestamp,
        "signers": [hex_of(each) for each in trusted.state.signers],
        "open_votes": len(trusted.state.votes),
        "signed_by": [hex_of(each) for each in sorted(checkpoint.signed_by())],
    }
    show(result, as_json=args.json)


def _add_genesis(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--genesis", type=Path, required=True, help="genesis.json of the network")
