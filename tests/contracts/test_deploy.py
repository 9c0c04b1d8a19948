"""Deployment: complete, resumable after a crash at any step, and the deployer is nobody afterwards."""

import dataclasses
import re
from pathlib import Path

import pytest

from contracts.artifacts import load
from contracts.build import SOURCES
from contracts.deploy import DeployFailed, deploy, first_addresses, refuse_old_evm
from contracts.registry import OtherChain, Registry, open_registry
from contracts.suite import ACCOUNT_INGRESS, CALLERS, NODE_INGRESS, Role
from node.primitives.crypto import keccak256
from tests.contracts.sandbox import Reverted, Sandbox
from tests.contracts.suite import DEPLOYER, GENESIS, SandboxChain, Suite, build, charter_of


def quiet(line: str) -> None:
    """What a script would print."""


def test_every_contract_stands_and_is_found_by_name() -> None:
    suite = build()
    names = suite["ContractNames"].call.names()
    assert set(names) == {name for name in suite.report.addresses if "." not in name}
    for name in names:
        assert suite["ContractNames"].call.addressOf(name) == suite.report.addresses[name]


def test_the_addresses_on_a_new_chain_are_known_before() -> None:
    suite = build()
    foretold = first_addresses(suite.people(DEPLOYER), charter_of(suite.chain))
    assert foretold.items() <= suite.report.addresses.items()
    assert foretold.keys() >= set(suite["ContractNames"].call.names()) - {"NodeIngress", "AccountIngress"}


def test_the_deployer_ends_with_no_right_and_the_board_with_all() -> None:
    suite = build()
    manager, lock, board = suite["AccessManager"], suite["TimelockController"], suite["Board"]
    nobody = suite.people(DEPLOYER)
    for role in Role:
        assert manager.call.hasRole(int(role), nobody)[0] is False
    assert manager.call.hasRole(int(Role.BOARD), lock.address) == (True, 0)
    for name in ("DEFAULT_ADMIN_ROLE", "PROPOSER_ROLE", "EXECUTOR_ROLE", "CANCELLER_ROLE"):
        assert lock.call.hasRole(lock.call[f"{name}()"](), nobody) is False
    assert lock.call.hasRole(lock.call.PROPOSER_ROLE(), board.address) is True
    assert lock.call.hasRole(lock.call.EXECUTOR_ROLE(), board.address) is True
    with suite.chain.refusing("AccessManagerUnauthorizedAccount"):
        manager.send.grantRole(0, nobody, 0, sender=nobody)


def test_a_second_run_changes_nothing() -> None:
    suite = build()
    chain = SandboxChain(suite.chain)
    registry = Registry(GENESIS)
    first = build(Sandbox())
    registry.entries = dict(_entries(first))
    again = deploy(SandboxChain(first.chain), charter_of(first.chain), registry, quiet)
    assert (again.deployed, again.steps) == ((), ())
    assert chain.sent == 0


def test_a_crash_at_any_transaction_is_recovered_from(tmp_path: Path) -> None:
    whole = Sandbox()
    counting = SandboxChain(whole)
    deploy(counting, charter_of(whole), Registry(GENESIS), quiet)
    for place in range(counting.sent):
        chain, path = Sandbox(), tmp_path / f"{place}.json"
        with pytest.raises(KeyboardInterrupt):
            deploy(
                SandboxChain(chain, crash_after=place), charter_of(chain), open_registry(path, GENESIS), quiet
            )
        report = deploy(SandboxChain(chain), charter_of(chain), open_registry(path, GENESIS), quiet)
        suite = Suite(chain, report)
        lock = suite["TimelockController"].address
        assert suite["AccessManager"].call.hasRole(0, lock) == (True, 0), place
        assert suite["AccessManager"].call.hasRole(0, chain.account(DEPLOYER))[0] is False, place
        assert len(suite["ContractNames"].call.names()) == len(report.addresses) - 20, place


def test_a_dry_run_sends_nothing() -> None:
    chain = Sandbox()
    counting, said = SandboxChain(chain), list[str]()
    report = deploy(counting, charter_of(chain), Registry(GENESIS), said.append, dry_run=True)
    assert counting.sent == 0
    assert len(report.deployed) == 43
    assert said
    assert all(line.startswith("would") for line in said)


def test_other_code_at_a_recorded_address_is_refused() -> None:
    suite = build()
    registry = Registry(GENESIS, None, dict(_entries(suite)))
    suite.chain.put_code(suite["Disputes"].address, b"\x00")
    with pytest.raises(DeployFailed, match="other code"):
        deploy(SandboxChain(suite.chain), charter_of(suite.chain), registry, quiet)


def test_a_registry_of_another_chain_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "contracts.json"
    chain = Sandbox()
    deploy(SandboxChain(chain), charter_of(chain), open_registry(path, GENESIS), quiet)
    with pytest.raises(OtherChain):
        open_registry(path, "1:0xmainnet")


