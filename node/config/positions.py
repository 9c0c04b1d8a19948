"""Where each key of a TOML document stands. tomllib checks and reads documents but forgets places.

Works on documents that tomllib has accepted, so it only has to find the statements, not to judge them.
"""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Position:
    """Both count from 1."""

    line: int
    column: int


_KEY_PART: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEY: Final = re.compile(rf"{_KEY_PART}(?:[ \t]*\.[ \t]*{_KEY_PART})*")
_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_VALUE_TOKEN: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|'
    r"'''.*?'''|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'[^'\n]*'|"
    r"#[^\n]*|"
    r".",
    re.DOTALL,
)


def key_positions(document: str) -> dict[tuple[str, ...], Position]:
    """The place of every table header and key, by its full path; keys of inline tables are not listed."""
    found: dict[tuple[str, ...], Position] = {}
    section: tuple[str, ...] = ()
    at = _skip_blank(document, 0)
    while at < len(document):
        is_header = document[at] == "["
        start = re.compile(r"[\[ \t]*").match(document, at).end() if is_header else at  # type: ignore[union-attr]
        key = _KEY.match(document, start)
        if key is None:
            break  # not TOML after all; better no place than a wrong one
        path = _path(key[0])
        if is_header:
            section = path
        found.setdefault(path if is_header else section + path, _position(document, start))
        at = _skip_blank(document, _end_of_statement(document, key.end(), is_header))
    return found


def _skip_blank(document: str, at: int) -> int:
    match = _BLANK.match(document, at)
    assert match is not None  # the pattern matches the empty string
    return match.end()


def _end_of_statement(document: str, at: int, is_header: bool) -> int:
    """Index after the line break that ends a header or a value; brackets and strings may span lines."""
    depth = 0
    for token in _VALUE_TOKEN.finditer(document, at):
        sign = token[0]
        if sign == "\n" and depth <= 0:
            return token.end()
        if not is_header:
            depth += (sign in "[{") - (sign in "]}")
    return len(document)


def _path(key: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_KEY_PART, key))


def _position(document: str, at: int) -> Position:
    before = document[:at]
    return Position(before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1)
