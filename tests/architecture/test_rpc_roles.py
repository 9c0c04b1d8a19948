"""Every JSON-RPC method has its line in the table of roles."""

import ast
from collections.abc import Iterator

from node.rpc.roles import RULES
from tests.architecture.tree import ROOT, parse

FOLDER = ROOT / "node" / "rpc" / "methods"


def named_methods() -> set[str]:
    """First arguments of `Method(...)`, as far as they are written out."""
    return {name for path in FOLDER.glob("*.py") for name in _names(parse(path))}


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Method":
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield first.value


def test_every_method_has_its_line() -> None:
    missing = sorted(named_methods() - RULES.keys())
    assert missing == [], "add them to node/rpc/roles.py: without a line they are for admins only"
