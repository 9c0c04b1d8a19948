"""Alert rules ask for numbers that a node publishes."""

import re

from tests.architecture.tree import ROOT

RULES = sorted((ROOT / "deploy" / "alerts").glob("*.yml"))


def test_every_metric_of_a_rule_is_published_somewhere() -> None:
    code = "".join(path.read_text() for path in (ROOT / "node").rglob("*.py"))
    published = {f"phoenix_{name}" for name in re.findall(r'"([a-z]+(?:_[a-z]+)*)"', code)}
    assert RULES
    for path in RULES:
        asked = {name for line in path.read_text().splitlines() if "expr:" in line
                 for name in re.findall(r"phoenix_[a-z_]+", line)}  # fmt: skip
        assert asked
        assert {name.removesuffix("_total") for name in asked} <= published, path.name


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for path in RULES:
        alerts = path.read_text().split("- alert: ")[1:]
        assert alerts
        for alert in alerts:
            for word in ("expr:", "severity:", "summary:", "action:"):
                assert word in alert, (path.name, alert.splitlines()[0])
