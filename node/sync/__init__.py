"""Catching up and passing on, over eth.

`sync.Sync` is the face. Inside, decisions are `planner` and `fetch_table`; deeds are `downloader` with
`catch_up` (follow a better chain), `block_intake` and `transaction_intake` (take what comes), `gossip` (pass
it on) and `serving` (answer). `roster` knows the peers, `ports` says what is asked of the neighbours.

Duties of the callers:
1. `Sync.run` is running before the first `serve_peer` begins, and `serve_peer` runs as long as its peer is
   connected; a ChainError out of it is the peer's fault, anything else is ours.
2. Our own sealed block is imported, and durable, before `announce_block`.
3. Next to a busy thread each recovery of a sender waits for the interpreter's switch interval; with the
   default of 5 ms a batch of 256 takes seconds. Set it to half a millisecond at start.
"""
