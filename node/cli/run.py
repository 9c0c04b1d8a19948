"""`phoenix run`: start a node and stop it cleanly."""

import argparse
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import trio

from node.app.hangup import Hangups
from node.cli.output import Commands, add_command
from node.config.load import load_settings
from node.config.settings import Settings
from node.observability import logs

EXAMPLES: Final = """\
  phoenix run --config node.toml
  phoenix run --config node.toml --set rpc.port=9545
  PHOENIX_RPC__PORT=9545 phoenix run --config node.toml
  phoenix run --config node.toml --check          only look at the settings

The file is overruled by variables (PHOENIX_<SECTION>__<NAME>), these by --set. SIGTERM or SIGINT stop the
node cleanly (exit code 0); a second one stops it at once, which loses nothing that was announced.
"""
log = logging.getLogger(__name__)


def add_to(commands: Commands) -> None:
    """The command's line."""
    parser = add_command(commands, "run", "Start a node; it runs until it is stopped.", EXAMPLES)
    parser.add_argument("--config", type=Path, help="settings in TOML")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="overrule one setting",
    )
    parser.add_argument(
        "--check", action="store_true", help="look at the settings and genesis.json, then exit"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read the settings, then run the node until a signal or an error ends it."""
    settings = load_settings(args.config, os.environ, args.overrides)
    if args.check:
        from node.chain.genesis_json import load_genesis

        load_genesis(settings.genesis)
        print(f"the settings of {settings.name!r} ({settings.role}) hold")
        return
    logs.configure(settings.observability.log_level, settings.observability.log_format)
    from node.app.run import run_node

    trio.run(run_until_signal, run_node, settings)


YOUNG_OBJECTS: Final = 10_000
"""So many more objects than went are made before the garbage collector looks at the young ones: some MiB.

Python's own 700 are fewer than a message of transactions has, nearly all of which wait for their block.
"""


class _OnceStarted(trio.TaskStatus[None]):
    """What stands when a node has started stays for good: the garbage collector need not go through it."""

    def started(self, value: None = None) -> None:
        """See trio."""
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)


async def run_until_signal(run_node: Callable[..., Awaitable[Any]], settings: Settings) -> None:
    """Run the node until SIGTERM or SIGINT, or until it ends by itself; SIGHUP is told to it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_on_signal, nursery.cancel_scope)
        hangups = Hangups()
        await nursery.start(hangups.hear)
        await run_node(settings, hangups.wait, task_status=_OnceStarted())
        nursery.cancel_scope.cancel()
    log.info("stopped", extra={"node": settings.name})


async def _cancel_on_signal(scope: trio.CancelScope) -> None:
    # Leaving the block gives the signals back to the system: a second one ends the process at once.
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("stopping", extra={"signal": signal.Signals(number).name})
            break
    scope.cancel()
