"""What every account is worth after block N: flat rows to read, a trie to prove, before-images to go back.

One block is the *base*: its state is on disk as flat rows and path-keyed trie nodes. Blocks after it are
*layers* in memory, each with the rows it changes, so that short forks cost nothing. Blocks before it are
*history*: every block that the base moved over left the rows it changed as they were before it.

All of this is one idea: a state is a mapping from state keys to rows, and a block is a set of changed rows.

Duties of callers:
1. `prepare` and views may be used in worker threads; everything else belongs to one thread.
2. `flatten`, `unwind`, `initialise` and `prune` only fill a batch. Write it whole, then call `flattened` or
   `unwound`; until then every reader still sees the old base.
3. A block is added when its root has been compared with the header's, never before.
"""
