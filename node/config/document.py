"""A TOML file with the places of its keys."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from node.config.positions import Position, key_positions
from node.primitives.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, and where."""

    path: Path
    tree: Mapping[str, Any]
    positions: Mapping[tuple[str, ...], Position]

    def place(self, keys: tuple[str, ...]) -> str:
        """file:line:column of a key, or of the nearest table around it."""
        while keys and keys not in self.positions:
            keys = keys[:-1]
        found = self.positions.get(keys)
        return f"{self.path}:{found.line}:{found.column}" if found else str(self.path)


def read_document(path: Path) -> Document:
    """Read a TOML file; ConfigError says why it cannot be read, with line and column where it is not TOML."""
    try:
        text = path.read_text(encoding="utf-8")
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}{_position_first(str(error))}"]) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError([f"{path}: cannot be read: {reason}"]) from error
    return Document(path, tree, key_positions(text))


def _position_first(message: str) -> str:
    """tomllib ends its messages with "(at line 3, column 7)" or "(at end of document)"."""
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    return f":{match[2]}:{match[3]}: not TOML: {match[1]}" if match else f": not TOML: {message}"
