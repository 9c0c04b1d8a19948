"""Files stay short enough to be read, functions to be held in mind; each exception has its reason here."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tree import FUNCTION, name_of, parse, python_files

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 40
"""Of its body, without the docstring."""

LONG_FILES: dict[str, str] = {
    "node/rpc/backend.py": "a page of ports, each a few lines; half of it would have to name the other half",
    "node/txpool/pool.py": "one class over one state; admission, eviction and selection are apart already",
}
"""Path -> why it is not two files."""
LONG_FUNCTIONS: dict[str, str] = {
    "node/execution/py_evm_loops.py::run": "the hot loop: a call per instruction would double its cost",
    "node/execution/evm/interpret.py::interpret_in_python": "the loop for cold code: the same",
}
"""path::name -> why it is not two functions."""


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """(path::name, lines of the body without its docstring)."""
    for node in ast.walk(parse(path)):
        if isinstance(node, FUNCTION):
            body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            yield f"{name_of(path)}::{node.name}", lines


def test_every_file_is_short_enough_to_be_read() -> None:
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in python_files()}
    assert {name: n for name, n in sizes.items() if n > FILE_LINES_MAX and name not in LONG_FILES} == {}


def test_every_function_is_short_enough_to_be_held_in_mind() -> None:
    sizes = dict(each for path in python_files() for each in functions(path))
    assert {
        name: n for name, n in sizes.items() if n > FUNCTION_LINES_MAX and name not in LONG_FUNCTIONS
    } == {}


def test_no_exception_outlives_its_need() -> None:
    files = {name_of(path): len(path.read_text().splitlines()) for path in python_files()}
    lengths = dict(each for path in python_files() for each in functions(path))
    assert [name for name in LONG_FILES if files.get(name, 0) <= FILE_LINES_MAX] == []
    assert [name for name in LONG_FUNCTIONS if lengths.get(name, 0) <= FUNCTION_LINES_MAX] == []
