"""A whole network from one seed: a storm, then calm; safety always, progress and agreement afterwards."""

from collections.abc import Mapping
from random import Random

from consensus.clique.rules import CliqueRules
from node.primitives.block import Header
from node.primitives.chain_spec import CliqueSpec
from tests.consensus import chains
from tests.simulation.checkers import Broken, Checkers
from tests.simulation.network import Network
from tests.simulation.node import TRANSACTION_WAIT_MS_MAX, Node, World
from tests.simulation.options import Options
from tests.simulation.timeline import Timeline

NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Cluster:
    """Nodes, network and clock of one history."""

    def __init__(self, options: Options, seed: int) -> None:
        self.options = options
        self.random = Random(seed)
        self.timeline = Timeline(now_ms=chains.GENESIS_TIME * 1000.0)
        self.network = Network(self.timeline, self.random, options)
        spec = CliqueSpec(options.period_s, options.epoch_blocks, options.fork_choice)
        rules = CliqueRules(spec)
        self.checkers = Checkers(self.timeline, rules, options.guard)
        self.signers = NAMES[: options.signers]
        self.spares = NAMES[options.signers : options.signers + options.spares]
        self.world = World(
            timeline=self.timeline,
            network=self.network,
            random=self.random,
            options=options,
            spec=spec,
            rules=rules,
            genesis=chains.genesis(self.signers),
            watcher=self.checkers,
        )
        self.nodes = {name: Node(name, self.world) for name in self.signers + self.spares}

    # --- what a history consists of

    def start(self, names: str | None = None) -> None:
        """Start these nodes, or all."""
        for name in self.nodes if names is None else names:
            self.nodes[name].start()

    def preload(self, trunk: str, branches: Mapping[str, str]) -> None:
        """Give nodes a past before the start: authors of the trunk, then of a branch for each group of names.

        The clock moves to the end of the longest branch.
        """
        longest = 0
        for names, authors in branches.items():
            headers = self.branch(trunk + authors)
            longest = max(longest, len(headers))
            for name in names:
                self.nodes[name].preload(headers)
        self.timeline.now_ms += longest * self.options.period_s * 1000

    def branch(self, authors: str) -> list[Header]:
        """Headers by these authors from genesis on, without genesis."""
        rules, parent = self.world.rules, self.world.genesis
        state, headers = rules.initial(parent), []
        for author in authors:
            header = chains.child(rules, state, parent, author, after_s=self.options.period_s)
            state, parent = rules.advance(state, parent, header), header
            headers.append(header)
        return headers

    def storm(self) -> None:
        """Faults by chance, period for period, while the nodes go on."""
        period_ms = max(self.options.period_s, 1) * 1000
        for _ in range(self.options.storm_ms // period_ms):
            if self.random.random() < self.options.partition_chance:
                self._cut()
            for node in self.nodes.values():
                if node.running and self.random.random() < self.options.crash_chance:
                    node.stop()
                elif not node.running and self.random.random() < 0.3:
                    node.start()
            self.run(period_ms)

    def calm(self) -> None:
        """End all faults; all nodes but the lost signers are up from now on."""
        self.network.heal()
        lost = self.random.sample(self.signers, self.options.lost_signers)
        self.checkers.tell("", f"the storm ends; lost for ever: {', '.join(sorted(lost)) or 'nobody'}")
        for node in self.nodes.values():
            if node.name in lost and node.running:
                node.stop()
            elif node.name not in lost and not node.running:
                node.start()
        for spare in self.spares:
            for node in self.up:
                node.propose(spare, authorise=True)

    def run(self, duration_ms: float) -> None:
        """Let time pass."""
        self.timeline.run_until(self.timeline.now_ms + duration_ms)

    def rest(self) -> None:
        """Seal no more, and let all messages arrive."""
        for node in self.nodes.values():
            node.sealing = False
        self.run(20_000)

    # --- what came of it

    @property
    def up(self) -> list[Node]:
        """The running nodes."""
        return [node for node in self.nodes.values() if node.running]

    @property
    def heads(self) -> dict[str, Header]:
        """Of the running nodes."""
        return {node.name: node.disk.head for node in self.up}

    @property
    def height(self) -> int:
        """Of the lowest running node."""
        return min(head.number for head in self.heads.values())

    @property
    def settled(self) -> bool:
        """Whether every proposal of every running node has become final."""
        return all(not node.proposals for node in self.up)

    def block_ms_max(self) -> int:
        """How long the next block may take in calm weather, when nobody but the slowest can make it."""
        options = self.options
        limit = (options.signers + options.spares) // 2 + 1
        slowest_ms = (
            options.period_s * 1000 + options.build_ms_max + options.sign_ms_max + limit * 500 + 1_500
        )
        # Where empty blocks are switched off, everybody may wait for a transaction, and perhaps twice.
        starves = options.period_s == 0 or not options.empty_blocks
        return slowest_ms + 2 * TRANSACTION_WAIT_MS_MAX if starves else slowest_ms

    def demand_progress(self, blocks: int) -> None:
        """In calm weather the chain grows by so many blocks and all proposals become final, or Broken."""
        goal = self.height + blocks
        for _ in range(3 * blocks):
            self.run(self.block_ms_max())
            if self.height >= goal and self.settled:
                return
        raise Broken(f"no progress from {goal - blocks} to {goal}, settled: {self.settled}\n{self.report()}")

    def demand_agreement(self) -> None:
        """All running nodes have one head, and its chain stands up to a second look."""
        self.rest()
        heads = set(self.heads.values())
        if len({head.hash for head in heads}) != 1:
            raise Broken(f"no agreement\n{self.report()}")
        node = self.up[0]
        signers = node.disk.states[node.disk.head.hash].signers
        if any(node.address not in signers for node in self.up):
            raise Broken(f"a spare was proposed everywhere, and is no signer\n{self.report()}")
        chain = [node.disk.head]
        while chain[-1].number:
            chain.append(node.disk.headers[chain[-1].parent_hash])
        self.checkers.chain(chain[::-1], self.options.epoch_blocks)

    def report(self) -> str:
        """Where everybody stands."""
        rows = (
            f"{n.name}  {n.disk.head.ref}  weight {n.disk.weights[n.disk.head.hash]}  {n.status}"
            for n in self.nodes.values()
        )
        return "\n".join(rows)

    def _cut(self) -> None:
        names = list(self.nodes)
        self.random.shuffle(names)
        pieces = self.random.randint(1, min(3, len(names)))
        groups = [names[start::pieces] for start in range(pieces)]
        self.checkers.tell("", f"cut: {' | '.join(''.join(sorted(group)) for group in groups)}")
        self.network.cut(groups)
