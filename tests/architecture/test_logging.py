"""Log lines: constant events, values in `extra`, and there no name that a LogRecord has itself."""

import ast
import logging
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.tree import name_of, parse, python_files

RESERVED = {*logging.makeLogRecord({}).__dict__, "message", "asctime"}
LEVELS = {"debug", "info", "warning", "error", "exception"}


def log_calls(path: Path) -> Iterator[ast.Call]:
    """`log.info(...)` and its like."""
    for node in ast.walk(parse(path)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in LEVELS
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "log"
        ):
            yield node


def extra_names(call: ast.Call) -> Iterator[str]:
    """Names that the call puts beside its event."""
    for keyword in call.keywords:
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
            for key in keyword.value.keys:
                if isinstance(key, ast.Constant):
                    yield str(key.value)


def test_no_field_of_a_log_line_collides_with_a_log_record() -> None:
    found = {
        f"{name_of(path)}:{call.lineno}": sorted(RESERVED.intersection(extra_names(call)))
        for path in python_files()
        for call in log_calls(path)
        if RESERVED.intersection(extra_names(call))
    }
    assert found == {}


def test_events_are_not_formatted_by_the_caller() -> None:
    found = [
        f"{name_of(path)}:{call.lineno}"
        for path in python_files()
        for call in log_calls(path)
        if call.args and isinstance(call.args[0], ast.JoinedStr)
    ]
    assert found == []
