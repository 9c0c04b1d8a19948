"""Every story in this folder, step by step against its expected trace."""

import os
from pathlib import Path

import pytest

from tests.scenarios.clique import CliqueStory

FOLDER = Path(__file__).parent
REWRITE = os.environ.get("PHOENIX_REWRITE_SCENARIOS") == "1"
RULE = "----"


def play(text: str) -> str:
    """The story with the traces of what happens now."""
    story = CliqueStory()
    told: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        if not line or line.startswith("#"):
            told.append(line)
            continue
        for expected in lines:
            if not expected:
                break
        told += [line, RULE, *story.play(line), ""]
    return "\n".join(told).rstrip("\n") + "\n"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_story(path: Path) -> None:
    expected = path.read_text()
    happened = play(expected)
    if REWRITE:
        path.write_text(happened)
    else:
        assert happened == expected
