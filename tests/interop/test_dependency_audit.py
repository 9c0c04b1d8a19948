"""The dependency audit by pip-audit itself, against a database that speaks PyPI's JSON."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.dependency_audit import CLEAN, KNOWN_BAD, NOT_AUDITED, VULNERABLE
from tests.interop.pip import pip_install
from tests.signing.authority import Authority

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]
CANARY = KNOWN_BAD.replace("==", " ")


def advisory(identity: str, fixed: str) -> dict[str, Any]:
    """One of PyPI's."""
    return {
        "id": identity,
        "aliases": ["CVE-2013-7459"],
        "details": "a buffer is written beyond its end",
        "summary": None,
        "fixed_in": [fixed],
        "link": "https://osv.dev/vulnerability/" + identity,
        "source": "osv",
        "withdrawn": None,
    }


KNOWS = {CANARY: [advisory("PYSEC-2017-94", "99.0")]}


@contextmanager
def database(folder: Path, said: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The environment in which pip-audit finds it."""
    authority = Authority(folder)
    site = authority.member("pypi", names=("pypi.org",))
    (folder / "said.json").write_text(json.dumps(said))
    command = [sys.executable, "-m", "tests.interop.advisories"]
    server = subprocess.Popen(
        [*command, str(site.certificate), str(site.key), str(folder / "said.json")],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        proxy = f"http://127.0.0.1:{int(server.stdout.readline())}"
        yield {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "HTTPS_PROXY": proxy,
            "REQUESTS_CA_BUNDLE": str(authority.path),
            "PIP_NO_CACHE_DIR": "1",
        }
    finally:
        server.kill()
        server.communicate()


def audit(folder: Path, said: dict[str, Any]) -> tuple[int, str]:
    """Exit code and words."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    python = pip_install(*extras["audit"])
    with database(folder, said) as environment:
        done = subprocess.run(
            [str(python), "-m", "tests.dependency_audit"],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def installed(name: str) -> str:
    """The version that is audited: pip-audit's own environment."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    return subprocess.check_output([str(pip_install(*extras["audit"])), "-c", code], text=True).strip()


def test_an_advisory_against_a_dependency_fails(tmp_path: Path) -> None:
    version = installed("requests")
    bad = {f"requests {version}": [advisory("PYSEC-2030-1", "99.0")]}
    code, words = audit(tmp_path, KNOWS | bad)
    assert code == VULNERABLE
    assert f"requests {version}: PYSEC-2030-1, mended in ['99.0']" in words


def test_no_advisory_is_a_pass_where_the_database_has_advisories(tmp_path: Path) -> None:
    code, words = audit(tmp_path, KNOWS)
    assert code == CLEAN
    assert words.startswith("every dependency was audited (pypi, ")


def test_a_database_that_calls_everything_clean_is_no_pass(tmp_path: Path) -> None:
    code, words = audit(tmp_path, {})
    assert code == NOT_AUDITED
    assert f"NOT AUDITED by pypi: it has no advisories, as it finds none for {KNOWN_BAD}" in words
    assert "NOT AUDITED by osv" in words


def test_the_page_of_a_project_answers_for_its_newest_release(tmp_path: Path) -> None:
    """What a mirror has that knows no page of a single release."""
    version = installed("requests")
    gone = KNOWS | {f"requests {version}": None}
    code, words = audit(tmp_path, gone | {"requests": {"version": version, "vulnerabilities": []}})
    assert code == CLEAN, words
    bad = {"version": version, "vulnerabilities": [advisory("PYSEC-2030-2", "99.0")]}
    code, words = audit(tmp_path, gone | {"requests": bad})
    assert (code, "requests" in words, "PYSEC-2030-2" in words) == (VULNERABLE, True, True)


def test_a_database_that_does_not_know_a_dependency_is_no_pass(tmp_path: Path) -> None:
    """Nor does it know who knows a newer release of it only."""
    newer = {"version": "99.0", "vulnerabilities": []}
    code, words = audit(tmp_path, KNOWS | {f"requests {installed('requests')}": None, "requests": newer})
    assert code == NOT_AUDITED
    assert "NOT AUDITED by pypi: requests\n" in words
