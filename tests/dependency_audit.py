"""Does any dependency have a known vulnerability? `python -m tests.dependency_audit`

pip-audit asks an advisory database for every installed distribution. Exit code 0: every one was audited and
none has an advisory. 1: some have. 77: some could not be audited, or the database does not know what
everybody knows (a proxy that serves packages without advisories calls everything clean); that is no pass.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 77
LIMIT_S: Final = 240
OWN: Final = "phoenix-ledger"
"""This program itself is in no index."""
SERVICES: Final = ("pypi", "osv")
KNOWN_BAD: Final = "requests==2.19.0"
"""CVE-2018-18074: whoever has advisories has this one."""


def ask(service: str, *options: str) -> tuple[list[str], list[str]]:
    """(findings, distributions that were not audited); the latter is ["all"] when there was no answer."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            [*command, "--vulnerability-service", service, *options],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        listed = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return [], ["all"]
    findings = [
        f"{each['name']} {each['version']}: {advisory['id']}, mended in {advisory['fix_versions'] or '-'}"
        for each in listed
        for advisory in each.get("vulns", ())
    ]
    return findings, [each["name"] for each in listed if "skip_reason" in each and each["name"] != OWN]


def has_advisories(service: str) -> bool:
    """Whether the database knows of a release that is known to be bad."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(KNOWN_BAD + "\n")
        findings, _ = ask(service, "--requirement", str(wanted), "--no-deps", "--disable-pip")
    return bool(findings)


def audit(services: Sequence[str] = SERVICES) -> int:
    """Ask one database after the other until one knows everything."""
    for service in services:
        findings, skipped = ask(service)
        for line in findings:
            print(line)
        if findings:
            return VULNERABLE
        if skipped:
            print(f"NOT AUDITED by {service}: {len(skipped)} distributions ({', '.join(skipped[:5])} …)")
        elif not has_advisories(service):
            print(f"NOT AUDITED by {service}: it has no advisories, as it finds none for {KNOWN_BAD}")
        else:
            print(f"every dependency was audited ({service}); no advisory")
            return CLEAN
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
