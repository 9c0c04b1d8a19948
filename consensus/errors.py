"""Why a seal, a consensus message or an operator's proposal is refused."""

from node.primitives.errors import ChainError, RequestError


class InvalidSeal(ChainError):
    """A header breaks a rule of its consensus engine."""


class InvalidMessage(ChainError):
    """A consensus message breaks a rule of its engine."""


class ProposalRefused(RequestError):
    """A proposed change of the validator set would do nothing, or would end the chain."""
