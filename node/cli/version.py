"""`phoenix version`: which program this is."""

import argparse
import platform
from typing import Final

from node.cli.output import Commands, add_command, add_json_flag, show
from node.native import in_words
from node.observability.build import client_version, program_version

EXAMPLES: Final = """\
  phoenix version
  phoenix version --json
"""


def add_to(commands: Commands) -> None:
    """The command's line."""
    parser = add_command(commands, "version", "Print which program this is.", EXAMPLES)
    add_json_flag(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print it."""
    result = {
        "version": program_version(),
        "client": client_version(),
        "python": platform.python_version(),
        "kernels": in_words(),
    }
    show(result, as_json=args.json)
