"""What the RPC says of real peers: two pools that met on a network in memory."""

import trio.testing

from node.backends.network import NodeNetwork
from node.rpc.api import RpcApi
from node.rpc.app import Dispatcher
from node.rpc.backend import Backend, SyncProgress
from p2p.transport import MemoryNetwork
from tests.p2p.network import STATUS, Node, connected, running, until
from tests.rpc.test_app import ask
from tests.rpc.world import World


class Behind:
    """SyncState of a node that has a way to go."""

    progress = SyncProgress(1, 5, 9)


def api_of(network: NodeNetwork) -> Dispatcher:
    """All methods over a chain in memory and this network."""
    world = World()
    backend = Backend(
        chain=world.chain, state=world.chain, network=network, client_version="test", admin=network
    )
    world.api(namespaces=("eth", "net", "admin"))
    return RpcApi(backend, world.settings).dispatcher


async def test_peers_in_geths_words(autojump_clock: trio.testing.MockClock) -> None:
    memory = MemoryNetwork()
    bob = Node(memory, 2)
    alice = Node(memory, 1, static_peers=(bob.enode,))
    async with running(bob, alice):
        await connected(alice, bob)
        api = api_of(NodeNetwork(1337, alice.pool, lambda _: None, Behind()))
        assert (await ask(api, "net_peerCount"))["result"] == "0x1"
        [shown] = (await ask(api, "admin_peers"))["result"]
        assert shown["enode"] == bob.enode
        assert (shown["name"], shown["caps"]) == ("node-2", ["eth/68"])
        assert shown["network"] == {
            "localAddress": "host-1:30303",
            "remoteAddress": "host-2:30303",
            "inbound": False,
            "trusted": False,
            "static": True,
        }
        assert shown["protocols"]["eth"] == {
            "version": 68,
            "difficulty": STATUS.total_difficulty,
            "head": "0x" + STATUS.head_hash.hex(),
        }
        info = (await ask(api, "admin_nodeInfo"))["result"]
        assert info["enode"] == alice.enode
        assert (info["ip"], info["ports"]["listener"]) == ("host-1", 30303)


async def test_a_removed_peer_is_let_go(autojump_clock: trio.testing.MockClock) -> None:
    memory = MemoryNetwork()
    bob, alice = Node(memory, 2), Node(memory, 1)
    async with running(bob, alice):
        api = api_of(NodeNetwork(1337, alice.pool, lambda _: None, Behind()))
        assert (await ask(api, "admin_addPeer", bob.enode))["result"] is True
        await connected(alice, bob)
        assert (await ask(api, "admin_removePeer", bob.enode))["result"] is True
        await until(lambda: not alice.pool.peers)


async def test_a_node_that_is_behind_says_how_far(autojump_clock: trio.testing.MockClock) -> None:
    node = Node(MemoryNetwork(), 1)
    async with running(node):
        api = api_of(NodeNetwork(1337, node.pool, lambda _: None, Behind()))
        syncing = (await ask(api, "eth_syncing"))["result"]
        assert syncing == {"startingBlock": "0x1", "currentBlock": "0x5", "highestBlock": "0x9"}
