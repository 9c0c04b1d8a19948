"""The one door into the chain, and the one face out of it.

`importer` is the only writer: every block, whoever made it, is verified, executed, compared and committed
there, in one atomic synced batch. `reader` is the read-only face for everybody else. `events` tells what
changed, only after it is durable.

Duties of callers:
1. `opening.open_chain` comes first; it refuses a data directory of another genesis and re-executes what the
   durable state lags behind the durable head.
2. Blocks enter through `Importer` alone. Its errors say whose fault it is: `InvalidBlock` and
   `UnknownParent` the sender's, `FutureBlock` a clock's, `StorageError` the disk's; anything else is ours
   and must stop the node.
3. `Importer.close` comes last; without it the next start re-executes a few blocks, no more.
"""
