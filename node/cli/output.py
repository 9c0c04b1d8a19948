"""How commands speak: results on standard output, for people or as JSON; complaints on standard error."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

EXIT_CODES: Final = """\
exit codes:
  0    done
  1    failed; the reason is on standard error
  2    the command line, the settings or another file of the operator's is wrong; all problems are listed
  3    the disk holds something other than what was written to it, or refuses to work
  130  interrupted at a prompt
"""


def add_command(commands: Commands, name: str, text: str, examples: str) -> argparse.ArgumentParser:
    """A command whose --help ends with its examples and the exit codes."""
    return commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"examples:\n{examples}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """--json, for scripts."""
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def show(result: Mapping[str, object], *, as_json: bool) -> None:
    """A result: as JSON, or one line per name; a list of lines stands below its name."""
    if as_json:
        print(json.dumps(result, indent=2))
        return
    width = max(map(len, result), default=0)
    for name, value in result.items():
        if isinstance(value, list | tuple):
            print(f"{name.replace('_', ' ')}:" + ("" if value else " none"))
            for item in value:
                print(f"  {_line(item)}")
        else:
            print(f"{name.replace('_', ' '):<{width}}  {_line(value)}")


def complain(lines: Sequence[str]) -> None:
    """Errors, one per line."""
    for line in lines:
        print(f"phoenix: {line}", file=sys.stderr)


def _line(value: object) -> str:
    if isinstance(value, Mapping):
        return "  ".join(f"{name} {each}" for name, each in value.items())
    return "-" if value is None else str(value)
