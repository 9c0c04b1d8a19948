"""`phoenix keys doctor`: what is unsafe about the keys of a node, or of a signer."""

import argparse
import os
import time
from pathlib import Path
from typing import Final

from node.cli.output import Commands, add_command, add_json_flag, show
from node.config.load import load_settings
from node.primitives.errors import PhoenixError

EXAMPLES: Final = """\
  phoenix keys doctor --config node.toml          exit code 1 when something is found
  phoenix keys doctor --signer signer.toml        the same of `phoenix signer serve`
"""


class Unsafe(PhoenixError):
    """Something was found."""


def add_to(commands: Commands) -> None:
    """The command's lines."""
    parser = add_command(commands, "doctor", "Say what is unsafe about a node's or signer's keys.", EXAMPLES)
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--config", type=Path, help="the node's settings")
    whose.add_argument("--signer", type=Path, help="the signer's settings")
    add_json_flag(parser)
    parser.set_defaults(run=examine_keys)


def examine_keys(args: argparse.Namespace) -> None:
    """Print what is found; Unsafe when that is anything."""
    from node.signing.doctor import examine, examine_signer
    from node.signing.service_settings import load_service_settings

    if args.signer is None:
        found = examine(load_settings(args.config, os.environ), time.time())
    else:
        found = examine_signer(args.signer, load_service_settings(args.signer), time.time())
    findings = [{"place": finding.place, "finding": finding.text} for finding in found]
    if args.json:
        show({"findings": findings}, as_json=True)
    else:
        show({"findings": [f"{finding.place}: {finding.text}" for finding in found]}, as_json=False)
    if found:
        raise Unsafe(f"{len(found)} finding{'s' if len(found) > 1 else ''}")
