"""Transactions waiting for a block: bounded, fair among senders, not lost by a restart or a reorganisation.

`admission` decides, `pool` holds, `eviction` and `selection` order, `journal` remembers; `keeper` runs it.

Duties of the callers:
1. One task owns the pool; only a `Selection` may travel to another thread.
2. RPC submits with `submit`, which answers after the journal has reached the disk; gossip uses `add_remote`
   with senders recovered beforehand (`Transaction.sender` costs 50 us).
3. At start: `Journal.open`, build the pool at the head, `restore` what the journal gave, run `keep_pool`.
4. What `select` gives was valid for its sender's balance and nonce at the head; the builder still executes
   it, and calls `skip_sender` when it fails.
"""
