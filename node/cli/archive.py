"""`phoenix archive`: blocks of a stopped node into files, files into a node, and what files prove."""

import argparse
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node.cli.output import Commands, add_command, add_json_flag, show
from node.cli.progress import Progress
from node.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.archive.files import ArchivedFile
    from node.archive.witness import Beliefs
    from node.config.settings import Settings
    from node.primitives.crypto import PrivateKey
    from node.primitives.ids import Hash32
    from node.storage.kv import KeyValue

EXAMPLES: Final = """\
  phoenix archive export --genesis genesis.json --data-dir data/ --out archive/
  phoenix archive verify archive/ --rpc http://localhost:8545            against a chain
  phoenix archive verify archive/ --data-dir data/                       against a stopped node's chain
  phoenix archive verify archive/ --trusted-hash 0x5f37..                against one hash, offline
  phoenix archive verify archive/ --genesis genesis.json --rpc URL --audit-log 0x12..     anchors too
  phoenix archive import --genesis genesis.json --data-dir new/ archive/
  phoenix archive import --config node.toml --from-store                 files come from the S3 store
  phoenix archive status archive/ --rpc http://localhost:8545

An archive node (role = "archive") writes such files by itself. export and import need a stopped node; both go
on where they were interrupted. verify believes nothing but what it is given.
"""


def add_to(commands: Commands) -> None:
    """The command's lines."""
    text = "Finished blocks in era1 files: make, verify and import them."
    parser = add_command(commands, "archive", text, EXAMPLES)
    parts = parser.add_subparsers(required=True, metavar="PART")

    exported = add_command(parts, "export", "Write a stopped node's blocks into signed files.", EXAMPLES)
    _add_node(exported)
    exported.add_argument("--out", type=Path, required=True, help="directory of the files; made if absent")
    exported.add_argument("--first", type=int, default=0, help="first block (default: 0)")
    exported.add_argument("--last", type=int, help="last block (default: the head)")
    exported.add_argument("--blocks-per-file", type=int, default=8_192, help="at most 8192, the default")
    exported.add_argument("--key", type=Path, help="signs: 32 bytes hex (default: the node's own key)")
    add_json_flag(exported)
    exported.set_defaults(run=export)

    imported = add_command(parts, "import", "Rebuild a node from files: every block is executed.", EXAMPLES)
    _add_node(imported)
    imported.add_argument("--from-store", action="store_true", help="fetch from the settings' S3 store")
    imported.add_argument("sources", nargs="*", type=Path, metavar="FILE_OR_DIRECTORY")
    add_json_flag(imported)
    imported.set_defaults(run=import_archive)

    verified = add_command(parts, "verify", "Prove files against a chain or a trusted hash.", EXAMPLES)
    verified.add_argument("sources", nargs="+", type=Path, metavar="FILE_OR_DIRECTORY")
    verified.add_argument("--rpc", help="JSON-RPC of a node whose chain is believed")
    verified.add_argument("--data-dir", type=Path, help="a stopped node whose chain is believed")
    verified.add_argument("--trusted-hash", help="hash of a block that is believed")
    verified.add_argument("--genesis", type=Path, help="the genesis file: all of its rules are checked")
    verified.add_argument("--signer", help="address that must have signed the manifests")
    verified.add_argument("--audit-log", help="address of AuditLog, in which every file must be anchored")
    add_json_flag(verified)
    verified.set_defaults(run=verify)

    status = add_command(parts, "status", "What a directory of files holds, and what it lacks.", EXAMPLES)
    status.add_argument("directory", type=Path)
    status.add_argument("--rpc", help="JSON-RPC of a node, to tell how far the files are behind")
    add_json_flag(status)
    status.set_defaults(run=show_status)


