"""Storage may grow at its end and nowhere else: each namespace begins with what layouts.json says.

`python -m tests.contracts.test_layouts` records new members after an upgrade was decided on.
"""

import json
from pathlib import Path

from contracts.artifacts import load, names

RECORDED = Path(__file__).with_name("layouts.json")


def current() -> dict[str, list[str]]:
    """Namespace -> members of its struct, as compiled."""
    found: dict[str, list[str]] = {}
    for name in names():
        found.update(load(name).storage_layout["namespaces"])
    return dict(sorted(found.items()))


def test_no_recorded_member_moved() -> None:
    now = current()
    recorded = json.loads(RECORDED.read_text())
    moved = {
        namespace: (members, now.get(namespace))
        for namespace, members in recorded.items()
        if now.get(namespace, [])[: len(members)] != members
    }
    assert moved == {}


def test_every_member_is_recorded() -> None:
    assert json.loads(RECORDED.read_text()) == current(), "run python -m tests.contracts.test_layouts"


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(current(), indent=1) + "\n")
