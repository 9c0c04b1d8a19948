"""What looks like a secret in the repository was looked at by somebody, who says why it is none."""

from pathlib import Path
from typing import Any

import pytest

from tests.secret_scan import judged, problems, scan, unreasoned

REASON = "a key that is made up for this test"


def test_every_finding_that_was_let_pass_has_a_reason() -> None:
    known = judged()
    assert known
    assert unreasoned(known) == []


@pytest.fixture
def planted(tmp_path: Path) -> str:
    """A file with what looks like a cloud's access key, put together here so that this one has none."""
    path = tmp_path / "settings.py"
    path.write_text('region = "north"\naccess = "' + "AKIA" + "Z7QF3MXP5WLV2HTB" + '"\n')
    return str(path)


def entry(name: str, **more: Any) -> dict[str, list[dict[str, Any]]]:
    [(_, secret)] = list(scan([name]))
    return {name: [{"hashed_secret": secret.secret_hash, "line_number": 2, "type": secret.type, **more}]}


def test_a_secret_that_nobody_has_judged_fails(planted: str) -> None:
    [problem] = problems(scan([planted]), {})
    assert problem.startswith(f"{planted}:2: AWS Access Key")


@pytest.mark.parametrize("reason", [{}, {"reason": ""}, {"reason": "ok"}])
def test_a_judgement_without_a_reason_is_none(planted: str, reason: dict[str, str]) -> None:
    [problem] = problems(scan([planted]), entry(planted, **reason))
    assert "without a reason" in problem
    assert problems(scan([planted]), entry(planted, reason=REASON)) == []


def test_a_judgement_of_nothing_is_refused(planted: str, tmp_path: Path) -> None:
    known = entry(planted, reason=REASON)
    Path(planted).write_text("")
    assert "no longer there" in problems(scan([planted]), known)[0]
