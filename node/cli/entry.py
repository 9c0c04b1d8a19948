"""From the command line to one command, and from its error to words and an exit code."""

import argparse
import errno
from collections.abc import Iterator, Sequence
from typing import Final

from node.cli import (
    archive,
    audit,
    init,
    inspect,
    keys,
    light,
    perm,
    prove,
    rpc_keys,
    run,
    signer,
    token,
    verify,
    version,
)
from node.cli.output import EXIT_CODES, complain
from node.primitives.errors import ConfigError, PhoenixError, StorageError

DONE: Final = 0
FAILED: Final = 1
WRONG_CONFIGURATION: Final = 2
STORAGE_FAULT: Final = 3
INTERRUPTED: Final = 130

EXAMPLES: Final = """\
examples:
  phoenix keys new --keystore keys/
  phoenix init --genesis genesis.json --data-dir data/
  phoenix run --config node.toml
  phoenix run --config node.toml --set rpc.port=9545 --set observability.log_level=debug
  phoenix inspect --data-dir data/ --json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; argparse itself exits with 2 for a wrong command line."""
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
    except KeyboardInterrupt:
        complain(["interrupted"])
        return INTERRUPTED
    except Exception as error:
        return _report(error)
    return DONE


def _report(error: Exception) -> int:
    """Say what went wrong; what nobody foresaw is raised again, traceback and all."""
    leaves = list(_leaves(error))
    if not all(isinstance(leaf, PhoenixError | OSError) for leaf in leaves):
        raise error
    # The same fault often ends several tasks of a node; it is said once.
    complain(list(dict.fromkeys(line for leaf in leaves for line in _lines(leaf))))
    if any(isinstance(leaf, StorageError) for leaf in leaves):
        return STORAGE_FAULT
    if any(isinstance(leaf, ConfigError) or _is_taken_port(leaf) for leaf in leaves):
        return WRONG_CONFIGURATION
    return FAILED


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """A nursery raises its tasks' errors in groups."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _lines(error: BaseException) -> Sequence[str]:
    if isinstance(error, ConfigError):
        return error.problems
    if _is_taken_port(error):
        return [f"{error}; another process listens there: stop it, or change the port in the settings"]
    return [str(error) or type(error).__name__]


def _is_taken_port(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EADDRINUSE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="phoenix",
        description="A permissioned, Ethereum-compatible blockchain node.",
        epilog=f"{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (
        run, init, keys, token, signer, rpc_keys, audit, archive, inspect, perm, light, prove, verify, version
    ):  # fmt: skip
        command.add_to(commands)
    return parser
