"""Is there a secret in the repository that nobody has looked at? `python -m tests.secret_scan [--update]`

detect-secrets reads every tracked file. What it finds and a person has judged harmless stands in
`.secrets.baseline` as a hash with the reason; a finding that is not there, an entry without a reason and an
entry that answers to nothing are failures. `--update` writes the baseline anew and keeps the reasons: write
one for each new entry, or take the secret out.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from detect_secrets import SecretsCollection
from detect_secrets.core import baseline
from detect_secrets.settings import default_settings

ROOT: Final = Path(__file__).resolve().parents[1]
BASELINE: Final = ROOT / ".secrets.baseline"
LEFT_OUT: Final = ("contracts/artifacts/", ".secrets.baseline", "contracts/package-lock.json")
"""Compiled code and checksums: long hex numbers and nothing else."""
REASON_CHARACTERS_MIN: Final = 20
"""A reason says what it is and why nobody gains by it."""

Entries = dict[str, list[dict[str, Any]]]


def tracked() -> list[str]:
    """Files of the repository, those not yet committed included."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in listed if not name.startswith(LEFT_OUT) and (ROOT / name).is_file()]


def scan(names: Iterable[str]) -> SecretsCollection:
    """All that looks like a secret in these files."""
    found = SecretsCollection()
    with default_settings():
        found.scan_files(*names)  # on all cores
    return found


def judged() -> Entries:
    """The baseline: file -> what was found there and judged."""
    entries: Entries = json.loads(BASELINE.read_text())["results"]
    return entries


def problems(found: SecretsCollection, known: Entries) -> list[str]:
    """What is new, what was judged without a word, and what is no longer there."""
    wrong = unreasoned(known)
    listed = {(name, each["hashed_secret"]) for name, entries in known.items() for each in entries}
    there = {(name, secret.secret_hash) for name, secret in found}
    wrong += [
        f"{name}:{secret.line_number}: {secret.type}; take it out, or judge it (tests/secret_scan.py)"
        for name, secret in found
        if (name, secret.secret_hash) not in listed
    ]
    gone = sorted(name for name, digest in listed - there)
    return wrong + [f"{name}: a finding of the baseline is no longer there; --update" for name in gone]


def unreasoned(known: Entries) -> list[str]:
    """Entries that nobody has said anything about."""
    return [
        f"{name}:{each['line_number']}: {each['type']} stands in the baseline without a reason"
        for name, entries in known.items()
        for each in entries
        if len(each.get("reason", "").strip()) < REASON_CHARACTERS_MIN
    ]


def update(found: SecretsCollection) -> None:
    """Write the baseline of what was found, with the reasons that were given."""
    reasons = {
        (name, each["hashed_secret"]): each["reason"]
        for name, entries in judged().items()
        for each in entries
        if "reason" in each
    }
    with default_settings():
        made = baseline.format_for_output(found)
    for name, entries in made["results"].items():
        for each in entries:
            each["reason"] = reasons.get((name, each["hashed_secret"]), "")
    BASELINE.write_text(json.dumps(made, indent=2) + "\n")
    print(f"{BASELINE.name}: {len(list(found))} findings in {len(found.files)} files")


def main() -> int:
    """Scan; 1 for anything that is not judged, as an exit code."""
    os.chdir(ROOT)  # so that the baseline names files as git does
    found = scan(tracked())
    if "--update" in sys.argv:
        update(found)
    wrong = problems(found, judged())
    print("\n".join(wrong or [f"{len(list(found))} findings, each judged with a reason"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
