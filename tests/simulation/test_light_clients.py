"""Two hundred and fifty light clients: joins, gaps, restarts, reorganisations, upstreams that lie; one head.

Every answer any of them gives is held against the chain itself, and so is every head that any of them shows
at any time. What they cost their upstreams is counted.
"""

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from node.light import trust
from node.light.verifier import Trusted
from tests.simulation.light_world import EPOCH_BLOCKS, LIES, Core, Edge, Replica
from tests.simulation.timeline import Timeline

CLIENTS, HONEST, UPSTREAMS = 250, 12, 4
BEFORE, BLOCKS = 270, 30
PERIOD_MS, POLL_MS, ASK_MS = 2_000, 2_000, 10_000
LATE_MS_MAX = 700
"""So long until a replica hears of a block."""


class History:
    """One seed's history."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.random = Random(seed)
        self.core = Core(self.random)
        head = self.core.genesis
        for number in range(BEFORE):
            head = self.core.seal(head, transfers=2 if number % 50 == 0 else 0)
        self.timeline = Timeline(head.timestamp * 1000.0)
        self.replicas = [Replica(self.core, f"honest {n}") for n in range(HONEST)]
        self.liars = [
            Replica(self.core, lie, lie, lies_from=BEFORE + self.random.randrange(BLOCKS // 2))
            for lie in LIES
        ]
        for replica in (*self.replicas, *self.liars):
            replica.hear(head)
        self.edges = [self._edge(n, folder) for n in range(CLIENTS)]
        self.rivals = 0

    def unix_time(self) -> float:
        return self.timeline.now_ms / 1000

    def run(self) -> None:
        end_ms = self.timeline.now_ms + (BLOCKS + 6) * PERIOD_MS
        self.timeline.after(PERIOD_MS, lambda: self._seal(BLOCKS))
        for edge in self.edges:
            joins_ms = 0.0 if self.random.random() < 0.5 else self.random.uniform(0, BLOCKS * PERIOD_MS * 0.8)
            self.timeline.after(joins_ms, lambda edge=edge: self._begin(edge))
        self.timeline.run_until(end_ms)

    def _edge(self, number: int, folder: Path) -> Edge:
        """Half of its upstreams are honest at least, so that two witnesses are."""
        honest = self.random.randint(UPSTREAMS // 2, UPSTREAMS)
        upstreams = self.random.sample(self.replicas, honest)
        upstreams += self.random.sample(self.liars, UPSTREAMS - honest)
        self.random.shuffle(upstreams)
        # From block 0, or from a checkpoint that the operator gave it.
        epoch = (
            0 if self.random.random() < 0.1 else self.random.randrange(BEFORE // EPOCH_BLOCKS) * EPOCH_BLOCKS
        )
        reader = self.core.maker.reader
        header = reader.header_by_number(epoch)
        start = Trusted(header, reader.engine_state(header.hash), self.core.difficulty[header.hash])
        return Edge(self.core, f"edge {number}", folder, upstreams, start, self.unix_time)

    # --- deeds

    def _seal(self, left: int) -> None:
        """A block; now and then two validators make one each, and the branch that grows first wins."""
        head, made = self.core.head, []
        for _ in range(2 if self.random.random() < 0.2 else 1):
            try:
                made.append(self.core.seal(head, transfers=self.random.randrange(4)))
            except AssertionError:
                continue
        for block in made:
            for replica in (*self.replicas, *self.liars):
                self.timeline.after(self.random.uniform(0, LATE_MS_MAX), lambda r=replica, b=block: r.hear(b))
        self.rivals += len({block.hash for block in made}) > 1
        if left > 1:
            self.timeline.after(PERIOD_MS, lambda: self._seal(left - 1))

    def _begin(self, edge: Edge) -> None:
        edge.open()
        self._poll(edge)
        self._ask(edge)

    def _poll(self, edge: Edge) -> None:
        drawn = self.random.random()
        if drawn < 0.01:
            edge.close()
            edge.open()
            edge.restarts += 1
        elif drawn < 0.03 and self.core.head.number < BEFORE + BLOCKS // 2:
            # Offline: nothing is heard, nothing is asked.
            edge.sleeps_until_ms = self.timeline.now_ms + self.random.uniform(5, 15) * PERIOD_MS
        if self.timeline.now_ms >= edge.sleeps_until_ms:
            edge.poll(self.random)
        self.timeline.after(POLL_MS * self.random.uniform(0.8, 1.2), lambda: self._poll(edge))

    def _ask(self, edge: Edge) -> None:
        if self.timeline.now_ms >= edge.sleeps_until_ms:
            edge.ask(self.random)
        self.timeline.after(ASK_MS * self.random.uniform(0.5, 1.5), lambda: self._ask(edge))


@pytest.fixture
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Power cuts are tried elsewhere; ten thousand real fsyncs would be the longest part of this."""
    monkeypatch.setattr(trust.os, "fsync", lambda _: None)


@pytest.mark.long
@pytest.mark.usefixtures("quick_disk")
def test_all_end_on_one_head_and_none_ever_answers_wrongly(tmp_path: Path) -> None:
    history = History(7, tmp_path)
    history.run()
    edges, head = history.edges, history.core.head
    assert [line for edge in edges for line in edge.wrong] == []
    assert {edge.client.head.ref for edge in edges} == {head.ref}
    assert history.rivals >= 3
    assert sum(edge.restarts for edge in edges) >= 20
    assert sum(edge.answers for edge in edges) > 5 * CLIENTS
    assert sum(edge.refusals for edge in edges) < CLIENTS / 5
    check_upstreams(history)
    check_costs(history)
    for edge in edges:
        edge.close()


def check_upstreams(history: History) -> None:
    """Who is caught at a lie is dropped; nobody who is honest, or stale, silent or pruned."""
    dropped = Counter(
        source.name
        for edge in history.edges
        for source in edge.client.upstreams.sources
        if source.dropped is not None
    )
    assert set(dropped) == {"stranger's seal", "altered proofs"}
    followers = sum("stranger's seal" in {each.name for each in edge.upstreams} for edge in history.edges)
    # Who was started again since has forgotten it, and found it out anew.
    assert dropped["stranger's seal"] == followers > 20


def check_costs(history: History) -> None:
    """Each header about once for each client; one request a look; a proof for an answer, or a second one."""
    edges, upstreams = history.edges, (*history.replicas, *history.liars)
    served = sum((each.served for each in upstreams), Counter[str]())
    missing = sum(history.core.head.number - edge.start.header.number for edge in edges)
    assert served["headers"] < 1.5 * missing
    assert served["head"] <= UPSTREAMS * sum(edge.polls for edge in edges)
    assert served["requests"] < 0.15 * served["head"]
    assert served["proofs"] < 1.5 * sum(edge.answers for edge in edges)
    heads = [each.served["head"] for each in history.replicas]
    assert max(heads) < 2 * min(heads)
