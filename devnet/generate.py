"""Keys, genesis and settings of a network, as files below its home directory.

Generating again changes nothing that is right already. A chain is never thrown away unasked: when its genesis
would change, DevnetError says so. Settings files are written anew when the network's ports or nodes change.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from consensus.clique.extra_data import unsealed
from contracts.suite import NODE_INGRESS
from devnet import signers
from devnet.errors import DevnetError
from devnet.keys import accounts_of, archiving_key, node_key, sealing_key
from devnet.layout import HOST, Layout, NodeFiles, encode_network, network_file, open_layout
from devnet.manifest import Network
from devnet.members import MEMBERS_FILE, may_dial, members_file
from devnet.suite_genesis import REGISTRY, suite_doors, suite_rules
from node.primitives.ids import hex_of
from node.signing.keystore import list_keys, store_key

FILE_BLOCKS: Final = 16
"""Of an archive node's files: one is finished within a minute."""
FINAL_BLOCKS: Final = 8
"""On a file's last block before it is written."""
WEI_PER_ETHER: Final = 10**18
VANITY: Final = b"phoenix local network"
SCRYPT_N: Final = 1 << 12
"""The keys are public, so their password need not cost a second at each start."""
PASSWORD: Final = "public"
ANCHOR_S: Final = 60.0
"""Between anchors of an audit log; a real one takes an hour."""
FORK_KEYS: Final = (
    "homesteadBlock", "eip150Block", "eip155Block", "eip158Block", "byzantiumBlock", "constantinopleBlock",
    "petersburgBlock", "istanbulBlock", "berlinBlock", "londonBlock",
)  # fmt: skip


def generate(network: Network, home: Path) -> Layout:
    """Write all files of `network` below `home` that are missing or out of date."""
    layout = Layout(home, network)
    genesis = json.dumps(genesis_of(network), indent=2) + "\n"
    _refuse_another_chain(layout, genesis)
    changed = not network_file(home).exists() or open_layout(home).network != network
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(layout.genesis, genesis)
    if changed or not (home / MEMBERS_FILE).exists():
        _write(home / MEMBERS_FILE, members_file(network))
    for node in layout.nodes:
        _write_node(layout, node, changed)
    # Last, so that an interrupted generation is done again.
    _write(network_file(home), encode_network(network))
    return layout


def genesis_of(network: Network) -> dict[str, Any]:
    """Block 0 in geth's genesis.json format. Its time is fixed, so the hash follows from the manifest."""
    signers = sorted(sealing_key(network.seed, name).address for name in network.validators)
    balance = hex(network.accounts.balance_ether * WEI_PER_ETHER)
    config: dict[str, Any] = {"chainId": network.chain_id} | dict.fromkeys(FORK_KEYS, 0)
    config["clique"] = {"period": network.period_s, "epoch": network.epoch_blocks}
    if network.fork_choice != "total-difficulty":
        # The section that marks a network of our own; geth refuses to share what it cannot follow.
        config["phoenix"] = {"forkChoice": network.fork_choice} | suite_rules(network)
    if network.zero_base_fee:
        config["zeroBaseFee"] = True
    return {
        "config": config,
        "timestamp": "0x0",
        "gasLimit": hex(network.gas_limit),
        "difficulty": "0x1",
        "extraData": hex_of(unsealed(VANITY, signers)),
        "alloc": {
            account["address"]: {"balance": balance}
            for account in accounts_of(network.seed, network.accounts.count)
        }
        | archivists(network, balance)
        | suite_doors(network),
    }


def archivists(network: Network, balance: str) -> dict[str, dict[str, str]]:
    """The accounts of archive nodes, which pay for their anchors."""
    names = [node.name for node in network.nodes if node.role == "archive" and network.contract_suite]
    return {hex_of(archiving_key(network.seed, name).address): {"balance": balance} for name in names}


def settings_of(layout: Layout, node: NodeFiles) -> dict[str, Any]:
    """A node's settings, as node.toml states them; paths relative to that file."""
    settings: dict[str, Any] = {
        "name": node.name,
        "role": node.plan.role,
        "data_dir": node.data_dir.name,
        "genesis": os.path.relpath(layout.genesis, node.folder),
        "node_key": node.node_key.name,
        "p2p": {
            "host": HOST,
            "port": node.p2p_port,
            "static_peers": [
                other.enode
                for other in layout.peers
                if other.name != node.name and may_dial(node.plan, other.plan)
            ],
        },
        "rpc": {
            "host": HOST,
            "port": node.rpc_port,
            "namespaces": ["eth", "net", "web3", "txpool", "clique", "debug", "perm", "phoenix"],
            "admin_port": node.admin_port,
            "cors_origins": ["*"],
        },
        # Whoever can reach the loopback is the operator of a network whose keys are public anyway.
        "auth": {"admin_local_roles": ["admin"]},
        "observability": {"metrics_host": HOST, "metrics_port": node.metrics_port},
    }
    settings["permissioning"] = permissioning_of(layout, node)
    return settings | _of_role(layout, node, settings)


