"""Bytes between peers: who we are connected to, and messages both ways. Knows node.primitives only.

Pure and sans-IO: `rlpx` (encrypted channel), `devp2p` (hello, capabilities), `eth` (blocks, transactions).
Deeds, under trio: `transport` (dial, listen), `tls` (files that change), `peer` (one connection), `pool`
(whom, how many, what score).

A caller's whole view:

    pool = PeerPool(key, options, status=..., accept=..., serve=..., permit=...)
    await nursery.start(pool.run)

- `status()` is our own Status now; `accept(theirs)` raises a ChainError when we cannot work together.
- `permit(info)` answers None, or a text saying why this identity may not connect.
- `serve(peer)` runs for the life of the connection and is cancelled with it. A ChainError out of it costs
  the peer score, tells it and drops it; PeerGone is no fault. It should loop over `await peer.receive()`;
  whatever it asks with `await peer.request(...)` is answered while it waits.
- `peer.send(message)` never waits: False means that the peer's queue was full and that it is dropped. Before
  a large answer, `await peer.wait_writable()`.
- A consumer that falls behind loses messages (counted), never the connection: gossip of transactions first.
- `report(...)` gets every event worth a log line (p2p.reports); it must not wait.

Who is at fault decides what it costs (p2p.errors, p2p.endings). Only what came under a right MAC counts
against an identity: bytes before that, or broken ones, could have been sent by a bystander.
"""
