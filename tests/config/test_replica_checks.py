from dataclasses import replace

import pytest

from node.config.replica_checks import check_replica
from node.config.settings import ReplicaSettings


def problems(**changes: object) -> list[str]:
    return [f"{key} {text}" for key, text in check_replica(replace(ReplicaSettings(), **changes))]


def test_the_defaults_and_a_whole_region_are_well() -> None:
    assert problems() == []
    assert (
        problems(
            database="postgresql://phoenix@db.region/phoenix?passfile=/run/secrets/pgpass",
            contract_names="0x" + "ab" * 20,
            upstreams=("https://alpha.core:8545", "http://[::1]:8545/"),
        )
        == []
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"database": "mysql://a"}, "replica.database is neither"),
        ({"database": "postgresql://a:secret@b/c"}, "replica.database holds a password"),
        ({"database": "postgresql://b/c?password=secret"}, "replica.database holds a password"),
        ({"contract_names": "0x12"}, "replica.contract_names is '0x12'"),
        ({"upstreams": ("alpha:8545",)}, "replica.upstreams item 1: 'alpha:8545' is no HTTP URL"),
        ({"upstreams": ("http://a:99999",)}, "replica.upstreams item 1: 'http://a:99999' is no URL"),
        ({"upstreams": ("http://u:secret@a",)}, "replica.upstreams item 1: a URL with a name or password"),
        ({"upstreams": ("http://a",), "transactions": "refuse"}, "replica.upstreams is set, but"),
    ],
)
def test_each_mistake_is_named_and_no_password_is_shown(changes: dict[str, object], problem: str) -> None:
    (found,) = problems(**changes)
    assert found.startswith(problem)
    assert "secret" not in found
