import io
import json
import logging
from collections.abc import Iterator

import pytest

from node.observability.logs import OUR_PACKAGES, JsonLines, TextLines, configure
from node.primitives.block import BlockRef
from node.primitives.ids import Hash32


def record(event: str, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("node.chain", logging.INFO, __file__, 1, event, (), None)
    made.created = 1_700_000_000.25
    made.__dict__.update(fields)
    return made


@pytest.fixture
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers, root.level
    levels = {package: logging.getLogger(package).level for package in OUR_PACKAGES}
    yield
    root.handlers, root.level = before
    for package, level in levels.items():
        logging.getLogger(package).setLevel(level)
    logging.captureWarnings(False)


def test_text_line_shows_time_level_logger_event_and_fields() -> None:
    line = TextLines().format(
        record("imported", block=BlockRef(7, Hash32(b"\xab" * 32)), seconds=0.123456789)
    )
    assert (
        line == '2023-11-14T22:13:20.250Z INFO    node.chain: imported block="#7 0xabababab" seconds=0.123457'
    )


def test_json_line_keeps_numbers_and_renders_bytes_as_hex() -> None:
    line = JsonLines().format(record("imported", number=7, hash=b"\xab\xcd", peers=["a", "b"]))
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.250Z",
        "level": "info",
        "logger": "node.chain",
        "event": "imported",
        "number": 7,
        "hash": "0xabcd",
        "peers": ["a", "b"],
    }


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()])
def test_values_under_secret_names_are_never_printed(formatter: logging.Formatter) -> None:
    line = formatter.format(record("key opened", password="hunter2", node_private_key=b"\x01" * 32))
    assert "hunter2" not in line
    assert "0101" not in line
    assert line.count("[hidden]") == 2


def test_a_strangers_line_break_does_not_become_a_line_of_ours() -> None:
    line = TextLines().format(record("hello\nfrom", client='evil"\n2026 INFO node: all well'))
    assert "\n" not in line
    assert r"hello\nfrom" in line


def test_a_field_cannot_replace_a_field_of_the_line() -> None:
    line = json.loads(JsonLines().format(record("spoof", time="never", level="none")))
    assert (line["level"], line["level_"], line["time_"]) == ("info", "none", "never")


def test_a_huge_value_is_cut() -> None:
    assert len(TextLines().format(record("got", data=b"\x00" * 1_000_000))) < 1_200


def test_our_packages_follow_the_level_and_libraries_only_warn(root_logger: None) -> None:
    stream = io.StringIO()
    configure("debug", "text", stream)
    logging.getLogger("node.sync").debug("ours")
    logging.getLogger("urllib3").info("theirs")
    logging.getLogger("urllib3").warning("theirs, loud")
    assert [line.split(": ", 1)[1] for line in stream.getvalue().splitlines()] == ["ours", "theirs, loud"]


def test_traceback_follows_a_text_line_and_stays_inside_a_json_line(root_logger: None) -> None:
    text, lines = io.StringIO(), io.StringIO()
    for stream, line_format in ((text, "text"), (lines, "json")):
        configure("info", line_format, stream)  # type: ignore[arg-type]
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger("node").exception("stopped")
    assert text.getvalue().splitlines()[1].startswith("Traceback")
    assert json.loads(lines.getvalue())["exception"].endswith("ValueError: broken")
