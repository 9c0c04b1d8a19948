"""Another identity for a node: its peers dial the new one before the old one goes."""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from node.cli.rpc_client import CallFailed, NodeRpc
from node.config.data_dir import node_key_path
from node.config.settings import Settings
from node.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.primitives.crypto import PrivateKey
    from node.signing.rotation import Choreography

NEXT: Final = ".next"
OLD: Final = ".old"


class Waiting(Protocol):
    """How long the network is waited for."""

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Return once it holds."""
        ...


class NodeKeyRotation:
    """The steps for the key that a node is known by among its peers."""

    def __init__(
        self,
        settings: Settings,
        own: NodeRpc,
        peers: Sequence[NodeRpc],
        peer_configs: Sequence[Path],
        restart: Callable[[], None],
        wait: Waiting,
    ) -> None:
        """`peers` are told at once, through admin_; `peer_configs` are their settings, for the next start."""
        if not peers:
            raise ConfigError(["--peer names no peer; who should learn of the new identity?"])
        self._path = settings.node_key or node_key_path(settings.data_dir)
        self._own = own
        self._peers = peers
        self._peer_configs = peer_configs
        self._restart = restart
        self._wait = wait

    def choreography(self) -> "Choreography":
        """The steps, each with its reverse."""
        from node.signing.rotation import Deed, Deeds

        return Deeds(
            "node",
            {
                "made": Deed(
                    lambda facts: self._make(), lambda facts: self._side(NEXT).unlink(missing_ok=True)
                ),
                "told": Deed(
                    lambda facts: self._exchange(facts["old"], facts["new"], add=facts["new_enode"]),
                    self._take_word_back,
                ),
                "switched": Deed(
                    lambda facts: self._switch(self._side(NEXT), self._side(OLD), facts["new"]),
                    lambda facts: self._switch(self._side(OLD), self._side(NEXT), facts["old"]),
                ),
                "forgotten": Deed(
                    lambda facts: self._forget(facts["old_enode"]),
                    lambda facts: self._exchange(facts["new"], facts["new"], add=facts["old_enode"]),
                ),
            },
        )

    # --- the deeds

    def _make(self) -> Mapping[str, str]:
        from node.signing.keystore import write_secret_file

        enode = self._own.call("admin_nodeInfo")["enode"]
        if not self._side(NEXT).exists():
            write_secret_file(self._side(NEXT), secrets.token_bytes(32).hex().encode())
        old, new = _read(self._path).public_key.hex(), _read(self._side(NEXT)).public_key.hex()
        if old not in enode:
            raise ConfigError([f"{self._own.url} is {enode[:30]}…, not the node of {self._path}"])
        return {"old": old, "new": new, "old_enode": enode, "new_enode": enode.replace(old, new)}

    def _exchange(self, before: str, after: str, *, add: str) -> None:
        """All take one more for a member, peers dial it; their settings name the other one."""
        from node.signing.rotation import replace_file

        for node in (self._own, *self._peers):
            _admit(node, like=before, enode=add)
        for peer in self._peers:
            peer.call("admin_addPeer", add)
        for config in self._peer_configs:
            text = config.read_text()
            if before in text and before != after:
                replace_file(config, text.replace(before, after), mode=config.stat().st_mode & 0o777)

    def _take_word_back(self, facts: Mapping[str, str]) -> None:
        self._exchange(facts["new"], facts["old"], add=facts["old_enode"])
        self._forget(facts["new_enode"])

    def _switch(self, come: Path, go: Path, identity: str) -> None:
        if come.exists():
            # The old one is kept first: at no moment is there none.
            if not go.exists():
                os.link(self._path, go)
            come.replace(self._path)
        if not _is(self._own, identity):
            self._restart()
        self._wait.until(
            lambda: identity in self._own.call("admin_nodeInfo")["enode"], "the node has its new identity"
        )
        self._wait.until(
            lambda: all(_knows(peer, identity) for peer in self._peers),
            "every peer meets the new identity (a contract that decides has to list it, too)",
        )

    def _forget(self, enode: str) -> None:
        for peer in self._peers:
            peer.call("admin_removePeer", enode)
        for node in (self._own, *self._peers):
            if _members(node):
                node.call("perm_removeNodesFromAllowlist", [enode])

    def _side(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)


def _is(node: NodeRpc, identity: str) -> bool:
    """A node that does not answer is not known to be it."""
    try:
        return identity in node.call("admin_nodeInfo")["enode"]
    except CallFailed:
        return False


def _members(node: NodeRpc) -> Mapping[str, Any]:
    """The entries of a node's members' file by id; none where there is no file, or perm_ is switched off."""
    try:
        return {each["id"]: each for each in node.call("perm_getNodesAllowlist")}
    except CallFailed:
        return {}


def _admit(node: NodeRpc, *, like: str, enode: str) -> None:
    """A member of the same organisation and tier as the one whose place it takes."""
    member = _members(node).get(like)
    if member is not None:
        extra = {key: member[key] for key in ("organisation", "tier", "validator")}
        node.call("perm_addNodesToAllowlist", [enode], extra)


def _knows(peer: NodeRpc, identity: str) -> bool:
    return any(identity in each["enode"] for each in peer.call("admin_peers"))


def _read(path: Path) -> "PrivateKey":
    from node.primitives.crypto import PrivateKey
    from node.signing.keystore import read_secret_file

    return PrivateKey(bytes.fromhex(read_secret_file(path).decode().strip().removeprefix("0x")))
