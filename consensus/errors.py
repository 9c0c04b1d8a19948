"""Why a seal or a consensus message is refused. The sender's fault, so all are ChainErrors."""

from node.primitives.errors import ChainError


class InvalidSeal(ChainError):
    """A header breaks a rule of its consensus engine."""


class InvalidMessage(ChainError):
    """A consensus message breaks a rule of its engine."""
