"""The root of the error tree: an error says whose fault it is, so that callers catch by fault.

ChainError    theirs    a peer, or what it sent: score it, drop it, go on
RequestError  theirs    a client's request: answer it with the reason, go on
ConfigError   operator  print every problem, exit with code 2
StorageError  disk      stop the node; never guess at data
assert        ours      crash
"""

from collections.abc import Sequence


class PhoenixError(Exception):
    """Anything this program raises on purpose."""


class ChainError(PhoenixError):
    """What a stranger sent breaks a rule: a block, a transaction, a message, an encoding."""


class RequestError(PhoenixError):
    """A client asked for something that cannot be answered; the text is for the client."""


class StorageError(PhoenixError):
    """The disk holds something other than what was written to it, or refuses to work."""


class ConfigError(PhoenixError):
    """What the operator wrote makes no sense; carries every problem found, each with its place."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
