"""admin_: peers, for operators. Off unless the setting rpc.namespaces names it."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from node.primitives.crypto import keccak256
from node.primitives.ids import hex_of
from node.rpc.backend import AdminBackend, Backend, PeerReport
from node.rpc.jsonrpc import Json
from node.rpc.method import Method
from node.rpc.params import Param, read_list, read_text


def methods(backend: Backend, admin: AdminBackend) -> list[Method]:
    """nodeInfo, peers, addPeer, removePeer as geth has them; setBlockedPeers is ours."""
    url = (Param(read_text),)
    return [
        Method("admin_nodeInfo", partial(_node_info, backend, admin)),
        Method("admin_peers", lambda: [_peer_json(peer) for peer in admin.peers()]),
        Method("admin_addPeer", partial(_add, admin), url),
        Method("admin_removePeer", partial(_remove, admin), url),
        Method("admin_setBlockedPeers", partial(_set_blocked, admin), (Param(_read_urls),)),
    ]


def _add(admin: AdminBackend, url: str) -> Json:
    admin.add_peer(url)
    return True


def _remove(admin: AdminBackend, url: str) -> Json:
    admin.remove_peer(url)
    return True


def _set_blocked(admin: AdminBackend, urls: Sequence[str]) -> Json:
    admin.set_blocked_peers(urls)
    return True


def _read_urls(value: Any) -> list[str]:
    return [read_text(item) for item in read_list(value)]


def _node_info(backend: Backend, admin: AdminBackend) -> Json:
    chain, head = backend.chain, backend.chain.head
    key_part, _, place = admin.enode_url.removeprefix("enode://").partition("@")
    address = place.partition("?")[0]
    host, _, port = address.rpartition(":")
    return {
        "id": _node_id(bytes.fromhex(key_part)),
        "name": backend.client_version,
        "enode": admin.enode_url,
        "ip": host.strip("[]"),
        "ports": {"discovery": 0, "listener": int(port)},
        "listenAddr": address,
        "protocols": {
            "eth": {
                "network": backend.network.network_id,
                "difficulty": chain.total_difficulty(head.hash) or 0,
                "genesis": hex_of(chain.genesis.hash),
                "head": hex_of(head.hash),
            }
        },
    }


def _peer_json(peer: PeerReport) -> Json:
    return {
        "id": _node_id(peer.id),
        "name": peer.name,
        "enode": peer.enode,
        "caps": list(peer.capabilities),
        "network": {
            "localAddress": peer.local_address,
            "remoteAddress": peer.remote_address,
            "inbound": peer.inbound,
            "trusted": peer.trusted,
            "static": peer.static,
        },
        "protocols": {
            "eth": {
                "version": peer.eth_version,
                "difficulty": peer.total_difficulty,
                "head": hex_of(peer.head_hash),
            }
        },
    }


def _node_id(public_key: bytes) -> str:
    """geth names a node by the keccak of its key, without 0x."""
    return keccak256(public_key).hex()
