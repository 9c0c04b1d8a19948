"""What goes wrong with a local network, in words for the person at the terminal."""

from node.primitives.errors import PhoenixError


class DevnetError(PhoenixError):
    """The command cannot go on; the text names the cause and the cure."""


class NodeFailed(DevnetError):
    """One node is at fault; its log says more."""

    def __init__(self, node: str, what: str) -> None:
        super().__init__(f"{node}: {what}")
        self.node = node
