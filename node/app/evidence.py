"""Who seals twice is found out: the book of proofs at the importer's door, and its traffic among peers."""

from collections.abc import Awaitable, Callable

import trio

from node.app.parts import Node
from node.chain.evidence import EvidenceBook
from node.sync.evidence import EvidenceExchange
from p2p.peer import Peer

ServePeer = Callable[[Peer], Awaitable[None]]


def open_evidence(node: Node, serve_peer: ServePeer) -> tuple[EvidenceBook, ServePeer]:
    """The book, in place; and `serve_peer` with the exchange of evidence beside it."""
    book = EvidenceBook(node.kv, node.chain.reader)
    exchange = EvidenceExchange(book)
    node.chain.importer.watch = book
    node.metrics.read_at_scrape(
        "equivocations", "Proofs that a validator sealed twice at one height.", lambda: book.count
    )

    async def serve_both(peer: Peer) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exchange.serve_peer, peer)
            await serve_peer(peer)
            nursery.cancel_scope.cancel()

    return book, serve_both
