"""The members' file: what it says, what is wrong with it, and what a bad one changes: nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from node.permissioning.allowlist import (
    AllowList,
    AllowListFile,
    Member,
    encode_allowlist,
    read_allowlist,
)
from node.permissioning.policy import Meeting, Right, Sending, Tier
from node.primitives.errors import ConfigError
from node.primitives.ids import Address

CORE, CORE2, REPLICA, EDGE, STRANGER = (bytes([n]) * 64 for n in range(1, 6))
ACCOUNT = Address(b"\x0a" * 20)


def entry(identity: bytes, tier: str, **more: Any) -> dict[str, Any]:
    return {"id": identity.hex(), "organisation": "north", "tier": tier, **more}


def tree(**more: Any) -> dict[str, Any]:
    members = [
        entry(CORE, "core", validator=True, name="alpha"),
        entry(CORE2, "core", validator=True),
        entry(REPLICA, "regional", addresses=["10.1.0.0/16", "fd00::/8"]),
        entry(EDGE, "edge"),
    ]
    return {"members": members, **more}


def listed(path: Path, **more: Any) -> AllowList:
    path.write_text(json.dumps(tree(**more)))
    return read_allowlist(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "members.json"


def test_toml_and_json_say_the_same(tmp_path: Path, path: Path) -> None:
    accounts = [{"address": "0x" + "0a" * 20, "organisation": "north", "rights": ["call"]}]
    found = listed(path, accounts=accounts)
    again = tmp_path / "members.toml"
    again.write_text(encode_allowlist(found))
    assert read_allowlist(again) == found
    path.write_text(encode_allowlist(found, as_json=True))
    assert read_allowlist(path) == found
    again.write_text(encode_allowlist(AllowList()))
    assert read_allowlist(again) == AllowList()


def test_who_is_not_listed_does_not_come_in(path: Path) -> None:
    decision = listed(path).meet(CORE, Meeting(id=STRANGER, inbound=True))
    assert (decision.allowed, decision.rule) == (False, "file")


def test_a_member_comes_from_its_addresses_only(path: Path) -> None:
    found = listed(path)
    for host, allowed in (
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::1", True),
        ("10.2.0.1", False),
        ("replica.example", False),
        (None, True),
    ):
        decision = found.meet(CORE, Meeting(id=REPLICA, host=host, inbound=True))
        assert decision.allowed is allowed
        assert decision.rule == ("file" if allowed else "address")


@pytest.mark.parametrize(
    ("dialler", "dialled", "allowed"),
    [
        (CORE, CORE2, True),
        (CORE, REPLICA, False),
        (CORE, EDGE, False),
        (REPLICA, CORE, True),
        (REPLICA, EDGE, False),
        (EDGE, REPLICA, True),
        (EDGE, CORE, False),
    ],
)
def test_tiers_dial_inwards_and_the_edge_never_reaches_the_core(
    path: Path, dialler: bytes, dialled: bytes, allowed: bool
) -> None:
    found = listed(path)
    ours = found.meet(dialler, Meeting(id=dialled))
    host = "10.1.0.1" if dialler == REPLICA else None
    theirs = found.meet(dialled, Meeting(id=dialler, host=host, inbound=True))
    assert ours.allowed is theirs.allowed is allowed
    assert (ours.rule == "tier") is not allowed


def test_validators_always_meet(path: Path) -> None:
    assert listed(path).meet(CORE, Meeting(id=CORE2)).rule == "validators"


def test_accounts_have_rights_each_of_its_own(path: Path) -> None:
    accounts = [{"address": "0x" + "0a" * 20, "organisation": "north", "rights": ["call", "transfer"]}]
    found = listed(path, accounts=accounts)
    somewhere = Address(b"\x0b" * 20)
    for sending, allowed in (
        (Sending(sender=ACCOUNT, to=somewhere), True),
        (Sending(sender=ACCOUNT, to=somewhere, data=b"\x01"), True),
        (Sending(sender=ACCOUNT, to=None, data=b"\x01"), False),
        (Sending(sender=somewhere, to=somewhere), False),
    ):
        assert found.send(sending).allowed is allowed
    assert listed(path).send(Sending(sender=somewhere, to=None)).allowed


@pytest.mark.parametrize(
    ("rights", "to", "value", "data", "missing"),
    [
        (["call"], b"\x01" * 20, 1, b"\x00", "transfer"),
        (["transfer"], b"\x01" * 20, 1, b"\x00", "call"),
        (["call", "transfer"], b"\x01" * 20, 1, b"\x00", None),
        (["deploy"], None, 1, b"\x00", "transfer"),
        (["deploy"], None, 0, b"\x00", None),
        (["call"], None, 1, b"\x00", "deploy and transfer"),
        (["call"], b"\x01" * 20, 0, b"", "transfer"),
    ],
)
def test_value_is_a_right_of_its_own_whatever_carries_it(
    path: Path, rights: list[str], to: bytes | None, value: int, data: bytes, missing: str | None
) -> None:
    sender = Address(b"\x0a" * 20)
    account = {"address": "0x" + sender.hex(), "organisation": "north", "rights": rights}
    found = listed(path, accounts=[account])
    target = None if to is None else Address(to)
    decision = found.send(Sending(sender=sender, to=target, value=value, data=data))
    assert decision.allowed is (missing is None)
    assert missing is None or decision.reason.endswith(f"it has no right to {missing}")


def test_everything_that_is_wrong_is_said_at_once(path: Path) -> None:
    members = [
        entry(CORE, "inner"),
        entry(CORE, "core", boss=True),
        {"id": "12", "organisation": "", "tier": "core"},
        entry(EDGE, "edge", validator=True),
        entry(CORE2, "core", addresses=["10.0.0.0/33"]),
        entry(REPLICA, "regional"),
        entry(REPLICA, "regional"),
    ]
    accounts = [{"address": "0x12", "rights": ["fly"]}]
    path.write_text(json.dumps({"members": members, "accounts": accounts, "nodes": []}))
    with pytest.raises(ConfigError) as error:
        read_allowlist(path)
    text = str(error.value)
    for words in (
        "'inner' is none",
        "members[1].boss is not known",
        "members[2].id",
        "members[2].organisation is missing",
        "nothing of the edge tier",
        "'10.0.0.0/33' is no address",
        "listed twice",
        "accounts[0].address",
        "accounts[0].rights",
        "nodes is not known",
    ):
        assert words in text


def test_a_file_that_is_changed_is_taken_and_a_bad_one_keeps_the_old_list(path: Path) -> None:
    path.write_text(json.dumps(tree()))
    file = AllowListFile(path)
    before = file.current
    assert file.problem is None
    assert not file.has_changed()
    path.write_text("{")
    assert file.has_changed()
    assert not file.reload()
    assert file.problem is not None
    assert "not JSON" in file.problem
    assert file.current is before
    path.unlink()
    assert file.has_changed()
    file.reload()
    assert file.problem is not None
    assert file.current is before
    new = Member(id=STRANGER, organisation="south", tier=Tier.CORE)
    file.change(AllowList({STRANGER: new}))
    assert file.problem is None
    assert read_allowlist(path).members == {STRANGER: new}
    assert path.stat().st_mode & 0o777 == 0o600


def test_without_a_good_file_there_is_no_list(path: Path) -> None:
    file = AllowListFile(path)
    assert file.current is None
    assert file.problem is not None
    assert "cannot be read" in file.problem
    assert {right.value for right in Right} == {"transfer", "call", "deploy"}
