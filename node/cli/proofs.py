"""What `light`, `prove` and `verify` share: a checkpoint from a file or from genesis, and a node to ask."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from node.primitives.errors import ConfigError

if TYPE_CHECKING:
    from node.light.checkpoint import Checkpoint
    from node.light.json_rpc import JsonRpc
    from node.light.provider import RpcProvider

TIMEOUT_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 64 << 20


def open_provider(url: str) -> "tuple[JsonRpc, RpcProvider]":
    """A node by its JSON-RPC URL."""
    import ssl

    from node.light.json_rpc import JsonRpc
    from node.light.provider import RpcProvider

    if not url.startswith(("http://", "https://")):
        raise ConfigError([f"{url[:60]!r} is no URL; it reads http://host:port or https://host:port"])
    context = ssl.create_default_context() if url.startswith("https:") else None
    rpc = JsonRpc(url, timeout_s=TIMEOUT_S, bytes_max=ANSWER_BYTES_MAX, context=context)
    return rpc, RpcProvider(rpc)


def read_checkpoint(path: Path | None, genesis: Path) -> "Checkpoint":
    """The checkpoint in a file, or block 0; ConfigError for one that is not of this genesis.json."""
    from consensus.clique.rules import CliqueRules
    from node.chain.genesis import genesis_block
    from node.chain.genesis_json import load_genesis
    from node.light.checkpoint import Checkpoint, decode_checkpoint, verify_checkpoint
    from node.light.errors import InvalidCheckpoint
    from node.light.verifier import Trusted

    spec = load_genesis(genesis)
    rules = CliqueRules(spec.engine)
    header = genesis_block(spec).header
    if path is None:
        return Checkpoint(
            spec.chain_id, header.hash, Trusted(header, rules.initial(header), header.difficulty)
        )
    try:
        checkpoint = decode_checkpoint(path.read_bytes(), rules)
        verify_checkpoint(checkpoint, spec.chain_id, header.hash, (), 0)
    except (InvalidCheckpoint, OSError) as error:
        raise ConfigError([f"{path}: {error}"]) from error
    return checkpoint
