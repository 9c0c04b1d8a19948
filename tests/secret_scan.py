"""Is there a secret in the repository that nobody has looked at? `python -m tests.secret_scan [--update]`

detect-secrets reads every tracked file. What it finds and a person has judged harmless (keys of test
networks, official vectors) stands in `.secrets.baseline` as hashes; anything else is a failure. `--update`
writes the baseline anew: look at the difference before it is committed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from detect_secrets import SecretsCollection
from detect_secrets.core import baseline
from detect_secrets.settings import default_settings

ROOT = Path(__file__).resolve().parents[1]
BASELINE = ROOT / ".secrets.baseline"
LEFT_OUT = ("contracts/artifacts/", ".secrets.baseline", "contracts/package-lock.json")
"""Compiled code and checksums: long hex numbers and nothing else."""


def tracked() -> list[str]:
    """Files of the repository, those not yet committed included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if not name.startswith(LEFT_OUT) and (ROOT / name).is_file()]


def main() -> int:
    """Scan; how many secrets are not in the baseline, as an exit code of 0 or 1."""
    os.chdir(ROOT)  # so that the baseline names files as git does
    found = SecretsCollection()
    with default_settings():
        for name in tracked():
            found.scan_file(name)
        if "--update" in sys.argv:
            baseline.save_to_file(found, str(BASELINE))
            print(f"{BASELINE.name}: {len(list(found))} findings in {len(found.files)} files")
            return 0
    known = json.loads(BASELINE.read_text())["results"]
    judged = {(name, each["hashed_secret"]) for name, listed in known.items() for each in listed}
    new = [(name, secret) for name, secret in found if (name, secret.secret_hash) not in judged]
    for name, secret in new:
        print(f"{name}:{secret.line_number}: {secret.type}; take it out, or judge it (tests/secret_scan.py)")
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main())
