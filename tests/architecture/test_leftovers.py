"""What must not stay behind: placeholders, notes to oneself, silence, output where nobody speaks."""

import ast
import re
from collections.abc import Iterator

from tests.architecture.tree import FUNCTION, ROOT, name_of, parse, python_files, tracked_files

NOTES = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
SPEAKERS = ("node/cli/", "devnet/", "contracts/")
"""Only these print."""
SOURCES = {".py", ".toml", ".md", ".sol", ".yml", ".json", ""}


def calls(tree: ast.AST) -> Iterator[str]:
    """Names of plain functions that are called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def public_without_docstring(tree: ast.Module) -> Iterator[str]:
    """Public classes, functions and methods that say nothing of themselves."""
    for holder in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]:
        inside_private = isinstance(holder, ast.ClassDef) and holder.name.startswith("_")
        for node in holder.body:
            if not isinstance(node, (ast.ClassDef, *FUNCTION)) or node.name.startswith("_") or inside_private:
                continue
            is_overload = any(
                isinstance(each, ast.Name) and each.id == "overload" for each in node.decorator_list
            )
            if ast.get_docstring(node) is None and not is_overload:
                yield f"{node.name} (line {node.lineno})"


def test_every_module_says_what_it_is_for() -> None:
    docstrings = {name_of(path): ast.get_docstring(parse(path)) or "" for path in python_files()}
    assert [name for name, text in docstrings.items() if not text or text.startswith("(")] == []


def test_every_public_thing_has_a_docstring() -> None:
    silent = {name_of(path): list(public_without_docstring(parse(path))) for path in python_files()}
    assert {name: found for name, found in silent.items() if found} == {}


def test_only_the_command_lines_print() -> None:
    others = [path for path in python_files() if not name_of(path).startswith(SPEAKERS)]
    assert [name_of(path) for path in others if "print" in set(calls(parse(path)))] == []


def test_nothing_is_left_to_be_written() -> None:
    stub = re.compile(r"^\s*raise NotImplementedError", re.MULTILINE)
    assert [name_of(path) for path in python_files() if stub.search(path.read_text())] == []


def test_no_notes_to_oneself() -> None:
    found = [
        f"{name_of(path)}:{number}"
        for path in tracked_files()
        if path.suffix in SOURCES
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if NOTES.search(line)
    ]
    assert found == []


def test_no_file_is_empty_or_huge() -> None:
    sizes = {name_of(path): path.stat().st_size for path in tracked_files()}
    assert [
        name for name, size in sizes.items() if size == 0 and not name.endswith(("py.typed", "__init__.py"))
    ] == []
    assert [name for name, size in sizes.items() if size > 300_000] == [], "official vectors stay outside"


def test_no_file_names_a_home_directory() -> None:
    home = re.compile(r"/(?:home|Users)/\w+")
    found = [name_of(path) for path in tracked_files() if home.search(path.read_text(errors="replace"))]
    assert found == [], f"paths of one machine, below {ROOT.name}"
