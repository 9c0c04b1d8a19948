"""`phoenix init`: write block 0 into a new data directory."""

import argparse
from pathlib import Path
from typing import Final

from node.cli.output import Commands, add_command, add_json_flag, show

EXAMPLES: Final = """\
  phoenix init --genesis genesis.json --data-dir data/
  phoenix init --genesis genesis.json --data-dir data/ --json
"""


def add_to(commands: Commands) -> None:
    """The command's line."""
    text = "Write block 0 into a data directory and print its hash. A directory of another chain is refused."
    parser = add_command(commands, "init", text, EXAMPLES)
    parser.add_argument("--genesis", type=Path, required=True, help="geth's genesis.json")
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="the node's data directory; made if absent"
    )
    add_json_flag(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read the genesis file, write block 0, print what it is."""
    from node.chain.genesis import load_genesis, open_genesis
    from node.config.settings import StorageSettings
    from node.primitives.ids import hex_of
    from node.state.store import StateStore
    from node.storage.blocks import read_genesis_hash
    from node.storage.migrations import migrate
    from node.storage.opening import open_database

    spec = load_genesis(args.genesis)
    settings = StorageSettings()
    kv, _ = open_database(args.data_dir, settings)
    try:
        migrate(kv)
        is_new = read_genesis_hash(kv) is None
        state = StateStore(kv, settings)
        header = open_genesis(kv, state, spec)
        state.close()
    finally:
        kv.close()
    result = {
        "genesis_hash": hex_of(header.hash),
        "state_root": hex_of(header.state_root),
        "chain_id": spec.chain_id,
        "accounts": len(spec.alloc),
        "data_dir": str(args.data_dir),
        "written": "now" if is_new else "before; nothing was changed",
    }
    show(result, as_json=args.json)
