"""`phoenix signer`: the remote signer, and the guard data of a validator, in and out."""

import argparse
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.cli import guard_life, signer_key
from node.cli.auditing import record_action
from node.cli.output import Commands, add_command, add_json_flag, show

if TYPE_CHECKING:
    import trio

    from node.audit.log import AuditLog
    from node.signing.service_settings import ServiceSettings
    from node.signing.serving import Serving
    from node.storage.kv import KeyValue

EXAMPLES: Final = """\
  phoenix signer serve --config signer.toml          node/signing/service_settings.py shows the file
  phoenix signer key --help                          keys made and put out of use while it runs
  phoenix signer guard export --data-dir data/ > guard.json
  phoenix signer guard import --data-dir data/ guard.json                     locked for 256 blocks
  phoenix signer guard import --data-dir data/ guard.json --margin 5000       an old backup
  phoenix signer guard unlock --data-dir data/ --nothing-was-signed-since
  phoenix signer guard new    --data-dir data/ --the-key-never-signed         audited, like
  phoenix signer guard delete --data-dir data/ --the-keys-will-sign-no-more   (it is put aside)

A running signer takes up settings and TLS files that change, all or nothing (certificates, clients, keys):
within 5 s, or at once at SIGHUP. What it was asked and gave is on record in data_dir/signatures
(`phoenix audit verify --folder`); what was done to its keys and guard, in data_dir/audit.
For `guard` the node must not run. Who moves a validator stops the old one first, for ever: two processes that
sign with one key contradict each other sooner or later.
"""
RELOAD_S: Final = 5.0
LOOK_AGAIN_S: Final = 30.0
"""For a token that is away. Looking ends the sessions of other keys of its module: not too often."""
DOCUMENT_BYTES_MAX: Final = 64 << 20

log = logging.getLogger(__name__)


def add_to(commands: Commands) -> None:
    """The command's lines."""
    parser = add_command(
        commands, "signer", "A signer as a process of its own; what keys have signed.", EXAMPLES
    )
    parts = parser.add_subparsers(required=True, metavar="PART")
    served = add_command(parts, "serve", "Sign for nodes on other machines, until stopped.", EXAMPLES)
    served.add_argument("--config", type=Path, required=True, help="settings in TOML")
    served.add_argument("--log-format", choices=("text", "json"), default="text")
    served.set_defaults(run=serve)

    signer_key.add_to(parts)
    guard = add_command(parts, "guard", "The durable record of what was signed.", EXAMPLES)
    actions = guard.add_subparsers(required=True, metavar="ACTION")

    exported = add_command(actions, "export", "Print the guard's data as JSON.", EXAMPLES)
    exported.add_argument("--data-dir", type=Path, required=True)
    exported.set_defaults(run=export)

    imported = add_command(actions, "import", "Merge JSON into the guard, and lock it for a while.", EXAMPLES)
    imported.add_argument("--data-dir", type=Path, required=True)
    imported.add_argument("file", type=Path)
    imported.add_argument("--margin", type=int, help="blocks that others must make first (default: 256)")
    add_json_flag(imported)
    imported.set_defaults(run=import_document)

    guard_life.add_to(actions, EXAMPLES)
    unlocked = add_command(actions, "unlock", "Let an imported guard sign at once.", EXAMPLES)
    unlocked.add_argument("--data-dir", type=Path, required=True)
    unlocked.add_argument(
        "--nothing-was-signed-since", action="store_true", help="the key signed nothing after the export"
    )
    add_json_flag(unlocked)
    unlocked.set_defaults(run=unlock)


def unlock(args: argparse.Namespace) -> None:
    """Remove the locks of an import; ConfigError without the flag that says why that is safe."""
    from node.primitives.errors import ConfigError
    from node.primitives.ids import hex_of
    from node.signing.guard_exchange import unlock_guard

    if not args.nothing_was_signed_since:
        flag = "--nothing-was-signed-since"
        raise ConfigError([f"what was signed after the export is not known here; {flag} says it was nothing"])
    with _guard_of(args.data_dir) as kv:
        record_action(args.data_dir, "signer guard unlock")
        owners = unlock_guard(kv)
    unlocked = [{"address": hex_of(address), "chain": chain_id} for address, chain_id in owners]
    show({"unlocked": unlocked}, as_json=args.json)


def serve(args: argparse.Namespace) -> None:
    """Open the keys and answer until SIGTERM or SIGINT; settings that change are taken up."""
    import trio

    from node.audit.log import LOCAL, AuditLog
    from node.audit.records import Kind
    from node.config.data_dir import guard_path, signatures_path
    from node.observability import logs
    from node.observability.build import program_version
    from node.signing.service_settings import load_service_settings

    settings = load_service_settings(args.config)
    logs.configure("info", args.log_format)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not guard_path(settings.data_dir).is_dir():
        log.warning("a new guard: right for keys that never signed; import what they signed otherwise")
    with (
        _guard_of(settings.data_dir) as kv,
        AuditLog(signatures_path(settings.data_dir), settings.audit_bytes_max) as trail,
    ):
        trail.note(Kind.NODE_STARTED, LOCAL, {"role": "signer", "version": program_version()})
        try:
            trio.run(_serve_until_signal, args.config, settings, kv, trail)
        finally:
            trail.note(Kind.NODE_STOPPED, LOCAL, {})


