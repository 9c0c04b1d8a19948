"""The project's own Python files, as git has them, and what they hold."""

import ast
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("node", "consensus", "p2p", "contracts", "devnet")
FUNCTION: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def tracked_files() -> tuple[Path, ...]:
    """Every file that is in git: what a clone holds. Work that nobody has committed yet disturbs nobody."""
    command = ["git", "ls-files", "--cached", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return tuple(path for name in sorted(filter(None, listed.split("\0"))) if (path := ROOT / name).is_file())


@cache
def python_files() -> tuple[Path, ...]:
    """The Python files of the product, without the tests."""
    return tuple(
        path
        for path in tracked_files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in PACKAGES
    )


@cache
def parse(path: Path) -> ast.Module:
    """The syntax tree."""
    return ast.parse(path.read_text())


def name_of(path: Path) -> str:
    """The path as it stands in messages: "node/chain/importer.py"."""
    return path.relative_to(ROOT).as_posix()
