"""What must hold of archive nodes: every state is there, and files prove themselves to the others."""

from collections.abc import Iterator
from typing import Any, Final

from devnet.client import RpcClient
from devnet.finding import Finding
from devnet.generate import FILE_BLOCKS, FINAL_BLOCKS
from devnet.layout import NodeFiles
from devnet.network import RunningNetwork
from node.archive.errors import BadFile
from node.archive.files import ArchivedFile, ArchiveDirectory
from node.archive.witness import Beliefs, prove_files
from node.chain.genesis import load_genesis
from node.config.data_dir import archive_path
from node.primitives.crypto import keccak256
from node.primitives.errors import ChainError
from node.primitives.ids import BlockNumber, Hash32
from node.trie.proof import verify_proof

LATE_BLOCKS: Final = 16
"""So many blocks after it is due a file must be there: on a busy machine the writer waits its turn."""
PROVED_FILES_MAX: Final = 4
"""The last ones; `phoenix archive verify` looks at all."""


def archive_findings(
    network: RunningNetwork, clients: dict[str, RpcClient], settled: BlockNumber
) -> Iterator[Finding]:
    """For every archive node that answers."""
    for node in network.layout.archives:
        if node.name in clients:
            yield _whole_history(network, clients[node.name], node, settled)
            yield _files(network, clients, node, settled)


def _whole_history(network: RunningNetwork, client: RpcClient, node: NodeFiles, settled: int) -> Finding:
    """A proof of a funded account under the state root of block 0, of the last settled one, and between."""
    what = f"{node.name} proves every state"
    account = network.layout.accounts[0]["address"]
    numbers = sorted({0, settled // 4, settled // 2, settled})
    for number in numbers:
        root = client.call("eth_getBlockByNumber", hex(number), False)["stateRoot"]
        proof = client.call("eth_getProof", account, [], hex(number))
        nodes = [_bytes(each) for each in proof["accountProof"]]
        try:
            leaf = verify_proof(Hash32(_bytes(root)), keccak256(_bytes(account)), nodes)
        except ChainError as error:
            return Finding(what, False, f"block {number}: {error}")
        if leaf is None:
            return Finding(what, False, f"block {number}: {account} is not proved to be there")
    return Finding(what, True, f"blocks {', '.join(map(str, numbers))}")


def _files(network: RunningNetwork, clients: dict[str, RpcClient], node: NodeFiles, settled: int) -> Finding:
    """As many as are due, each proved, and the same chain as another node's."""
    what = f"{node.name} archives"
    try:
        files = ArchiveDirectory(archive_path(node.data_dir)).files()
        last = files[-1].manifest.last.number if files else -1
        if settled - last > FILE_BLOCKS + FINAL_BLOCKS + LATE_BLOCKS:
            return Finding(what, False, f"up to block {last} only, and block {settled} is settled")
        if files:
            _prove(network, clients, node, files)
    except BadFile as error:
        return Finding(what, False, str(error))
    anchored = sum(file.anchor_path.exists() for file in files)
    return Finding(what, True, f"{len(files)} files to block {last}, proved; {anchored} anchored")


def _prove(
    network: RunningNetwork, clients: dict[str, RpcClient], node: NodeFiles, files: list[ArchivedFile]
) -> None:
    other = next((name for name in clients if name != node.name), node.name)
    spec = load_genesis(network.layout.genesis)
    prove_files(files[-PROVED_FILES_MAX:], Beliefs(spec=spec, chain=_Client(other, clients[other])))


class _Client:
    """A Witness: the chain of another node."""

    def __init__(self, name: str, client: RpcClient) -> None:
        self.name = name
        self._client = client

    def hash_at(self, number: BlockNumber) -> Hash32 | None:
        """See Witness."""
        block: dict[str, Any] | None = self._client.call("eth_getBlockByNumber", hex(number), False)
        return None if block is None else Hash32(_bytes(block["hash"]))


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
