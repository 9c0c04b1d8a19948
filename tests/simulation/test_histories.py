"""Many histories, each from its seed: `python -m tests sim --seed N` replays one with every line."""

import pytest

from tests.simulation import run


@pytest.mark.parametrize("seed", range(150))
def test_a_network_recovers_from_any_storm(seed: int) -> None:
    run(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1_000, 6_000, 100))
def test_thousands_of_networks_recover_from_any_storm(first: int) -> None:
    for seed in range(first, first + 100):
        run(seed)


@pytest.mark.parametrize(
    ("seed", "lesson"),
    [
        (21280, "the child of a block that waits for its time has to wait as well"),
        (45863, "a block signed before a crash is published even if another head came before the crash"),
    ],
)
def test_a_history_that_once_went_wrong(seed: int, lesson: str) -> None:
    run(seed)


def test_a_seed_is_one_history() -> None:
    assert run(11).checkers.lines == run(11).checkers.lines
