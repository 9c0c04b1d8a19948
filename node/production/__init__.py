"""Making blocks: `builder` executes what the pool offers, `driver` runs the engine, `recovery` remembers.

The driver holds an engine (package `consensus`) to its duties: events one at a time, effects in order,
nothing announced before it is durable. Whatever keeps a validator from sealing, a key that refuses included,
leaves it a full node and shows in `Driver.health`.

Duties of whoever wires it:
1. The engine is made with `recovery.standing_proposals`, and the driver with `recovery.last_signed`.
2. `Driver.run` starts after the chain is open; it gives the engine the durable head first.
3. `announce` is called after the import; it must not wait.
"""
