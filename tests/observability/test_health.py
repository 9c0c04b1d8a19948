from node.observability.health import Health, Verdict, head_age_check, peers_check


def test_a_node_without_checks_is_well() -> None:
    assert Health().is_live() == Health().is_ready() == Verdict(True, ())


def test_ready_lists_every_reason_and_includes_those_of_live() -> None:
    health = Health(live=[lambda: "disk full"], ready=[lambda: None, lambda: "no peers"])
    assert health.is_live() == Verdict(False, ("disk full",))
    assert health.is_ready() == Verdict(False, ("disk full", "no peers"))


def test_an_old_head_is_not_ready_and_says_how_old() -> None:
    check = head_age_check(lambda: 1_000, lambda: 1_070.4, age_s_max=60)
    assert check() == "the newest block is 70 s old; more than 60 s means stalled or behind"
    assert head_age_check(lambda: 1_000, lambda: 1_060, age_s_max=60)() is None


def test_too_few_peers_are_not_ready() -> None:
    assert peers_check(lambda: 1, least=2)() == "1 peers connected; 2 are needed"
    assert peers_check(lambda: 2, least=2)() is None
