"""A manifest: TOML -> Network, all problems at once, each with its place."""

import dataclasses
import difflib
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_type_hints

from node.config.document import Document, read_document
from node.config.values import Unfit, convert
from node.primitives.errors import ConfigError

NETWORKS: Final = Path(__file__).parent / "networks"
PORT_MAX: Final = 65_535
NODES_MAX: Final = 64
ADMIN_ABOVE_RPC: Final = 100
ACCOUNTS_MAX: Final = 10_000

ForkChoiceName = Literal["eip-3436", "total-difficulty"]
KeyPlace = Literal["keystore", "token"]
TierName = Literal["", "core", "regional", "edge"]
Role = Literal["validator", "full", "replica", "light", "archive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The first node's ports; the node at place i has them plus i."""

    p2p: int = 30300
    rpc: int = 8545
    metrics: int = 9545
    """Those of the signers follow behind."""
    admin: int | None = None
    """Of administrative methods; absent, ADMIN_ABOVE_RPC above rpc."""

    @property
    def first_admin(self) -> int:
        """The first node's admin port."""
        return self.rpc + ADMIN_ABOVE_RPC if self.admin is None else self.admin


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Accounts that own something in block 0."""

    count: int = 10
    balance_ether: int = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """One node of the network."""

    name: str
    role: Role = "validator"
    key: KeyPlace = "keystore"
    """Of a validator; token: in software behind a signer of its own, where SoftHSM2 is installed."""
    organisation: str = "operator"
    tier: TierName = ""
    """Where it stands; "": as its role usually does (devnet/members.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network as its manifest describes it."""

    name: str
    chain_id: int
    period_s: int = 2
    epoch_blocks: int = 30_000
    fork_choice: ForkChoiceName = "eip-3436"
    gas_limit: int = 30_000_000
    zero_base_fee: bool = False
    contract_suite: bool = True
    """Block 0 holds the contract suite's doors, and `up` deploys the suite behind them."""
    seed: str
    """All keys follow from it."""
    ports: Ports = field(default_factory=Ports)
    accounts: Accounts = field(default_factory=Accounts)
    nodes: tuple[NodePlan, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Nodes in order of the manifest."""
        return tuple(node.name for node in self.nodes)

    @property
    def validators(self) -> tuple[str, ...]:
        """Nodes that seal from block 1 on."""
        return tuple(node.name for node in self.nodes if node.role == "validator")


def load_manifest(name_or_path: str) -> Network:
    """A network by its name in devnet/networks or the path of its file. ConfigError lists every problem."""
    path = NETWORKS / f"{name_or_path}.toml"
    if "/" in name_or_path or name_or_path.endswith(".toml"):
        path = Path(name_or_path)
    elif not path.is_file():
        kept = ", ".join(sorted(file.stem for file in NETWORKS.glob("*.toml")))
        raise ConfigError([f"no network {name_or_path!r} in {NETWORKS}; there are: {kept}"])
    document = read_document(path)
    problems: list[str] = []
    network = _read(Network, document.tree, (), document, problems)
    if not problems:
        problems += [f"{document.place(keys)}: {text}" for keys, text in _contradictions(network)]
    if problems:
        raise ConfigError(problems)
    assert isinstance(network, Network)
    return network


def _read(
    kind: type, table: Mapping[str, Any], at: tuple[str, ...], document: Document, problems: list[str]
) -> Any:
    """An instance of dataclass `kind`; None when something was wrong, which is then among the problems."""
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    before = len(problems)
    for key, value in table.items():
        if key not in hints:
            close = difflib.get_close_matches(key, hints, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(hints)}"
            problems.append(f"{document.place((*at, key))}: {key} is not known here{hint}")
        else:
            values[key] = _value(hints[key], value, (*at, key), document, problems)
    problems += [
        f"{document.place(at)}: {'.'.join((*at, missing))} is missing"
        for missing in _required(kind)
        if missing not in table
    ]
    return kind(**values) if len(problems) == before else None


def _value(kind: Any, value: object, at: tuple[str, ...], document: Document, problems: list[str]) -> Any:
    place = document.place(at)
    if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        assert isinstance(kind, type)
        return _read(kind, value, at, document, problems)
    if kind == tuple[NodePlan, ...]:
        if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            return tuple(_read(NodePlan, item, at, document, problems) for item in value)
        problems.append(f"{place}: {at[-1]} is a list of tables; write [[{at[-1]}]] above each")
        return None
    if dataclasses.is_dataclass(kind):
        problems.append(f"{place}: {at[-1]} is a section; write [{at[-1]}]")
        return None
    try:
        return convert(value, kind, document.path.parent, is_text=False)
    except Unfit as unfit:
        problems.append(f"{place}: {'.'.join(at)} {unfit}")
        return None


def _required(kind: Any) -> Iterator[str]:
    for each in dataclasses.fields(kind):
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            yield each.name


def _contradictions(network: Network) -> Iterator[tuple[tuple[str, ...], str]]:
    """(where, what) for values that are well typed and make no network."""
    names = network.names
    if not 1 <= len(names) <= NODES_MAX:
        yield ("nodes",), f"{len(names)} nodes; 1 to {NODES_MAX} are possible"
    if not network.validators:
        yield ("nodes",), 'no node has role = "validator"; nobody would make blocks'
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield ("nodes",), f"two nodes are called {name!r}"
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name):
            yield ("nodes",), f"{name!r} is no name for a node: a to z, digits and '-', a letter first"
    least = {"chain_id": 1, "period_s": 1, "epoch_blocks": 1, "gas_limit": 5_000}
    for key, minimum in least.items():
        if getattr(network, key) < minimum:
            yield (key,), f"{key} is {getattr(network, key)}; {minimum} or more is needed"
    if not 1 <= network.accounts.count <= ACCOUNTS_MAX:
        yield ("accounts", "count"), f"{network.accounts.count} accounts; 1 to {ACCOUNTS_MAX} are possible"
    yield from check_ports(network)


def check_ports(network: Network) -> Iterator[tuple[tuple[str, ...], str]]:
    """(where, what) for ports that do not exist or that two listeners would share."""
    size = max(1, len(network.nodes))
    tokens = sum(node.key == "token" for node in network.nodes)
    ports = network.ports
    starts = {"p2p": ports.p2p, "rpc": ports.rpc, "metrics": ports.metrics, "admin": ports.first_admin}
    sizes = dict.fromkeys(starts, size) | {"metrics": size + tokens}
    ranges = [(key, range(first, first + sizes[key])) for key, first in starts.items()]
    for key, each in ranges:
        if not 1 <= each[0] <= each[-1] <= PORT_MAX:
            yield ("ports", key), f"ports {each[0]} to {each[-1]} do not all exist"
    for (one, ours), (other, theirs) in itertools.combinations(ranges, 2):
        if ours[0] <= theirs[-1] and theirs[0] <= ours[-1]:
            yield (
                ("ports", other),
                f"the {other} ports from {theirs[0]} overlap the {one} ports from {ours[0]}",
            )
