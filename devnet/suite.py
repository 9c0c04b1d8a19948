"""The contract suite on a local network: three board members, a holder for each role, quick rules."""

from contextlib import closing
from dataclasses import replace
from typing import Final

from contracts.deploy import DeployFailed, Report, deploy, first_addresses
from contracts.registry import OtherChain, open_registry
from contracts.rpc_chain import RpcChain
from contracts.suite import Charter, Role, Rule
from devnet.errors import DevnetError
from devnet.generate import archivists
from devnet.keys import accounts_of, archiving_key, sealing_key
from devnet.layout import Layout
from devnet.manifest import Network
from devnet.members import ALL_ROLES, members_of
from devnet.network import Say
from devnet.suite_genesis import DEPLOYER, REGISTRY
from node.archive.anchor import call_data, log_name
from node.primitives.crypto import keccak256
from node.primitives.ids import hex_of

OPERATOR: Final = "operator"
"""The organisation on the chain: the deployer administers it, and all that is local belongs to it."""
MEMBERS: Final = (2, 3, 4)
"""Accounts of the board, by place in `endpoints --json`."""
OFFICER: Final = 5
"""The account that holds every other role: one person plays them all."""
CALL: Final = 16
"""What archive nodes need, as Organisations numbers roles: they anchor, and move no value."""
QUICK: Final = (Rule(5_000, 5_001, 20, 5), Rule(6_000, 6_667, 20, 8), Rule(6_000, 6_000, 10, 3))
"""Ordinary, structural, emergency: block periods where a real board takes days."""


def charter_of(network: Network) -> Charter:
    """What the suite is told about a local network."""
    accounts = [each["address"] for each in accounts_of(network.seed, network.accounts.count)]
    if len(accounts) <= OFFICER:
        raise DevnetError(f"the suite needs {OFFICER + 1} accounts; the manifest has {len(accounts)}")
    others = [role for role in Role if role is not Role.BOARD]
    ordinary, structural, emergency = (
        replace(
            rule,
            voting_period_s=rule.voting_period_s * network.period_s,
            delay_s=rule.delay_s * network.period_s,
        )
        for rule in QUICK
    )
    return Charter(
        members={accounts[place]: 1 for place in MEMBERS},
        ordinary=ordinary,
        structural=structural,
        emergency=emergency,
        validators={hex_of(sealing_key(network.seed, name).address): name for name in network.validators},
        organisations={OPERATOR: accounts[DEPLOYER]},
        nodes={member.hex(): OPERATOR for member in members_of(network).members},
        accounts=dict.fromkeys(accounts, (OPERATOR, ALL_ROLES))
        | dict.fromkeys(archivists(network, ""), (OPERATOR, CALL)),
        holders=dict.fromkeys(others, (accounts[OFFICER],)),
    )


def address_book(network: Network) -> str | None:
    """Where the suite's ContractNames comes to stand; None where there are too few accounts for a suite."""
    accounts = accounts_of(network.seed, network.accounts.count)
    if len(accounts) <= OFFICER:
        return None
    return first_addresses(accounts[DEPLOYER]["address"], charter_of(network))["ContractNames"]


def deploy_suite(layout: Layout, say: Say, *, dry_run: bool = False) -> Report:
    """Put the suite on the running network through its first node; DevnetError when that does not work."""
    deployer = layout.accounts[DEPLOYER]["private_key"]
    try:
        with closing(RpcChain(layout.nodes[0].rpc_url, deployer)) as chain:
            registry = open_registry(layout.home / REGISTRY, chain.identity)
            return deploy(chain, charter_of(layout.network), registry, say, dry_run=dry_run)
    except (DeployFailed, OtherChain) as error:
        hint = "`up --fresh` begins a new chain, `up --bare` leaves the contracts alone"
        raise DevnetError(f"contracts: {error}\n{hint}") from error


def open_archive_logs(layout: Layout) -> int:
    """Let the archive nodes anchor files and audit logs: the officer opens two for each; how many nodes."""
    officer = layout.accounts[OFFICER]["private_key"]
    try:
        chain = RpcChain(layout.nodes[0].rpc_url, officer)
        contract = open_registry(layout.home / REGISTRY, chain.identity).entries["AuditLog"].address
        for node in layout.archives:
            writer = archiving_key(layout.network.seed, node.name).address
            for log in (log_name(writer), keccak256(f"audit:{node.name}".encode())):
                held = chain.call(contract, call_data("writerOf(bytes32)", log))
                if not held or not int.from_bytes(held, "big"):
                    chain.send([(contract, call_data("openLog(bytes32,address)", log, writer))])
    except (DeployFailed, OtherChain, KeyError) as error:
        raise DevnetError(f"contracts: the logs of archive nodes cannot be opened: {error}") from error
    return len(layout.archives)
