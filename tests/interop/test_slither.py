"""Slither reads the contract suite; what it finds is answered in contracts/slither.json, a reason for each.

`python -m tests.interop.test_slither` prints what is unanswered and what is answered and no longer found.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import pytest

from contracts import build
from tests.interop.npm import node, npm_install
from tests.interop.pip import pip_install

pytestmark = pytest.mark.interop

SLITHER: Final = "slither-analyzer==0.11.6"
ANSWERS: Final = build.ROOT / "slither.json"
DRIVER: Final = Path(__file__).with_name("slither_run.py")
LIMIT_S: Final = 800


def pinned() -> list[str]:
    """The compiler and OpenZeppelin, at the versions of contracts/package.json."""
    wanted = json.loads((build.ROOT / "package.json").read_text())["dependencies"]
    return [f"{name}@{version}" for name, version in wanted.items()]


def found(folder: Path) -> list[str]:
    """Slither's findings about src/; skips where slither, npm or Node.js cannot be had."""
    node()
    packages = npm_install(*pinned()) / "node_modules"
    python = pip_install(SLITHER)
    sources = build.gather(packages)
    for name, text in sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    said = build.compile_all(sources, packages, outputs={"*": {"*": ["abi"], "": ["ast"]}})
    said["version"] = json.loads((packages / "solc" / "package.json").read_text())["version"]
    (folder / "compiled.json").write_text(json.dumps(said))
    done = subprocess.run(
        [str(python), str(DRIVER), "compiled.json", "result.json"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: list[str] = json.loads((folder / "result.json").read_text())
    return result


def answered() -> list[str]:
    """Every finding that has an answer."""
    return sorted(each for answer in json.loads(ANSWERS.read_text()) for each in answer["findings"])


def test_every_finding_is_answered_and_every_answer_is_about_a_finding(tmp_path: Path) -> None:
    seen, known = found(tmp_path), answered()
    assert [each for each in seen if each not in known] == [], "unanswered"
    assert [each for each in known if each not in seen] == [], "answered, and not found any more"
    assert len(seen) > 50, "slither saw nothing: does it still read our sources?"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        now, before = found(Path(place)), answered() if ANSWERS.exists() else []
    print(json.dumps({"unanswered": [each for each in now if each not in before],
                      "not found": [each for each in before if each not in now]}, indent=1))  # fmt: skip
