"""What is checked in is what the compiler makes, and what the compiler must not be trusted with."""

import os
import re
import shutil
from pathlib import Path

import pytest

from contracts import build
from contracts.artifacts import load, names
from node.primitives.crypto import keccak256

SOURCES = sorted(build.SOURCES.rglob("*.sol"))
STORAGE = re.compile(r"@custom:storage-location erc7201:(\S+)")
LIMIT_BYTES = 24_576


def has_packages() -> bool:
    """Whether the pinned compiler is installed, so that no test downloads anything."""
    folder = Path(os.environ.get("PHOENIX_NODE_MODULES", build.ROOT / "node_modules"))
    return shutil.which("node") is not None and all((folder / name).is_dir() for name in build.PACKAGES)


@pytest.mark.long(40)
@pytest.mark.skipif(not has_packages(), reason="npm ci has not been run in contracts/: no compiler")
def test_artifacts_and_bindings_are_what_comes_out() -> None:
    wanted = build.files()
    differing = [path.name for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    assert differing == []
    built = {path.stem for path in wanted if path.suffix == ".json"}
    assert set(names()) == built


@pytest.mark.long
@pytest.mark.skipif(not has_packages(), reason="npm ci has not been run in contracts/: no compiler")
def test_a_source_that_does_not_compile_is_told_with_its_line() -> None:
    packages = build.packages_folder()
    with pytest.raises(build.BuildFailed, match=r"src/a\.sol:1"):
        build.compile_all({"src/a.sol": "pragma solidity ^0.8.0; contract A { nothing }"}, packages)


def test_storage_stands_where_its_namespace_says() -> None:
    """ERC-7201: keccak256(keccak256(namespace) - 1) without its last byte."""
    for path in SOURCES:
        text = path.read_text()
        for namespace in STORAGE.findall(text):
            inner = int.from_bytes(keccak256(namespace.encode()), "big") - 1
            slot = int.from_bytes(keccak256(inner.to_bytes(32, "big")), "big") & ~0xFF
            assert f"0x{slot:064x}" in text, f"{path.name}: {namespace}"


def test_no_two_contracts_share_a_namespace() -> None:
    found = [namespace for path in SOURCES for namespace in STORAGE.findall(path.read_text())]
    assert len(found) == len(set(found))


@pytest.mark.parametrize("name", names())
def test_code_fits_and_upgradeable_state_has_a_namespace(name: str) -> None:
    artifact = load(name)
    assert len(artifact.deployed_bytecode) <= LIMIT_BYTES
    functions = {entry["name"] for entry in artifact.abi if entry["type"] == "function"}
    if "upgradeToAndCall" in functions:
        assert artifact.storage_layout["storage"] == [], (
            "state outside a namespace moves when a parent changes"
        )


def test_our_contracts_have_no_code_for_later_forks() -> None:
    # PUSH0 (Shanghai) begins nearly everything that a newer setting compiles.
    for name in names():
        assert load(name).deployed_bytecode[:5].hex() == "6080604052" or name == "ERC1967Proxy", name
