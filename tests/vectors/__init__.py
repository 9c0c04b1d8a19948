"""Where official vectors are, for every test that reads them. Nothing of them is copied into the project.

They lie in `../shared/vectors` beside the project's root, or in the folder that PHOENIX_VECTORS names. Where
they are absent, a test that asks for a set is skipped with the name of the set; nothing else changes.
The ethereum/tests archive is unpacked once into the machine's temporary folder (165 MB) and shared by all
processes; the folder's name carries the archive's digest, so that another release is unpacked beside it.
"""

import functools
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
ETHEREUM_TESTS: Final = "ethereum-tests-v13.3"
"""ethereum/tests v13.3, commit faf33b471465."""


def vectors_dir() -> Path | None:
    """The folder of vectors, or None where there is none."""
    folder = Path(os.environ.get("PHOENIX_VECTORS") or ROOT.parent / "shared" / "vectors")
    return folder if folder.is_dir() else None


def require(relative: str) -> Path:
    """A file or folder below vectors_dir(); skips the test (or module) by that name where it is absent."""
    folder = vectors_dir()
    if folder is None or not (folder / relative).exists():
        _skip(relative)
    return folder / relative


def ethereum_tests() -> Path:
    """Root of the unpacked ethereum/tests tree; skips the test (or the module) where it is absent."""
    root = _unpacked_ethereum_tests()
    if root is None:
        _skip(ETHEREUM_TESTS)
    return root


def ethereum_test_files(folder: str, pattern: str = "**/*.json") -> list[Any]:
    """Parameters for `parametrize`: each file below `folder` as a Path, its relative name as the id.

    Where the tree is absent: one parameter that is skipped by the name of the set.
    """
    root = _unpacked_ethereum_tests()
    if root is None:
        name = f"{ETHEREUM_TESTS}/{folder}"
        return [pytest.param(None, id=name, marks=pytest.mark.skip(reason=_reason(name)))]
    files = sorted((root / folder).glob(pattern))
    return [pytest.param(file, id=file.relative_to(root / folder).as_posix()) for file in files]


def load_json(path: Path) -> Any:
    """The content of a vector file."""
    return json.loads(path.read_bytes())


@functools.cache
def _unpacked_ethereum_tests() -> Path | None:
    folder = vectors_dir()
    archive = folder / f"{ETHEREUM_TESTS}.tar.xz" if folder else None
    if archive is None or not archive.is_file():
        return None
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()[:16]
    cache = Path(tempfile.gettempdir()) / f"phoenix-vectors-{os.getuid()}" / digest
    if not cache.is_dir():
        _unpack(archive, cache)
    (root,) = cache.iterdir()
    return root


def _unpack(archive: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    # Test processes may race here: each unpacks aside, and the first rename wins.
    aside = Path(tempfile.mkdtemp(dir=target.parent))
    with tarfile.open(archive) as tar:
        tar.extractall(aside, filter="data")
    try:
        aside.rename(target)
    except OSError:
        shutil.rmtree(aside)
        if not target.is_dir():
            raise


def _reason(name: str) -> str:
    return f"vectors absent: {name} (expected in ../shared/vectors or in PHOENIX_VECTORS)"


def _skip(name: str) -> NoReturn:
    pytest.skip(_reason(name), allow_module_level=True)