def _of_role(layout: Layout, node: NodeFiles, settings: dict[str, Any]) -> dict[str, Any]:
    """What only some roles have."""
    match node.plan.role:
        case "light":
            return {"light": _light(layout), "p2p": settings["p2p"] | {"static_peers": []}}
        case "replica":
            return _history(layout) | {"replica": {"upstreams": _preferred_validators(layout, node)}}
        case "archive":
            return {"archive": _archive(layout, node), "audit": _audit(layout, node)}
        case "validator":
            production = {
                "enabled": True,
                "gas_limit_target": layout.network.gas_limit,
                "extra_vanity": node.name,
            }
            return _history(layout) | {"production": production, "signing": _signing(layout, node)}
        case _:
            return _history(layout)


def _light(layout: Layout) -> dict[str, Any]:
    section: dict[str, Any] = {"upstreams": [other.rpc_url for other in layout.upstreams]}
    if not layout.network.contract_suite:
        return section
    # What deploys contracts takes a second to import.
    from devnet.suite import address_book

    book = address_book(layout.network)
    return section | ({"contract_names": book} if book else {})


def _history(layout: Layout) -> dict[str, Any]:
    """Whom to ask for what was pruned."""
    archives = layout.archives
    return {"storage": {"history_url": archives[0].rpc_url}} if archives else {}


def _audit(layout: Layout, node: NodeFiles) -> dict[str, Any]:
    """The head of its audit log goes on the chain, too, by the same account."""
    anchors = {key: value for key, value in _archive(layout, node).items() if key.startswith("anchor_")}
    return anchors | {"anchor_interval_s": ANCHOR_S} if anchors else {}


def _archive(layout: Layout, node: NodeFiles) -> dict[str, Any]:
    section: dict[str, Any] = {
        "blocks_per_file": FILE_BLOCKS,
        "final_depth_blocks": FINAL_BLOCKS,
        "poll_s": 1.0,
    }
    if not layout.network.contract_suite:
        return section
    (key_file,) = list_keys(node.keystore)
    return section | {
        "anchor_keystore": os.path.relpath(key_file.path, node.folder),
        "anchor_password_file": node.password.name,
        "anchor_registry": os.path.relpath(layout.home / REGISTRY, node.folder),
    }


def _preferred_validators(layout: Layout, node: NodeFiles) -> list[str]:
    """Their URLs, in an order of the node's own, so that not all replicas lean on one of them."""
    validators = [other for other in layout.nodes if other.plan.role == "validator"]
    start = layout.nodes.index(node) % len(validators)
    return [other.rpc_url for other in validators[start:] + validators[:start]]


def _signing(layout: Layout, node: NodeFiles) -> dict[str, Any]:
    if node.has_signer:
        return signers.signing_settings(layout, node)
    (key_file,) = list_keys(node.keystore)
    return {
        "keystore": os.path.relpath(key_file.path, node.folder),
        "password_file": node.password.name,
    }


def permissioning_of(layout: Layout, node: NodeFiles) -> dict[str, Any]:
    """Members only: by the file and, where there is a contract suite, by the chain."""
    section = {"file": os.path.relpath(layout.home / MEMBERS_FILE, node.folder)}
    return section | ({"node_ingress": NODE_INGRESS} if suite_doors(layout.network) else {})


def encode_toml(settings: Mapping[str, Any]) -> str:
    """Settings as TOML: plain values, then a table per section. JSON's texts and lists are TOML's too."""
    plain = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, dict)]
    tables = [
        "\n".join([f"[{key}]", *(f"{name} = {json.dumps(each)}" for name, each in value.items())])
        for key, value in settings.items()
        if isinstance(value, dict)
    ]
    return "\n\n".join(["\n".join(plain), *tables]) + "\n"


def _refuse_another_chain(layout: Layout, genesis: str) -> None:
    if layout.genesis.exists() and layout.genesis.read_text() != genesis:
        raise DevnetError(
            f"{layout.home} holds the chain of a network with another genesis (its chain id, validators, "
            "accounts or rules differ); `python -m devnet up --fresh` throws that chain away, and "
            "`--home DIRECTORY` keeps both"
        )


def _write_node(layout: Layout, node: NodeFiles, changed: bool) -> None:
    node.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    seed = layout.network.seed
    _write(node.node_key, node_key(seed, node.name).secret_bytes().hex() + "\n")
    if node.plan.role == "validator":
        _write_key(layout, node, changed)
    if node.plan.role == "archive" and layout.network.contract_suite:
        _write(node.password, PASSWORD + "\n")
        if not list_keys(node.keystore):
            store_key(node.keystore, archiving_key(seed, node.name), PASSWORD, scrypt_n=SCRYPT_N)
    # An operator may have tried something in node.toml; it stays until the network itself changes.
    if changed or not node.config.exists():
        _write(node.config, encode_toml(settings_of(layout, node)))


def _write_key(layout: Layout, node: NodeFiles, changed: bool) -> None:
    is_new = not node.config.exists()
    if node.has_signer or (node.plan.key == "token" and is_new and signers.missing() is None):
        if changed or is_new:
            signers.make_signer(layout, node, _write)
        return
    _write(node.password, PASSWORD + "\n")
    if not list_keys(node.keystore):
        key = sealing_key(layout.network.seed, node.name)
        store_key(node.keystore, key, PASSWORD, scrypt_n=SCRYPT_N)


def _write(path: Path, text: str) -> None:
    """Whole or not at all, readable by its owner only."""
    if path.exists() and path.read_text() == text:
        return
    aside = path.with_name(path.name + ".new")
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    aside.rename(path)
