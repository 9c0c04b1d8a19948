"""The folder map in README equals the disk, and so do the lists beside it."""

import re
import tomllib
from pathlib import PurePosixPath

from tests.architecture.tree import PACKAGES, ROOT, name_of, python_files, tracked_files

README = (ROOT / "README.md").read_text()
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
MIRRORED = {*PACKAGES, *(path.parent.name for path in python_files())}
"""Folders of tests that need no line of their own: they are named for what they test."""


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def mapped_folders() -> set[str]:
    """Folders in the map, with their parents: "node/rpc/methods"."""
    block = section("Folder map").split("```")[1]
    folders: set[str] = set()
    parents: list[str] = []
    for line in filter(str.strip, block.splitlines()):
        match = re.fullmatch(r"( *)([\w-]+)/ +\S.*", line)
        assert match, f"not `folder/  what it is for`: {line!r}"
        parents = [*parents[: len(match[1]) // 2], match[2]]
        folders.add("/".join(parents))
    return folders


def folders_on_disk() -> set[str]:
    """Folders that git has, without the mirrored ones and the insides of tests."""
    found = set()
    for path in tracked_files():
        for folder in PurePosixPath(name_of(path)).parents:
            found.add(str(folder))
    mirrored = {f"tests/{name}" for name in MIRRORED}
    deep = {name for name in found if name.startswith("tests/") and name.count("/") > 1}
    return found - mirrored - deep - {".", ".ci"}


def test_the_folder_map_equals_the_disk() -> None:
    assert mapped_folders() == folders_on_disk()


def test_the_layers_in_readme_are_those_that_are_checked() -> None:
    layers = CONFIG["tool"]["importlinter"]["contracts"][0]["layers"]
    shown = section("Folder map").split("```")[3].strip().splitlines()
    assert shown == [layer.strip("()") for layer in layers]


def test_every_dependency_has_its_reason() -> None:
    names = {re.split(r"[\[=<>]", pin)[0] for pin in CONFIG["project"]["dependencies"]}
    shown = set(re.findall(r"^\| ([a-z0-9-]+) \|", section("Dependencies"), re.MULTILINE)) - {"package"}
    assert shown == names


def test_every_dependency_is_pinned() -> None:
    pins = CONFIG["project"]["dependencies"] + CONFIG["project"]["optional-dependencies"]["dev"]
    assert [pin for pin in pins if "==" not in pin] == []


def test_every_make_target_in_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^ +)make ([a-z-]+)", README, re.MULTILINE)) <= targets
