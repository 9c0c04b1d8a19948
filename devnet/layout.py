"""Where everything of a running network lies, and how its nodes are reached.

.devnet/
  network.json             the network as it was generated
  genesis.json
  members.toml             who may connect: organisations and tiers
  ports.json               ports chosen on the command line, if any
  lock                     held by a command that changes something
  nodes/alpha/
    node.toml  nodekey     (all 0600)
    keystore/  password    validators and archive nodes
    signer/                where its key lies in a token: see `signers`
    data/                  the node's own
    node.log
    process.json           pid with its start time
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from devnet.errors import DevnetError
from devnet.keys import accounts_of, node_key
from devnet.manifest import Accounts, Network, NodePlan, Ports

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class SignerFiles:
    """A node's signer, where its key lies in a token (see `signers`)."""

    name: str
    folder: Path
    port: int

    @property
    def config(self) -> Path:
        """Settings; there once the signer is generated, and whole then."""
        return self.folder / "signer.toml"

    @property
    def tokens(self) -> Path:
        """Where SoftHSM2 keeps the token."""
        return self.folder / "tokens"

    @property
    def token_config(self) -> Path:
        """Tells SoftHSM2 so."""
        return self.folder / "softhsm2.conf"

    @property
    def pin(self) -> Path:
        """Opens the token."""
        return self.folder / "pin"

    @property
    def ca(self) -> Path:
        """Who vouches for signer and node."""
        return self.folder / "ca.pem"

    @property
    def log(self) -> Path:
        """What the process writes, the audit of each signature among it."""
        return self.folder / "signer.log"

    @property
    def process(self) -> Path:
        """Which process runs it."""
        return self.folder / "process.json"

    @property
    def url(self) -> str:
        """Where it answers its clients."""
        return f"https://{HOST}:{self.port}"


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """One node's places and addresses."""

    plan: NodePlan
    folder: Path
    p2p_port: int
    rpc_port: int
    metrics_port: int
    admin_port: int
    enode: str
    signer_port: int

    @property
    def signer(self) -> SignerFiles:
        """Its signer, if it has one."""
        return SignerFiles(f"{self.name}-signer", self.folder / "signer", self.signer_port)

    @property
    def has_signer(self) -> bool:
        """Whether its key lies in a token behind a signer."""
        return self.signer.config.exists()

    @property
    def name(self) -> str:
        """As in the manifest."""
        return self.plan.name

    @property
    def config(self) -> Path:
        """Settings, as `phoenix run --config` takes them."""
        return self.folder / "node.toml"

    @property
    def keystore(self) -> Path:
        """The folder of the encrypted sealing key; validators only."""
        return self.folder / "keystore"

    @property
    def password(self) -> Path:
        """Opens the keystore."""
        return self.folder / "password"

    @property
    def node_key(self) -> Path:
        """The identity on the network."""
        return self.folder / "nodekey"

    @property
    def data_dir(self) -> Path:
        """The node's database."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the process writes."""
        return self.folder / "node.log"

    @property
    def process(self) -> Path:
        """Which process runs it."""
        return self.folder / "process.json"

    @property
    def rpc_url(self) -> str:
        """JSON-RPC over HTTP."""
        return f"http://{HOST}:{self.rpc_port}"

    @property
    def admin_url(self) -> str:
        """JSON-RPC with the methods that change the node."""
        return f"http://{HOST}:{self.admin_port}"

    @property
    def ws_url(self) -> str:
        """JSON-RPC over WebSocket."""
        return f"ws://{HOST}:{self.rpc_port}"


@dataclass(frozen=True, slots=True)
class Layout:
    """A network below its home directory."""

    home: Path
    network: Network

    @property
    def genesis(self) -> Path:
        """geth's genesis.json."""
        return self.home / "genesis.json"

    @property
    def accounts(self) -> list[dict[str, str]]:
        """Address and private key of each funded account."""
        return accounts_of(self.network.seed, self.network.accounts.count)

    @property
    def nodes(self) -> tuple[NodeFiles, ...]:
        """All nodes, in order of the manifest."""
        return tuple(self._node(place, plan) for place, plan in enumerate(self.network.nodes))

    @property
    def peers(self) -> tuple[NodeFiles, ...]:
        """Those that meet over the peer-to-peer network: all but light clients."""
        return tuple(node for node in self.nodes if node.plan.role != "light")

    @property
    def upstreams(self) -> tuple[NodeFiles, ...]:
        """Whom light clients ask: replicas, as at the edge, and a validator to hold them against."""
        replicas = [node for node in self.peers if node.plan.role not in ("validator", "archive")]
        validators = [node for node in self.peers if node.plan.role == "validator"]
        return (*replicas, *validators[: 1 if replicas else 2])

    @property
    def archives(self) -> tuple[NodeFiles, ...]:
        """Those that keep every state and write files."""
        return tuple(node for node in self.nodes if node.plan.role == "archive")

    def node(self, name: str) -> NodeFiles:
        """One node; DevnetError naming those that exist."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise DevnetError(f"there is no node {name!r}; the network has {', '.join(self.network.names)}")

    def service(self, name: str) -> NodeFiles | SignerFiles:
        """A node or a signer; DevnetError naming the nodes."""
        for node in self.nodes:
            if node.has_signer and node.signer.name == name:
                return node.signer
        return self.node(name)

    def _signers_before(self, place: int) -> int:
        return sum(plan.key == "token" for plan in self.network.nodes[:place])

    def _node(self, place: int, plan: NodePlan) -> NodeFiles:
        ports = self.network.ports
        identity = node_key(self.network.seed, plan.name).public_key.hex()
        return NodeFiles(
            plan=plan,
            folder=self.home / "nodes" / plan.name,
            p2p_port=ports.p2p + place,
            rpc_port=ports.rpc + place,
            metrics_port=ports.metrics + place,
            admin_port=ports.first_admin + place,
            signer_port=ports.metrics + len(self.network.nodes) + self._signers_before(place),
            enode=f"enode://{identity}@{HOST}:{ports.p2p + place}",
        )


def network_file(home: Path) -> Path:
    """Remembers what was generated, so that later commands need no manifest."""
    return home / "network.json"


def encode_network(network: Network) -> str:
    """The network as JSON."""
    return json.dumps(dataclasses.asdict(network), indent=2) + "\n"


def open_layout(home: Path) -> Layout:
    """The network that was generated in `home`; DevnetError when there is none."""
    path = network_file(home)
    try:
        tree = json.loads(path.read_text())
    except FileNotFoundError:
        raise DevnetError(f"no network in {home}; `python -m devnet up` makes one") from None
    except (OSError, ValueError) as error:
        raise DevnetError(
            f"{path} cannot be read ({error}); `python -m devnet up --fresh` starts anew"
        ) from error
    nodes = tuple(NodePlan(**node) for node in tree.pop("nodes"))
    ports, accounts = Ports(**tree.pop("ports")), Accounts(**tree.pop("accounts"))
    return Layout(home, Network(**tree, nodes=nodes, ports=ports, accounts=accounts))
