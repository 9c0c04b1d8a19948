"""A simulated edge: replicas over one real chain, honest and lying, and light clients that follow them.

The chain is real (executed, sealed, with proofs), and so is all of the light client but its sockets: the
clients are polled one after the other at simulated times, by a seed. What an upstream is asked is counted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final

from consensus.clique.extra_data import seal_hash, sealed
from consensus.clique.rules import CliqueRules
from node.chain.genesis import genesis_block
from node.execution.evm.executor import FastExecutor
from node.light.catch_up import Follower
from node.light.chain import HeaderChain
from node.light.client import LightClient
from node.light.errors import NothingProved, Unreachable, UpstreamRefusal
from node.light.reads import ProofClaim
from node.light.trust import TrustFile
from node.light.upstreams import Source, Upstreams
from node.light.verifier import Trusted
from node.primitives.block import Header
from node.primitives.crypto import PrivateKey
from node.primitives.ids import Address, Hash32
from node.primitives.transaction import Transaction
from tests.chain.harness import ACCOUNTS, KEYS, ChainMaker, make_spec, random_transfers

SIGNERS: Final = KEYS[:5]
EPOCH_BLOCKS: Final = 30
STRANGER: Final = PrivateKey(b"\x42" * 32)
LIES: Final = ("stale", "silent", "stranger's seal", "false state", "altered proofs", "no history")
"""Ways of a dishonest replica; each lies one way."""


class Core:
    """The validators' chain, with its side branches."""

    def __init__(self, random: Random) -> None:
        spec = make_spec(SIGNERS, clique={"period": 2, "epoch": EPOCH_BLOCKS})
        self.maker = ChainMaker(spec, executor=FastExecutor(None))
        self.spec, self.genesis = self.maker.spec, self.maker.reader.genesis
        self._random = random
        self._nonces: dict[Hash32, dict[str, int]] = {self.genesis.hash: {}}
        self.difficulty = {self.genesis.hash: self.genesis.difficulty}
        """Total, of every block that a validator has ever made."""

    @property
    def head(self) -> Header:
        """What the validators agree on."""
        return self.maker.head

    def seal(self, parent: Header, transfers: int) -> Header:
        """One block on a parent, by any signer who may: in turn or not."""
        nonces = dict(self._nonces[parent.hash])
        state: Any = self.maker.reader.engine_state(parent.hash)
        able = [key for key in SIGNERS if state.last_signed(key.address) is None]
        signer = self._random.choice(able) if self._random.random() < 0.2 else None
        moved = random_transfers(self._random, nonces, transfers)
        made = self.maker.make(parent, moved, signer=signer).header
        self._nonces[made.hash] = nonces
        self.difficulty[made.hash] = self.difficulty[parent.hash] + made.difficulty
        return made

    def header(self, block_hash: Hash32) -> Header | None:
        """Of any branch."""
        return self.maker.reader.header(block_hash)

    def branch(self, head: Header, first: int, count: int) -> list[Header]:
        """So many headers of the branch that ends in a head."""
        found: list[Header] = []
        while head.number >= first:
            if head.number < first + count:
                found.append(head)
            parent = self.header(head.parent_hash)
            if parent is None:
                break
            head = parent
        return found[::-1]

    def balance(self, header: Header, address: Address) -> int:
        """The truth."""
        account = self.maker.chain.state.view(header.hash).account(address)
        return 0 if account is None else account.balance


