from pathlib import Path

import pytest

from devnet.checks import check
from devnet.client import RpcError
from devnet.finding import Finding
from devnet.keys import sealing_key
from devnet.layout import Layout
from tests.devnet.fakes.chain import NAMES, FakeNetwork, network, with_state_root


@pytest.fixture
def healthy(tmp_path: Path) -> FakeNetwork:
    return FakeNetwork(Layout(tmp_path, network()))


def failed(running: FakeNetwork) -> dict[str, str]:
    return {each.what: each.detail for each in check(running) if not each.holds}


def test_a_healthy_network_holds_every_invariant(healthy: FakeNetwork) -> None:
    findings = check(healthy)
    assert all(each.holds for each in findings), findings
    assert [each.what for each in findings] == [
        "every node answers",
        "same chain id",
        "same genesis",
        "heads advance together",
        "same blocks and state roots",
        "headers hash and link",
        "signers seal in their turns",
        "same receipts",
        "same nonces and balances",
    ]


def test_a_silent_node_is_named_and_the_others_are_judged(healthy: FakeNetwork) -> None:
    healthy.fakes["gamma"].down = True
    assert failed(healthy) == {"every node answers": "silent: gamma"}


def test_a_node_of_another_chain_is_named(healthy: FakeNetwork) -> None:
    healthy.fakes["beta"].changed["eth_chainId"] = lambda: "0x1"
    assert failed(healthy) == {"same chain id": "beta says 0x1, others 0x7"}


def test_heads_that_stand_still_are_seen(healthy: FakeNetwork) -> None:
    healthy.fakes["delta"].changed["eth_blockNumber"] = lambda: "0x28"
    assert "delta 40" in failed(healthy)["heads advance together"]


def test_a_node_with_another_block_is_named(healthy: FakeNetwork) -> None:
    fake = healthy.fakes["alpha"]
    fake.headers[20] = with_state_root(fake.headers[20], b"\x01" * 32, sealing_key("fake", "alpha"))
    assert "alpha differs" in failed(healthy)["same blocks and state roots"]


def test_a_header_that_does_not_hash_to_its_hash_is_seen(healthy: FakeNetwork) -> None:
    for fake in healthy.fakes.values():
        honest = fake.eth_getBlockByNumber
        fake.changed["eth_getBlockByNumber"] = lambda number, full, honest=honest: (
            honest(number, full) | ({"gasUsed": "0x1"} if number == hex(15) else {})
        )
    assert failed(healthy)["headers hash and link"].startswith("block 15 says 0x")


def test_a_signer_who_seals_too_soon_or_is_a_stranger_is_seen(healthy: FakeNetwork) -> None:
    stranger = sealing_key("fake", "stranger")
    headers = list(healthy.fakes["alpha"].headers)
    headers[20] = with_state_root(headers[20], b"\x01" * 32, stranger)
    for fake in healthy.fakes.values():
        fake.headers = headers
    assert f"not authorised: ['0x{stranger.address.hex()}']" in failed(healthy)["signers seal in their turns"]


def test_a_signer_who_is_silent_for_long_is_seen(healthy: FakeNetwork) -> None:
    more = "0x" + "77" * 20
    for fake in healthy.fakes.values():
        honest = fake.clique_getSigners
        fake.changed["clique_getSigners"] = lambda number, honest=honest: [*honest(number), more]
    assert "0x77777777 0" in failed(healthy)["signers seal in their turns"]


def test_receipts_and_accounts_that_differ_are_seen(healthy: FakeNetwork) -> None:
    healthy.fakes["beta"].changed["eth_getBlockReceipts"] = lambda number: [{"status": "0x0"}]
    healthy.fakes["gamma"].changed["eth_getBalance"] = lambda address, block: "0x0"
    assert failed(healthy) == {
        "same receipts": "beta differs at [0][0][blockNumber]: None, others 0x3",
        "same nonces and balances": "gamma differs at [1]: 0x0, others 0x64",
    }


def test_an_error_instead_of_an_answer_is_a_finding_and_no_crash(healthy: FakeNetwork) -> None:
    def refuse(number: str) -> None:
        raise RpcError("eth_getBlockReceipts", {"code": -32601, "message": "no such method"})

    for name in NAMES:
        healthy.fakes[name].changed["eth_getBlockReceipts"] = refuse
    assert "no such method" in failed(healthy)["every question is answered"]


def test_a_chain_that_has_just_begun_is_not_judged(tmp_path: Path) -> None:
    young = FakeNetwork(Layout(tmp_path, network()), length=5)
    assert check(young)[-1] == Finding(
        "settled blocks agree", True, "no block is settled yet; ask again later"
    )
