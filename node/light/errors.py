"""Why an upstream's answer is not used. What it gets wrong is a ChainError, as everywhere."""

from node.primitives.errors import ChainError, PhoenixError, RequestError


class UpstreamFault(PhoenixError):
    """No usable answer, without proof of bad faith: unreachable, slow, too large, or holding back."""


class Unreachable(UpstreamFault):
    """No connection, or it broke."""


class TooSlow(UpstreamFault):
    """The answer was not there when the time for it was up."""


class TooLarge(UpstreamFault):
    """The answer has more bytes than any honest one can have."""


class Withheld(UpstreamFault):
    """It does not give what it must have, by its own word."""


class Inconsistent(UpstreamFault):
    """Its answers do not fit together: a reorganisation came between, or it makes them up."""


class UpstreamRefusal(RequestError):
    """A JSON-RPC error of the upstream, in its words."""

    def __init__(self, name: str, method: str, code: int, text: str) -> None:
        super().__init__(f"{name} refuses {method}: {text}")
        self.code = code
        self.text = text


class InvalidClaim(ChainError):
    """An upstream's claim is disproved by what it sent itself, or by the header that commits to it."""


class InvalidCheckpoint(ChainError):
    """A checkpoint that does not hold together, or lacks signatures that the operator demands."""


class NothingProved(RequestError):
    """No upstream gave an answer that could be proved; names each with its reason."""
