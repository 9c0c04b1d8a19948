"""A set of validators: ascending, so that an index means the same on every node."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from node.primitives.ids import Address


@dataclass(frozen=True, slots=True)
class Validators:
    """Who may make blocks. Made by `validators_of`; immutable, shared by all states in which it holds."""

    addresses: tuple[Address, ...]
    """Ascending, each once."""

    def __post_init__(self) -> None:
        pairs = zip(self.addresses, self.addresses[1:], strict=False)
        assert all(lower < higher for lower, higher in pairs), "validators are ascending, each once"

    def __len__(self) -> int:
        return len(self.addresses)

    def __iter__(self) -> Iterator[Address]:
        return iter(self.addresses)

    def __contains__(self, address: Address) -> bool:
        return self.index(address) is not None

    @property
    def majority(self) -> int:
        """The smallest number that is more than half: floor(N / 2) + 1."""
        return len(self.addresses) // 2 + 1

    def index(self, address: Address) -> int | None:
        """The place in ascending order, from 0; None for a stranger."""
        place = bisect_left(self.addresses, address)
        if place < len(self.addresses) and self.addresses[place] == address:
            return place
        return None

    def plus(self, address: Address) -> "Validators":
        """The set with one more; the same set when it is there already."""
        return validators_of((*self.addresses, address))

    def minus(self, address: Address) -> "Validators":
        """The set with one less; the same set when it is not there."""
        return Validators(tuple(other for other in self.addresses if other != address))


def validators_of(addresses: Iterable[Address]) -> Validators:
    """The set of these addresses, in whatever order and however often they are named."""
    return Validators(tuple(sorted(set(addresses))))
