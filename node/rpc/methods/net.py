"""net_: what anybody may know of our place in the network."""

from node.rpc.backend import NetworkBackend
from node.rpc.method import Method


def methods(network: NetworkBackend) -> list[Method]:
    """net_version, net_listening, net_peerCount."""
    return [
        Method("net_version", lambda: str(network.network_id)),
        Method("net_listening", lambda: network.listening),
        Method("net_peerCount", lambda: hex(network.peer_count)),
    ]
