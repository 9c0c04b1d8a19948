"""A member that says nothing but evidence: dials one node and hands it two headers."""

from dataclasses import replace

import trio

from consensus.clique.extra_data import seal_hash, sealed, unsealed
from devnet.client import RpcClient
from devnet.keys import node_key, sealing_key
from devnet.layout import Layout, NodeFiles
from node.chain.genesis_json import load_genesis
from node.primitives.block import Header
from node.primitives.ids import Hash32
from p2p.eth.status import Status, fork_id
from p2p.evidence import EVIDENCE, EVIDENCE_CODE, encode_evidence
from p2p.options import P2POptions
from p2p.peer import Peer
from p2p.pool import PeerPool
from tests.signing.headers import header_at


def twins(layout: Layout, name: str, number: int) -> tuple[Header, Header]:
    """Two headers that a validator has sealed at one height, on blocks that nobody has."""
    key = sealing_key(layout.network.seed, name)
    bare = [replace(header_at(number), extra_data=unsealed(vanity)) for vanity in (b"one", b"other")]
    one, other = (sealed(header, key.sign(seal_hash(header))) for header in bare)
    return one, other


def inform(layout: Layout, node: NodeFiles, pair: tuple[Header, Header], speaker: str) -> None:
    """Connect to the node as the member `speaker`, who is not connected to it, and tell it."""
    trio.run(_inform, layout, node, pair, speaker)


async def _inform(layout: Layout, node: NodeFiles, pair: tuple[Header, Header], speaker: str) -> None:
    spec = load_genesis(layout.genesis)
    client = RpcClient(node.rpc_url, 60.0)
    genesis = client.call("eth_getBlockByNumber", "0x0", False)
    client.close()
    genesis_hash = Hash32(bytes.fromhex(genesis["hash"][2:]))
    status = Status(
        version=0,
        network_id=spec.chain_id,
        total_difficulty=1,
        head_hash=genesis_hash,
        genesis_hash=genesis_hash,
        fork_id=fork_id(genesis_hash, spec.fork_id_blocks, 0),
    )
    told = trio.Event()

    async def tell(peer: Peer) -> None:
        assert peer.shares(EVIDENCE.name)
        peer.send_opaque(EVIDENCE.name, EVIDENCE_CODE, encode_evidence([pair]))
        await trio.sleep(1.0)
        told.set()

    options = P2POptions(host="127.0.0.1", port=0, static_peers=(node.enode,), capabilities=(EVIDENCE,))
    pool = PeerPool(
        node_key(layout.network.seed, speaker), options, lambda: status, lambda _: None, tell, lambda _: None
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(pool.run)
        with trio.fail_after(60):
            await told.wait()
        nursery.cancel_scope.cancel()
