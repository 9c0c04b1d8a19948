"""What a method is: a name, its parameters, the function that answers, and where that function may run."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from node.rpc.backend import Until
from node.rpc.jsonrpc import Json
from node.rpc.params import Param
from node.rpc.remembered import Holds


class Where(Enum):
    """Where a method's function runs, and what it is called with before its arguments."""

    LOOP = "loop"
    """On the event loop, called with nothing more: an answer in microseconds, at most a few point reads."""
    TASK = "task"
    """On the event loop, awaited: it waits for somebody. It may answer with Held."""
    SESSION = "session"
    """On the event loop, called with the connection's Session: only where notifications can be sent."""
    READ = "read"
    """In a worker thread, called with an Interrupted: reads a block or a few, in tens of milliseconds."""
    SCAN = "scan"
    """In a worker thread, called with an Interrupted: reads as many blocks as it is asked to."""
    CALL = "call"
    """In a worker thread, called with an Interrupted: runs code, mostly for less than a millisecond.

    Begun behind the reads; what is not done soon is begun again elsewhere, so it must have no effects.
    """
    TRACE = "trace"
    """In a worker thread, called with an Interrupted: runs code for as long as it takes."""


@dataclass(frozen=True, slots=True)
class Held:
    """An answer that is not to be given before something holds. The calls of a batch wait together."""

    answer: Json
    until: Until


@dataclass(frozen=True, slots=True)
class Method:
    """One entry of the table of methods."""

    name: str
    handler: Callable[..., Any]
    params: tuple[Param, ...] = ()
    where: Where = Where.LOOP
    light: Callable[..., bool] | None = None
    """For READ: whether these arguments make so little work that the loop does it at once, as most do.

    A thread costs ten times what a small answer costs. Called with the arguments, on the loop.
    """

    holds: Callable[..., Holds | None] | None = None
    """Called with the arguments once there is an answer: how long it holds. None: it is not kept."""
    together: Callable[[Sequence[Sequence[Any]]], AbstractAsyncContextManager[None]] | None = None
    """For TASK: entered before the calls of a batch are answered, with the arguments of all those that name
    this method, and left after them: what is quicker for many at once than for one after the other."""
    at_once: Callable[..., Held | None] | None = None
    """For TASK: the answer to a call of a batch, where nobody has to be waited for before it is held."""

    @property
    def namespace(self) -> str:
        """What stands before the underscore."""
        return self.name.partition("_")[0]
