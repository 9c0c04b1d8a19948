"""Does any dependency have a known vulnerability? `python -m tests.dependency_audit`

pip-audit asks an advisory database for every installed distribution. Exit code 0: every one was audited and
none has an advisory. 1: some have. 3: some could not be audited, so nothing is known; that is no pass.
"""

import importlib.util
import json
import subprocess
import sys

CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 3
LIMIT_S = 240
OWN = "phoenix-ledger"
"""This program itself is in no index."""
SERVICES = ("pypi", "osv")


def audit(service: str) -> tuple[list[str], list[str]]:
    """(findings, distributions that were not audited); the latter is ["all"] when there was no answer."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            [*command, "--vulnerability-service", service], capture_output=True, text=True, timeout=LIMIT_S
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


def main() -> int:
    """Ask one database after the other until one knows everything."""
    if importlib.util.find_spec("pip_audit") is None:
        print("NOT AUDITED: pip-audit is not installed (pip install -e '.[audit]')")
        return NOT_AUDITED
    missing: dict[str, list[str]] = {}
    for service in SERVICES:
        findings, skipped = audit(service)
        for line in findings:
            print(line)
        if findings:
            return VULNERABLE
        if not skipped:
            print(f"every dependency was audited ({service}); no advisory")
            return CLEAN
        missing[service] = skipped
    for service, names in missing.items():
        print(f"NOT AUDITED by {service}: {len(names)} distributions ({', '.join(names[:5])} …)")
    print("no advisory database answered for all of them; run this where one is reachable")
    return NOT_AUDITED


if __name__ == "__main__":
    sys.exit(main())
