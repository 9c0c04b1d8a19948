"""besu#528: a node from nothing joins, although the rules that it knows at first allow nobody alive."""

import json
import time
from pathlib import Path

import pytest

from devnet.client import RpcClient
from devnet.generate import encode_toml, generate, genesis_of, settings_of
from devnet.keys import account_key
from devnet.layout import NodeFiles
from devnet.manifest import Accounts, Network, NodePlan, Ports
from node.primitives.ids import hex_of
from p2p.enode import parse_enode
from tests.execution.builders import GWEI, signed
from tests.faults.live import ask, end_all, log_of, start
from tests.permissioning.node_contract import INGRESS, VERSION_6, node_alloc, slot_of
from tests.permissioning.rules_contract import set_slot
from tests.ports import free_ports

pytestmark = pytest.mark.long(20)

WITHIN_S = 60.0
SEED = "phoenix bootstrap tests: these keys are public"


def make(home: Path) -> tuple[NodeFiles, NodeFiles]:
    """alpha seals; beta is to join. In block 0 the rules allow beta and a node long gone, not alpha."""
    first = free_ports(8)
    network = Network(
        name="bootstrap",
        chain_id=325_003,
        seed=SEED,
        period_s=1,
        contract_suite=False,
        ports=Ports(p2p=first, rpc=first + 2, metrics=first + 4, admin=first + 6),
        accounts=Accounts(count=2),
        nodes=(NodePlan(name="alpha"), NodePlan(name="beta", role="full")),
    )
    layout = generate(network, home)
    alpha, beta = layout.nodes
    genesis = genesis_of(network)
    dead = b"\x01" * 64
    genesis["alloc"] |= node_alloc(VERSION_6, (parse_enode(beta.enode).public_key, dead))
    layout.genesis.write_text(json.dumps(genesis))
    for node in layout.nodes:
        settings = settings_of(layout, node)
        settings["permissioning"] = {"node_ingress": hex_of(INGRESS)}
        settings["p2p"]["static_peers"] = [] if node.name == "alpha" else [alpha.enode]
        node.config.write_text(encode_toml(settings))
    return alpha, beta


def wait_head(node: NodeFiles, least: int) -> None:
    until = time.monotonic() + WITHIN_S
    while int(ask(node, "eth_blockNumber"), 16) < least:
        assert time.monotonic() < until, f"{node.name} does not get there\n{log_of(node)}"
        time.sleep(0.1)


def test_a_node_from_nothing_joins_by_newer_rules_than_it_knows(tmp_path: Path) -> None:
    alpha, beta = make(tmp_path)
    try:
        start(alpha).wait_answering()
        key = parse_enode(alpha.enode).public_key
        allow = signed(
            account_key(SEED, 0), to=INGRESS, data=set_slot(slot_of(VERSION_6, key), 1), fee=1000 * GWEI,
            chain_id=325_003,
        )  # fmt: skip
        digest = ask(alpha, "eth_sendRawTransaction", "0x" + allow.encoded.hex())
        wait_head(alpha, 6)
        assert ask(alpha, "eth_getTransactionReceipt", digest)["status"] == "0x1"
        start(beta).wait_answering()
        wait_head(beta, int(ask(alpha, "eth_blockNumber"), 16))
        client = RpcClient(beta.admin_url, 60.0)
        # Caught up, it judges alpha by the rules that its chain has brought.
        until = time.monotonic() + WITHIN_S
        while (said := client.call("perm_explain", alpha.enode)["dial"])["rule"] != "contract":
            assert time.monotonic() < until, said
            time.sleep(0.1)
        client.close()
        assert said["allowed"], said
    finally:
        end_all()