def export(args: argparse.Namespace) -> None:
    """Write files and print what they hold."""
    from node.app.offline import offline_chain
    from node.archive.blocks import History, export_blocks
    from node.archive.files import ArchiveDirectory

    settings = _settings(args)
    if not 1 <= args.blocks_per_file <= 8_192:
        raise ConfigError([f"--blocks-per-file is {args.blocks_per_file}; 1 to 8192 is possible"])
    _need_database(settings.data_dir)
    with offline_chain(settings) as chain:
        history = History(chain.kv, chain.spec)
        last = history.head.number if args.last is None else args.last
        if not 0 <= args.first <= last <= history.head.number:
            raise ConfigError([f"blocks {args.first} to {last}: the chain has 0 to {history.head.number}"])
        progress = Progress("exporting", "blocks", quiet=args.json)
        files = export_blocks(
            history,
            ArchiveDirectory(args.out),
            _key(args.key, settings),
            first=args.first,
            last=last,
            blocks_per_file=args.blocks_per_file,
            progress=progress,
        )
        progress.end()
    show({"directory": str(args.out), "files": list(map(_line_of, files))}, as_json=args.json)


def import_archive(args: argparse.Namespace) -> None:
    """Take all blocks of the files into a data directory; print the new head."""
    import trio

    from node.app.offline import offline_chain
    from node.archive.blocks import import_files
    from node.archive.files import breaks
    from node.primitives.ids import hex_of

    settings = _settings(args)
    files = _sources(args, settings)
    gaps = list(breaks(files))
    if gaps:
        raise ConfigError(gaps)
    progress = Progress("importing", "blocks", quiet=args.json)
    with offline_chain(settings) as offline:

        async def run() -> dict[str, Any]:
            chain = await trio.to_thread.run_sync(offline.open_chain)
            try:
                taken = await import_files(files, chain.importer, chain.reader, progress)
            finally:
                with trio.CancelScope(shield=True):
                    await chain.importer.close()
                chain.state.close()
            head = chain.reader.head
            return {
                "imported": taken,
                "head_number": head.number,
                "head_hash": hex_of(head.hash),
                "state_root": hex_of(head.state_root),
                "data_dir": str(settings.data_dir),
            }

        result = trio.run(run)
    progress.end()
    show(result, as_json=args.json)


def verify(args: argparse.Namespace) -> None:
    """Prove the files and print what was proved."""
    from node.archive.files import find_archived
    from node.archive.witness import prove_files

    files = find_archived(args.sources)
    total = sum(file.manifest.blocks for file in files)
    sizes = {file.path.name: file.manifest.blocks for file in files}
    progress, before, current = Progress("verifying", "blocks", quiet=args.json), 0, ""

    def report(name: str, done: int, _: int) -> None:
        nonlocal before, current
        if name != current:
            before, current = before + sizes.get(current, 0), name
        progress(before + done, total)

    with _beliefs(args) as beliefs:
        findings = prove_files(files, beliefs, report)
    progress.end()
    result: dict[str, Any] = {"holds": True}
    for finding in findings:
        result[finding.what.replace(" ", "_")] = finding.detail
    show(result, as_json=args.json)


def show_status(args: argparse.Namespace) -> None:
    """Print the files of a directory, gaps, and how far behind they are."""
    from node.archive.files import ArchiveDirectory, breaks
    from node.archive.witness import RpcWitness

    files = ArchiveDirectory(args.directory).files() if args.directory.is_dir() else []
    last = files[-1].manifest.last.number if files else None
    result: dict[str, Any] = {
        "directory": str(args.directory),
        "files": list(map(_line_of, files)),
        "gaps": list(breaks(files)),
        "bytes": sum(file.manifest.size_bytes for file in files),
        "last_block": last,
        "anchored": sum(file.anchor_path.exists() for file in files),
    }
    if args.rpc is not None:
        witness = RpcWitness(args.rpc)
        try:
            result["blocks_behind"] = witness.head() - (-1 if last is None else last)
        finally:
            witness.close()
    show(result, as_json=args.json)


# --- what the flags mean


def _add_node(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, help="the node's settings; or the next two:")
    parser.add_argument("--genesis", type=Path, help="geth's genesis.json")
    parser.add_argument("--data-dir", type=Path, help="the node's data directory")


def _settings(args: argparse.Namespace) -> "Settings":
    import os

    from node.config.load import load_settings
    from node.config.settings import Settings, StorageSettings

    if args.config is not None:
        return load_settings(args.config, os.environ)
    if args.genesis is None or args.data_dir is None:
        raise ConfigError(["say which node: --config, or --genesis and --data-dir"])
    whole = StorageSettings(history_blocks=0)
    return Settings(data_dir=args.data_dir, genesis=args.genesis, role="archive", storage=whole)