async def _serve_until_signal(
    config: Path, settings: "ServiceSettings", kv: "KeyValue", trail: "AuditLog"
) -> None:
    import trio

    from node.signing.service_listener import serve as serve_clients
    from node.signing.serving import Serving

    serving = await trio.to_thread.run_sync(Serving, settings, kv, trail)
    try:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with trio.open_nursery() as nursery:
                port = await nursery.start(serve_clients, serving)
                await _show_numbers(nursery, serving)
                log.info("signer is running", extra={"host": settings.host, "port": port})
                await _follow(config, serving, signals)
                nursery.cancel_scope.cancel()
    finally:
        serving.close()


async def _show_numbers(nursery: "trio.Nursery", serving: "Serving") -> None:
    from functools import partial

    from node.observability.listener import serve_observability
    from node.primitives.errors import ConfigError
    from node.signing.service_observe import SignerNumbers

    host, port = serving.settings.metrics_host, serving.settings.metrics_port
    if port is None:
        return
    numbers = SignerNumbers(serving)
    try:
        await nursery.start(partial(serve_observability, host, port, numbers, numbers.health()))
    except OSError as error:
        raise ConfigError([f"metrics cannot be shown at {host}:{port}: {error.strerror}"]) from error


async def _follow(config: Path, serving: "Serving", signals: "AsyncIterator[int]") -> None:
    """Take up what changes, at once on SIGHUP, until another signal comes."""
    import trio

    seen, told, looked = serving.stamps(config), None, trio.current_time()
    while True:
        overdue = serving.revocations.problem(time.time())
        if overdue is not None and overdue != told:
            log.error("%s: replace %s", overdue, serving.settings.tls_crl)
        told = overdue
        with trio.move_on_after(RELOAD_S) as waiting:
            if await anext(signals) != signal.SIGHUP:
                return
        now = await trio.to_thread.run_sync(serving.stamps, config)
        if now != seen or not waiting.cancelled_caught:
            seen = now
            await trio.to_thread.run_sync(_take_up, config, serving)
        if trio.current_time() >= looked + LOOK_AGAIN_S:
            await trio.to_thread.run_sync(serving.look_again)
            looked = trio.current_time()


def _take_up(config: Path, serving: "Serving") -> None:
    from node.primitives.errors import ConfigError
    from node.signing.service_settings import load_service_settings

    try:
        serving.take_up(load_service_settings(config))
    except ConfigError as error:
        serving.problem = str(error)
        log.error("the settings and TLS files were not taken up, the former stay: %s", error)
        return
    serving.problem = None
    log.info("the settings and TLS files were read again", extra={"keys": len(serving.settings.keys)})


def export(args: argparse.Namespace) -> None:
    """Print the document; ConfigError when there is no guard."""
    from node.config.data_dir import guard_path
    from node.primitives.errors import ConfigError
    from node.signing.guard_exchange import export_guard

    if not guard_path(args.data_dir).is_dir():
        raise ConfigError([f"{args.data_dir} holds no guard; nothing was ever signed there"])
    with _guard_of(args.data_dir) as kv:
        record_action(args.data_dir, "signer guard export")
        sys.stdout.write(export_guard(kv).decode() + "\n")


def import_document(args: argparse.Namespace) -> None:
    """Merge a document and print what was in it."""
    from node.primitives.errors import ConfigError
    from node.primitives.ids import hex_of
    from node.signing.guard_exchange import MARGIN_BLOCKS, import_guard

    margin = MARGIN_BLOCKS if args.margin is None else args.margin
    if margin < 0:
        raise ConfigError([f"--margin is {margin}; 0 or more is needed"])
    with args.file.open("rb") as file:
        document = file.read(DOCUMENT_BYTES_MAX + 1)
    if len(document) > DOCUMENT_BYTES_MAX:
        raise ConfigError([f"{args.file}: more than {DOCUMENT_BYTES_MAX} bytes"])
    args.data_dir.mkdir(parents=True, exist_ok=True)
    with _guard_of(args.data_dir) as kv:
        record_action(args.data_dir, "signer guard import", f"margin {margin}")
        slots = import_guard(kv, document, margin)
    merged = [{"address": hex_of(slot.address), "chain": slot.chain_id, "kind": slot.kind} for slot in slots]
    show({"merged": merged, "locked_for_blocks": margin}, as_json=args.json)


@contextmanager
def _guard_of(data_dir: Path) -> "Iterator[KeyValue]":
    from node.config.data_dir import guard_path
    from node.config.settings import StorageSettings
    from node.storage.leveldb import LevelDB
    from node.storage.migrations import migrate

    kv = LevelDB.open(guard_path(data_dir), StorageSettings())
    try:
        migrate(kv)
        yield kv
    finally:
        kv.close()
