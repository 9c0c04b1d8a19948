"""A validator of one, wired by the composition root itself, with settings changed at will."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from devnet.generate import encode_toml, generate, settings_of
from devnet.layout import NodeFiles
from devnet.manifest import Accounts, Network, NodePlan, Ports
from node.app.run import run_node
from node.config.load import load_settings
from tests.ports import free_ports

START_TIMEOUT_S = 60.0


def make_validator(home: Path, **sections: dict[str, Any]) -> NodeFiles:
    """Keys, genesis and settings; `sections` change settings."""
    first = free_ports(4)
    network = Network(
        name="whole",
        chain_id=325_002,
        seed="phoenix whole-node tests: these keys are public",
        period_s=1,
        contract_suite=False,
        ports=Ports(p2p=first, rpc=first + 1, metrics=first + 2, admin=first + 3),
        accounts=Accounts(count=3),
        nodes=(NodePlan(name="alpha"),),
    )
    layout = generate(network, home)
    [node] = layout.nodes
    settings = settings_of(layout, node)
    for section, values in sections.items():
        settings[section] = settings.get(section, {}) | values
    node.config.write_text(encode_toml(settings))
    return node


@asynccontextmanager
async def running(node: NodeFiles) -> AsyncIterator[None]:
    """The node, from the moment that it answers."""
    settings = load_settings(node.config)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(START_TIMEOUT_S):
            await nursery.start(lambda task_status: run_node(settings, task_status=task_status))
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()
