"""What must hold in every history, watched while it happens."""

from consensus.clique.rules import CliqueRules
from consensus.clique.snapshot import CliqueSnapshot
from node.primitives.block import Header
from node.primitives.ids import Hash32
from tests.consensus.ledger import Ledger
from tests.simulation.options import GuardRule
from tests.simulation.timeline import Timeline


class Broken(AssertionError):
    """A history broke a rule; the text is for whoever replays the seed."""


class Checkers:
    """Safety, and the history as text."""

    def __init__(self, timeline: Timeline, rules: CliqueRules, guard: GuardRule) -> None:
        self.lines: list[str] = []
        self.verbose = False
        self.signatures = 0
        self._timeline = timeline
        self._rules = rules
        self._guard = guard
        self._start_ms = timeline.now_ms
        self._signed: dict[tuple[str, object], Hash32] = {}
        self._weight: dict[str, int] = {}
        self._states: dict[Hash32, CliqueSnapshot] = {}

    def signed(self, node: str, header: Header, digest: Hash32, weight: int) -> None:
        """Never two headers on one parent, never a step back, and by height never two at one height."""
        self.signatures += 1
        self._once(node, ("parent", header.parent_hash), digest)
        match self._guard:
            case GuardRule.HEIGHT:
                self._once(node, ("height", header.number), digest)
            case GuardRule.WEIGHT if weight <= self._weight.get(node, 0):
                raise Broken(f"{node} signed weight {weight} after {self._weight[node]}")
            case GuardRule.WEIGHT:
                self._weight[node] = weight

    def _once(self, node: str, slot: object, digest: Hash32) -> None:
        if self._signed.setdefault((node, slot), digest) != digest:
            raise Broken(f"{node} signed two different headers for {slot}")

    def stored(self, node: str, header: Header, state: CliqueSnapshot) -> None:
        """Votes, signers and recents after a block are the same on every node, whatever it saw before."""
        if self._states.setdefault(header.hash, state) != state:
            raise Broken(f"{node} makes something else of {header.ref} than the others")

    def tell(self, node: str, text: str) -> None:
        """Keep a line of the history; print it at once when that is wanted."""
        line = f"{(self._timeline.now_ms - self._start_ms) / 1000:9.3f}  {node:1}  {text}"
        self.lines.append(line)
        if self.verbose:
            print(line)

    def chain(self, headers: list[Header], epoch_blocks: int) -> None:
        """The finished chain, judged anew from its genesis: windows, turns and votes, the long way round."""
        ledger = Ledger(self._rules.initial(headers[0]).signers)
        authors: list[object] = []
        for header in headers[1:]:
            author = self._rules.author(header)
            window = len(ledger.signers) // 2
            if author not in ledger.signers or (window and author in authors[-window:]):
                raise Broken(f"{header.ref} was made by who may not make it")
            in_turn = sorted(ledger.signers).index(author) == header.number % len(ledger.signers)
            if header.difficulty != (2 if in_turn else 1):
                raise Broken(f"{header.ref} states the wrong turn")
            authors.append(author)
            authorise, begins = header.nonce != bytes(8), header.number % epoch_blocks == 0
            ledger.block(author, header.beneficiary, authorise, epoch_begins=begins)
            if set(self._states[header.hash].signers) != ledger.signers:
                raise Broken(f"the signers after {header.ref} are not those that the votes make")
