"""Bytes at rest: an ordered key-value store, and typed rows over it. `schema` is the one page with every key.

Knows no rule of the chain. Reads take any Reader (the store or a snapshot); writes go into a Batch that the
caller commits with one `write`, so that a block with all it caused is on disk whole or not at all.

Duties of callers:
1. What must not be lost (a sealed block, a lock, a guard row) is synced before it is announced.
2. Snapshots are closed or forgotten before the store is closed.
3. StorageError ends the node: after it the store refuses to write, and nothing may be guessed.
"""
