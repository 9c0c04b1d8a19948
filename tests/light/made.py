"""Chains of headers alone, made by letters (tests.consensus.chains), and a provider that tells of them."""

from collections.abc import Sequence
from typing import Any

from consensus.clique.rules import CliqueRules
from consensus.clique.snapshot import CliqueSnapshot
from node.light.errors import UpstreamRefusal
from node.primitives.block import Header
from node.primitives.chain_spec import ChainSpec
from node.primitives.ids import Hash32
from tests.chain.harness import make_spec
from tests.consensus.chains import address, child, genesis, key, name_of


class Made:
    """A chain that grows by whoever is next in turn, or by whom the caller names."""

    def __init__(self, signers: str, epoch_blocks: int = 30_000) -> None:
        self.genesis = genesis(signers)
        self.spec: ChainSpec = make_spec(
            [key(name) for name in signers], clique={"period": 2, "epoch": epoch_blocks}
        )
        self.rules = CliqueRules(self.spec.engine)
        self.headers = [self.genesis]
        self.states: list[CliqueSnapshot] = [self.rules.initial(self.genesis)]

    def fork(self, number: int) -> "Made":
        """Another chain with the same blocks up to this one."""
        other = object.__new__(Made)
        other.__dict__ |= self.__dict__
        other.headers, other.states = self.headers[: number + 1], self.states[: number + 1]
        return other

    def grow(self, count: int, **options: Any) -> "Made":
        """So many blocks more, each by the signer whose turn it is or comes next."""
        for _ in range(count):
            self.add(self.next_author(), **options)
        return self

    def add(self, author: str, **options: Any) -> Header:
        """One block by this signer."""
        header = child(self.rules, self.states[-1], self.headers[-1], author, **options)
        self.states.append(self.rules.advance(self.states[-1], self.headers[-1], header))
        self.headers.append(header)
        return header

    def next_author(self) -> str:
        """Who may seal next, the earliest in turn."""
        state, number = self.states[-1], self.headers[-1].number + 1
        able = [signer for signer in state.signers if state.last_signed(signer) is None]
        return name_of(min(able, key=lambda signer: state.distance(number, signer) or 0))

    def admit(self, name: str) -> None:
        """Vote a signer in, by as many as it takes."""
        while address(name) not in self.states[-1].signers:
            self.add(self.next_author(), vote=(name, True))

    def drop(self, name: str) -> None:
        """Vote a signer out."""
        while address(name) in self.states[-1].signers:
            author = self.next_author()
            self.add(author, vote=(name, False))


class MadeProvider:
    """The header methods of a Provider over a made chain."""

    def __init__(self, made: Made, name: str = "made") -> None:
        self.made, self.name = made, name
        self.asked = 0

    def head(self) -> Header:
        return self.made.headers[-1]

    def header(self, block_hash: Hash32) -> Header | None:
        return next((header for header in self.made.headers if header.hash == block_hash), None)

    def headers(self, first: int, count: int) -> list[Header]:
        self.asked += count
        found: Sequence[Header] = self.made.headers[first : first + count]
        if len(found) < count:
            raise UpstreamRefusal(self.name, "debug_getRawHeader", -32000, "header not found")
        return list(found)

    def last_exchange(self) -> tuple[bytes, bytes]:
        return b"", b""

    def close(self) -> None:
        pass