def _sources(args: argparse.Namespace, settings: "Settings") -> "list[ArchivedFile]":
    from contextlib import closing

    from node.archive.files import ArchiveDirectory, find_archived
    from node.archive.objects import ObjectStore
    from node.config.data_dir import archive_path

    if not args.from_store:
        if not args.sources:
            raise ConfigError(["name files or a directory, or say --from-store"])
        return find_archived(args.sources)
    if settings.archive.s3_bucket is None:
        raise ConfigError(["--from-store: the settings name no archive.s3_bucket (see --config)"])
    directory = ArchiveDirectory(settings.archive.directory or archive_path(settings.data_dir))
    with closing(ObjectStore(settings.archive)) as store:
        for file in store.fetch(directory):
            if not args.json:
                print(f"fetched {file.path.name}")
    return directory.files()


def _need_database(data_dir: Path) -> None:
    from node.storage.opening import has_database

    if not has_database(data_dir):
        raise ConfigError(
            [f"no database in {data_dir}; `phoenix init` or `phoenix archive import` makes one"]
        )


def _key(path: Path | None, settings: "Settings") -> "PrivateKey":
    from dataclasses import replace

    from node.app.identity import load_identity

    return load_identity(settings if path is None else replace(settings, node_key=path))


@contextmanager
def _beliefs(args: argparse.Namespace) -> "Iterator[Beliefs]":
    from node.archive.witness import Beliefs, RpcWitness, Witness
    from node.chain.genesis import genesis_block, load_genesis
    from node.primitives.ids import Address

    if not (args.rpc or args.data_dir or args.trusted_hash or args.genesis):
        raise ConfigError(["say what is believed: --rpc, --data-dir, --trusted-hash or --genesis"])
    if args.audit_log and not args.rpc:
        raise ConfigError(["--audit-log needs --rpc: the contract is asked"])
    with ExitStack() as closing:
        chain: Witness | None = None
        if args.rpc is not None:
            chain = rpc = RpcWitness(args.rpc)
            closing.callback(rpc.close)
        elif args.data_dir is not None:
            chain = closing.enter_context(_database(args.data_dir))
        spec = None if args.genesis is None else load_genesis(args.genesis)
        signer = None if args.signer is None else Address(_hex("--signer", args.signer, 20))
        yield Beliefs(
            spec=spec,
            genesis=None if spec is None else genesis_block(spec).hash,
            chain=chain,
            trusted=None if args.trusted_hash is None else _hash(args.trusted_hash),
            signer=signer,
            audit_log=None if args.audit_log is None else (args.rpc, args.audit_log),
        )


class _DatabaseWitness:
    """A stopped node's chain."""

    def __init__(self, name: str, kv: "KeyValue") -> None:
        self.name = name
        self._kv = kv

    def hash_at(self, number: int) -> "Hash32 | None":
        """See Witness."""
        from node.storage.blocks import read_canonical_hash

        return read_canonical_hash(self._kv, number)


@contextmanager
def _database(data_dir: Path) -> Iterator[_DatabaseWitness]:
    from node.config.settings import StorageSettings
    from node.storage.opening import open_database

    _need_database(data_dir)
    kv, _ = open_database(data_dir, StorageSettings())
    try:
        yield _DatabaseWitness(str(data_dir), kv)
    finally:
        kv.close()


def _hash(text: str) -> "Hash32":
    from node.primitives.ids import Hash32

    return Hash32(_hex("--trusted-hash", text, 32))


def _hex(flag: str, text: str, size: int) -> bytes:
    if not re.fullmatch(rf"0x[0-9a-fA-F]{{{2 * size}}}", text):
        raise ConfigError([f"{flag} is {text[:80]!r}; 0x and {2 * size} hex digits are needed"])
    return bytes.fromhex(text[2:])


def _line_of(file: "ArchivedFile") -> dict[str, object]:
    manifest = file.manifest
    return {
        "file": file.path.name,
        "first": manifest.first.number,
        "last": manifest.last.number,
        "transactions": manifest.transactions,
        "bytes": manifest.size_bytes,
        "anchored": "yes" if file.anchor_path.exists() else "no",
    }
