"""Does any dependency have a known vulnerability? `python -m tests.dependency_audit`

pip-audit asks an advisory database for every installed distribution. Exit code 0: every one was audited and
none has an advisory. 1: some have. 77: some could not be audited, and are named, or the database does not
know what everybody knows (a proxy that serves packages without advisories calls everything clean); that is no
pass. A mirror that knows advisories of newest releases only leaves the pins that are older (audit_client).
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 77
LIMIT_S: Final = 240
OWN: Final = "phoenix-ledger"
"""This program itself is in no index."""
SERVICES: Final = ("pypi", "osv")
KNOWN_BAD: Final = "pycrypto==2.6.1"
"""CVE-2013-7459, never mended: whoever has advisories has this one, also who knows newest releases only."""


@dataclass(frozen=True)
class Answer:
    """What a database says of all that is installed."""

    audited: int = 0
    findings: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ("all",)
    """Distributions that were not audited."""


def ask(service: str, *options: str) -> Answer:
    """The answer; that all was skipped, when there is none."""
    command = [sys.executable, "-m", "tests.audit_client", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            [*command, "--vulnerability-service", service, *options],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        listed = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return Answer()
    findings = tuple(
        f"{each['name']} {each['version']}: {advisory['id']}, mended in {advisory['fix_versions'] or '-'}"
        for each in listed
        for advisory in each.get("vulns", ())
    )
    skipped = tuple(each["name"] for each in listed if "skip_reason" in each and each["name"] != OWN)
    return Answer(sum("vulns" in each for each in listed), findings, skipped)


def has_advisories(service: str) -> bool:
    """Whether the database knows of a release that is known to be bad."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(KNOWN_BAD + "\n")
        return bool(ask(service, "--requirement", str(wanted), "--no-deps", "--disable-pip").findings)


def audit(services: Sequence[str] = SERVICES) -> int:
    """Ask one database after the other until one knows everything."""
    for service in services:
        said = ask(service)
        for line in said.findings:
            print(line)
        if said.findings:
            return VULNERABLE
        if said.audited and not has_advisories(service):
            print(f"NOT AUDITED by {service}: it has no advisories, as it finds none for {KNOWN_BAD}")
            continue
        if not said.skipped:
            print(f"every dependency was audited ({service}, {said.audited} distributions); no advisory")
            return CLEAN
        if said.audited:
            print(f"{said.audited} distributions were audited by {service}; no advisory")
        print(f"NOT AUDITED by {service}: {', '.join(said.skipped)}")
    print("no advisory database answered for all of them; run this where one is reachable")
    return NOT_AUDITED


def main() -> int:
    """The exit code."""
    if importlib.util.find_spec("pip_audit") is None:
        print("NOT AUDITED: pip-audit is not installed (pip install -e '.[audit]')")
        return NOT_AUDITED
    return audit()


if __name__ == "__main__":
    sys.exit(main())
