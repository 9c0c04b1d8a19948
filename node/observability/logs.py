"""Structured log lines: one event, one line, the values behind it; text for people, JSON for collectors.

Callers use the standard library: `log.info("block imported", extra={"block": ref, "seconds": 0.12})`. The
event is a constant; what varies stands in `extra`. Names that a LogRecord has itself ("name", "msg", "args",
"module", "process") cannot be used in `extra`. What strangers wrote is escaped, and values under
secret-sounding names are never printed.
"""

import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

OUR_PACKAGES: Final = ("node", "consensus", "p2p", "contracts", "devnet")
"""Loggers that follow the chosen level; libraries speak from WARNING up."""
SECRET_WORDS: Final = ("password", "passphrase", "secret", "private", "mnemonic", "token", "credential")
HIDDEN: Final = "[hidden]"
VALUE_CHARACTERS_MAX: Final = 1_000
"""A longer value is cut: a line of megabytes helps nobody, and a stranger may have chosen it."""

_RECORD_FIELDS: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_LINE_FIELDS: Final = frozenset({"time", "level", "logger", "event", "exception"})


def configure(level: LogLevel, line_format: LogFormat, stream: TextIO | None = None) -> None:
    """Send every log line to `stream` (standard error when None). Called once, by the command line."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if line_format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for package in OUR_PACKAGES:
        logging.getLogger(package).setLevel(level.upper())
    logging.captureWarnings(True)


class TextLines(logging.Formatter):
    """`2026-11-23T15:23:01.123Z INFO    node.chain: block imported block="#7 0xab12" seconds=0.12`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on lines of its own."""
        fields = "".join(f" {name}={_quoted(value)}" for name, value in _fields(record))
        event = _escaped(record.getMessage())
        line = f"{_time(record)} {record.levelname:<7} {record.name}: {event}{fields}"
        return line + "\n" + self.formatException(record.exc_info) if record.exc_info else line


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, logger, event, the fields; a traceback under `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, always."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        for name, value in _fields(record):
            line[f"{name}_" if name in _LINE_FIELDS else name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    for name, value in record.__dict__.items():
        if name not in _RECORD_FIELDS:
            hidden = any(word in name.lower() for word in SECRET_WORDS)
            yield name, HIDDEN if hidden else _plain(value)


def _plain(value: object) -> object:
    """A value as JSON knows it; bytes as 0x hex, floats short, everything else by its own text."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return float(f"{value:.6g}")
        case bytes():
            return _cut("0x" + value.hex())
        case list() | set() | frozenset():
            return [_plain(item) for item in value]
        case _:
            return _cut(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "…"


def _quoted(value: object) -> str:
    """Bare when unmistakable, otherwise as a JSON string, which escapes quotes and control characters."""
    text = value if isinstance(value, str) else json.dumps(value)
    bare = text.isprintable() and not any(sign in text for sign in ' "=') and text != ""
    return text if bare or not isinstance(value, str) else json.dumps(text, ensure_ascii=False)


def _escaped(text: str) -> str:
    """A stranger's line break must not become a line of ours."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