def test_a_chain_with_an_old_evm_is_refused() -> None:
    class Old(SandboxChain):
        def call(self, to: str | None, data: bytes) -> bytes | None:
            return None

    with pytest.raises(DeployFailed, match="older than London"):
        refuse_old_evm(Old(Sandbox()))


def test_the_doors_of_genesis_are_opened_to_the_rules() -> None:
    chain = Sandbox()
    starter = int(chain.account(DEPLOYER), 16)
    for name, address in (("NodeIngress", NODE_INGRESS), ("AccountIngress", ACCOUNT_INGRESS)):
        chain.put_code(address, load(name).deployed_bytecode, {0: starter})
    suite = build(chain)
    rules = b"rules".ljust(32, b"\0")
    assert suite["NodeIngress"].call.getContractAddress(rules) == suite["NodeRules"].address
    assert suite["AccountIngress"].call.getContractAddress(rules) == suite["AccountRules"].address
    assert suite["NodeIngress"].call.authority() == suite["AccessManager"].address
    repair = b"repair".ljust(32, b"\0")
    assert suite["AccountIngress"].call.getContractAddress(repair) == suite["Board"].address


def test_members_are_entered_before_the_doors_close() -> None:
    chain = Sandbox()
    for name, address in (("NodeIngress", NODE_INGRESS), ("AccountIngress", ACCOUNT_INGRESS)):
        chain.put_code(address, load(name).deployed_bytecode, {0: int(chain.account(DEPLOYER), 16)})
    deployer, user, node = chain.account(DEPLOYER), chain.account(40), b"\x07" * 64
    charter = dataclasses.replace(
        charter_of(chain),
        organisations={"us": deployer},
        nodes={node.hex(): "us"},
        accounts={user: ("us", 2)},
    )
    report = deploy(SandboxChain(chain), charter, Registry(GENESIS), quiet)
    lists = Suite(chain, report)["Organisations"]
    assert lists.call.nodeAllowed(keccak256(node)) is True
    assert lists.call.rolesOf(user) == 2
    assert lists.call.rolesOf(deployer) == 15
    closing = report.steps.index("AccountIngress asks AccountRules")
    assert report.steps.index(f"account {user} of us") < closing
    assert report.steps.index("AccountIngress asks Board") < closing


def test_every_restricted_function_has_a_holder_or_is_the_boards() -> None:
    """A new `restricted` function must be thought of: whose is it?"""
    boards = {
        "Billing": set(), "Metering": set(), "AuditLog": set(), "Compliance": {"annul"}, "Residency": set(),
        "Board": set(), "Disputes": set(), "Validators": {"add", "remove", "replace"}, "AccessPolicy": set(),
        "TrustedIssuers": set(), "Organisations": {"setIngresses"}, "Provenance": set(),
        "Provisioning": set(),
        "ContractNames": {"setAddress"}, "RegionRegistry": set(), "Sla": set(), "SettlementToken": set(),
    }  # fmt: skip
    found = {}
    for path in SOURCES.rglob("*.sol"):
        names = set(re.findall(r"function (\w+)\([^{;]*?\brestricted\b", path.read_text()))
        names -= {"_authorizeUpgrade"}
        if names and path.stem != "Governed":
            held = {each for functions in CALLERS.get(path.stem, {}).values() for each in functions}
            found[path.stem] = names - held
    assert found == boards


@pytest.mark.parametrize("contract", sorted(CALLERS))
def test_no_outsider_may_call_what_a_role_may(contract: str, suite: Suite) -> None:
    outsider = suite.people(99)
    for functions in CALLERS[contract].values():
        for function in functions:
            entry = suite[contract].send
            arguments = _zeros(suite, contract, function)
            with pytest.raises(Reverted) as caught:
                entry[function](*arguments, sender=outsider)
            assert caught.value.name == "AccessManagedUnauthorized", function


@pytest.fixture(scope="module")
def suite() -> Suite:
    return build()


def _entries(suite: Suite) -> list[tuple[str, object]]:
    from contracts.registry import Entry
    from contracts.suite import PLAIN

    kinds = {name: name.removesuffix(".implementation") for name in suite.report.addresses}
    return [
        (
            name,
            Entry(
                address, kinds[name] if name.endswith(".implementation") or name in PLAIN else "ERC1967Proxy"
            ),
        )
        for name, address in suite.report.addresses.items()
    ]


def _zeros(suite: Suite, contract: str, function: str) -> list[object]:
    from contracts.calls import function_of

    def zero(entry: dict[str, object]) -> object:
        kind = str(entry["type"])
        if kind.endswith("]"):
            return []
        if kind == "tuple":
            return tuple(zero(each) for each in entry["components"])  # type: ignore[attr-defined]
        plain = {"address": "0x" + "00" * 20, "bool": False, "string": "", "bytes": b""}
        return plain.get(kind, bytes(int(kind[5:])) if kind.startswith("bytes") else 0)

    return [zero(each) for each in function_of(contract, function)["inputs"]]