@dataclass
class Replica:
    """A Provider over the chain as far as this replica has it."""

    core: Core
    name: str
    lie: str | None = None
    lies_from: int = 0
    """Block number."""
    at: Header = field(init=False)
    served: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.at = self.core.genesis

    @property
    def lying(self) -> str | None:
        """How it lies by now."""
        return self.lie if self.at.number >= self.lies_from else None

    def hear(self, head: Header) -> None:
        """The chain goes on: fork choice is by total difficulty, and one that is stale stands still."""
        known = self.core.difficulty
        if self.lying != "stale" and known[head.hash] > known[self.at.hash]:
            self.at = head

    # --- the port

    def chain_id(self) -> int:
        return self.core.spec.chain_id

    def head(self) -> Header:
        self.served["head"] += 1
        match self.lying:
            case "silent":
                raise Unreachable(f"{self.name} does not answer")
            case "stranger's seal":
                return self._forged(STRANGER, self.at.state_root)
            case "false state":
                state: Any = self.core.maker.reader.engine_state(self.at.parent_hash)
                key = next(key for key in SIGNERS if state.last_signed(key.address) is None)
                return self._forged(key, Hash32(b"\x66" * 32))
        return self.at

    def header(self, block_hash: Hash32) -> Header | None:
        self.served["headers"] += 1
        return self.core.header(block_hash)

    def headers(self, first: int, count: int) -> list[Header]:
        self.served["requests"] += 1
        self.served["headers"] += count
        if self.lying == "no history":
            raise UpstreamRefusal(self.name, "debug_getRawHeader", -32000, "header not found")
        found = self.core.branch(self.at, first, count)
        if len(found) < count:
            raise UpstreamRefusal(self.name, "debug_getRawHeader", -32000, "header not found")
        return found

    def proofs(self, block_hash: Hash32, wanted: Sequence[tuple[Address, Sequence[int]]]) -> list[ProofClaim]:
        self.served["proofs"] += len(wanted)
        claims = []
        for address, slots in wanted:
            nodes = self.core.maker.chain.state.proof(block_hash, address, slots).nodes
            if self.lying == "altered proofs":
                nodes = (*nodes[:-1], nodes[-1][:-1] + bytes([nodes[-1][-1] ^ 1]))
            claims.append(ProofClaim(address, nodes))
        return claims

    def access_list(self, call: dict[str, str], block_hash: Hash32) -> Any:
        return ()

    def send(self, tx: Transaction) -> None:
        raise UpstreamRefusal(self.name, "eth_sendRawTransaction", -32000, "not here")

    def last_exchange(self) -> tuple[bytes, bytes]:
        return b"", b""

    def close(self) -> None:
        pass

    def _forged(self, key: PrivateKey, root: Hash32) -> Header:
        """The head again by another hand, or over another state."""
        state: Any = self.core.maker.reader.engine_state(self.at.parent_hash)
        distance = state.distance(self.at.number, key.address)
        forged = replace(self.at, state_root=root, difficulty=2 if distance == 0 else 1, gas_used=0)
        return sealed(forged, key.sign(seal_hash(forged)))


@dataclass
class Edge:
    """One light client: it joins, sleeps, wakes, is started again, and asks now and then."""

    core: Core
    name: str
    folder: Path
    upstreams: list[Replica]
    start: Trusted
    unix_time: Any
    sleeps_until_ms: float = 0.0
    polls: int = 0
    restarts: int = 0
    answers: int = 0
    refusals: int = 0
    wrong: list[str] = field(default_factory=list)
    client: LightClient | None = None

    def open(self) -> None:
        """Start, or start again from what its disk holds."""
        spec, rules, start = self.core.spec, CliqueRules(self.core.spec.engine, 256), self.start
        chain = HeaderChain(
            spec,
            rules,
            lambda: start,
            TrustFile(self.folder / f"{self.name}.log"),
            tag=start.header.hash,
            headers_kept=512,
            witnesses=2,
            unix_time=self.unix_time,
        )
        follower = Follower(
            chain,
            rules,
            EPOCH_BLOCKS,
            trust_period_s=1e9,
            unix_time=self.unix_time,
            clock=self.unix_time,
            pause=lambda _: None,
        )
        sources = [Source(replica) for replica in self.upstreams]
        upstreams = Upstreams(sources, unix_time=self.unix_time, clock=self.unix_time)
        genesis = genesis_block(spec).header
        self.client = LightClient(
            spec, rules, genesis, chain, upstreams, follower, poll_interval_s=1.0, counts_from_genesis=False
        )

    def poll(self, random: Random) -> None:
        """Look at each upstream once, in some order, and check what is shown."""
        assert self.client is not None
        self.polls += 1
        for source in random.sample(self.client.upstreams.sources, len(self.upstreams)):
            if source.dropped is None and source.rests_until <= self.unix_time():
                self.client.poll(source)
                self._check(self.client.head)

    def ask(self, random: Random) -> None:
        """A balance after the block that is shown: the truth, or none."""
        assert self.client is not None
        head = self.client.head
        address = Address(bytes.fromhex(random.choice(ACCOUNTS).address[2:]))
        try:
            account = self.client.state.account(head, address).account
        except NothingProved:
            self.refusals += 1
            return
        self.answers += 1
        if (0 if account is None else account.balance) != self.core.balance(head, address):
            self.wrong.append(f"{self.name}: a wrong balance after block {head.ref}")

    def close(self) -> None:
        """Stop; what is on the disk stays."""
        if self.client is not None:
            self.client.close()
        self.client = None

    def _check(self, shown: Header) -> None:
        if shown.hash not in self.core.difficulty:
            self.wrong.append(f"{self.name}: shows block {shown.ref}, which no validator made")
