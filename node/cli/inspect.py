"""`phoenix inspect`: look into the database of a stopped node."""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node.cli.output import Commands, add_command, add_json_flag, show
from node.primitives.errors import ConfigError, StorageError
from node.primitives.ids import Address, hex_of

if TYPE_CHECKING:
    from node.primitives.block import Header
    from node.storage.kv import Reader

EXAMPLES: Final = """\
  phoenix inspect --data-dir data/
  phoenix inspect --data-dir data/ --json
  phoenix inspect --data-dir data/ --count        also count rows, which reads the whole database
  phoenix inspect --data-dir data/ --audit        also check that all of the state holds together
  phoenix inspect code 0x70.. --data-dir data/    print the Python that a contract is translated into
"""
TABLES: Final = {
    b"h": "headers", b"b": "bodies", b"r": "receipts", b"c": "canonical blocks", b"x": "transactions",
    b"a": "accounts", b"s": "storage slots", b"k": "contract codes", b"A": "account trie nodes",
    b"S": "storage trie nodes", b"u": "before-images", b"e": "engine states",
}  # fmt: skip


def add_to(commands: Commands) -> None:
    """The command's line."""
    text = "Show head, genesis, signers and signatures of a stopped node's database; nothing is changed."
    parser = add_command(commands, "inspect", text, EXAMPLES)
    parser.add_argument("what", nargs="?", choices=["code"], help="code: one contract, as it is executed")
    parser.add_argument("address", nargs="?", metavar="ADDRESS", help="the contract")
    parser.add_argument("--data-dir", type=Path, required=True, help="the node's data directory")
    parser.add_argument("--count", action="store_true", help="count the rows of each table")
    parser.add_argument(
        "--audit", action="store_true", help="check all accounts and slots against the state root"
    )
    add_json_flag(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Open the database and print what it holds."""
    from node.cli.inspect_code import describe_code, parse_address
    from node.config.data_dir import guard_path
    from node.config.settings import StorageSettings
    from node.native import in_words
    from node.state.audit import audit
    from node.storage.opening import has_database, open_database

    address = parse_address(args.address or "nothing") if args.what == "code" else None

    if not has_database(args.data_dir):
        # It would be made.
        raise ConfigError([f"no database in {args.data_dir}; `phoenix init` makes one"])
    kv, _ = open_database(args.data_dir, StorageSettings())
    try:
        if address is not None:
            _show_code(describe_code(kv, address), as_json=args.json)
            return
        result = describe(kv)
        if args.count:
            result["rows"] = [{"count": count, "table": table} for table, count in count_rows(kv).items()]
        if args.audit:
            found = audit(kv)
            result["audited"] = {"block": str(found.base), "accounts": found.accounts, "slots": found.slots}
    finally:
        kv.close()
    result["kernels"] = in_words()
    result["last_signed"] = _last_signed(guard_path(args.data_dir), result["chain_id"], result["signers"])
    show(result, as_json=args.json)


def _show_code(result: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        show(result, as_json=True)
        return
    source = result.pop("python")
    print("\n".join(f"# {name.replace('_', ' ')}: {value}" for name, value in result.items()))
    print(source)


def describe(kv: "Reader") -> dict[str, Any]:
    """What the database says of itself; StorageError where something is missing that it must hold."""
    from node.storage import blocks
    from node.storage.evidence import read_evidence
    from node.storage.locks import read_proposals
    from node.storage.migrations import read_version

    genesis_hash, head, rules = blocks.read_genesis_hash(kv), blocks.read_head(kv), blocks.read_rules(kv)
    if genesis_hash is None or head is None or rules is None:
        raise StorageError("the database holds no chain: genesis, head or rules are missing")
    header = blocks.read_header(kv, head.hash)
    if header is None:
        raise StorageError(f"the head {head} is missing from the database")
    stated = json.loads(rules)
    return {
        "schema_version": read_version(kv),
        "chain_id": stated["chainId"],
        "genesis_hash": hex_of(genesis_hash),
        "head_number": head.number,
        "head_hash": hex_of(head.hash),
        "head_time": datetime.fromtimestamp(header.timestamp, UTC).isoformat(),
        "total_difficulty": blocks.read_total_difficulty(kv, head.hash),
        "state_root": hex_of(header.state_root),
        "signers": [hex_of(address) for address in _signers(kv, stated, header)],
        "proposals": [f"{hex_of(who)} {'in' if vote else 'out'}" for who, vote in read_proposals(kv)],
        "equivocations": [
            {
                "signer": hex_of(proof.signer),
                "height": proof.number,
                "first": hex_of(proof.first.hash),
                "second": hex_of(proof.second.hash),
                "seen": datetime.fromtimestamp(proof.seen_s, UTC).isoformat(),
            }
            for proof in read_evidence(kv)
        ],
    }


def count_rows(kv: "Reader") -> dict[str, int]:
    """Rows by table."""
    counted = Counter(key[:1] for key, _ in kv.iterate(b"", None))
    return {name: counted[letter] for letter, name in TABLES.items()}


def _signers(kv: "Reader", rules: dict[str, Any], head: "Header") -> tuple[Address, ...]:
    """Who may sign after the head, ascending."""
    from consensus.clique.rules import CliqueRules
    from node.chain.engine_states import EngineStates
    from node.primitives.chain_spec import CliqueSpec
    from node.storage import blocks

    genesis_hash = blocks.read_genesis_hash(kv)
    genesis = None if genesis_hash is None else blocks.read_header(kv, genesis_hash)
    if genesis is None:
        raise StorageError("the genesis header is missing from the database")
    spec = CliqueSpec(rules["clique.period"], rules["clique.epoch"])
    states = EngineStates(CliqueRules(spec), kv, genesis, spec.epoch_blocks)
    state = states.after(head, lambda block_hash: blocks.read_header(kv, block_hash))
    return states.rules.validators(state)


def _last_signed(path: Path, chain_id: int, signers: Sequence[str]) -> list[dict[str, object]]:
    """The guard's watermarks: what each signer's key last signed on this machine."""
    from node.config.settings import StorageSettings
    from node.signing.guard import DIGEST_OF
    from node.signing.guard_rows import Guard
    from node.storage.leveldb import LevelDB

    if not path.is_dir():
        return []  # a node that never was a validator
    kv = LevelDB.open(path, StorageSettings())
    try:
        return [
            {"address": signer, "kind": kind, "height": last.height, "digest": hex_of(last.digest)}
            for signer in signers
            for kind in DIGEST_OF
            if (last := Guard(kv, Address(bytes.fromhex(signer[2:])), chain_id).last(kind)) is not None
        ]
    finally:
        kv.close()
